/**
 * A client's commands to cells that are under way, and the leases that it holds.
 *
 * Not here: promises (cells.ts), and what a command does (cells/). The same runs in the simulator.
 * An entry may be lost at any moment, so each command is kept until it is answered and said again to the next entry, under the
 * same id. A lease is believed in for its time since the last renewal that was confirmed was sent, and not a moment longer.
 */

import type { CellAnswer, CellQuestion } from '../cells/client-messages.ts'
import { type Answer, answers, type Command, type CommandOf, commands } from '../cells/commands.ts'
import { type ErrorCode, knownCode } from '../errors.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import { Hearing } from './hearing.ts'

/** Commands of one client that are under way; further ones are refused with SHOAL_BUSY. */
export const ordersMax = 5_000
/** They take an item from one place to another. */
const moving: ReadonlySet<Command['kind']> = new Set<Command['kind']>(['put', 'take'])
/** Cells of which the last version that was heard is remembered. */
const versionsMax = 1_024
const busyAgainMs = 300

export type OrderEffect =
  | { kind: 'send'; message: CellQuestion }
  | { kind: 'answered'; ask: number; version: number; answer: Answer }
  /** It was refused, or nobody knows whether it was done. */
  | { kind: 'failed'; ask: number; code: ErrorCode; message: string }
  /** The lease may be somebody else's from now on. */
  | { kind: 'lapsed'; cell: string; lease: string }
  | { kind: 'leave-entry' }

interface Order {
  readonly ask: number
  readonly cell: string
  command: Command
  readonly id: string
  readonly base: number
  readonly madeAt: Millis
  wasSent: boolean
  /** What nobody but this machine waits for. */
  readonly isOwn: boolean
}

interface Hold {
  readonly cell: string
  readonly lease: string
  readonly leaseMs: Millis
  validUntil: Millis
  renewAt: Millis
  /** The renewal that is under way. */
  renewal: number | undefined
  /** Told once a renewal shows that it is held still. */
  granted: Extract<OrderEffect, { kind: 'answered' }> | undefined
}

export class Orders {
  /** Told from those of other clients. */
  readonly #name: string
  readonly #orders = new Map<number, Order>()
  readonly #holds = new Map<string, Hold>()
  readonly #versions = new Map<string, number>()
  readonly #hearing = new Hearing()
  #isAttached = false
  #next = 0

  constructor(name: string) {
    this.#name = name
  }

  /** Commands under way and leases held: the client must stay attached. */
  get size(): number {
    return this.#orders.size + this.#holds.size
  }

  get isFull(): boolean {
    return this.#orders.size >= ordersMax
  }

  order(cell: string, command: Command, now: Millis): { ask: number; effects: OrderEffect[] } {
    return this.#order(cell, command, now, false)
  }

  /** Whether the lease may be believed in. */
  holds(lease: string, now: Millis): boolean {
    const hold = this.#holds.get(lease)
    return hold !== undefined && hold.granted === undefined && now < hold.validUntil
  }

  /** Whether an answer is to come. */
  has(ask: number): boolean {
    return this.#orders.has(ask)
  }

  /**
   * Nobody waits for it any more. Of a queue it is answered all the same: nobody may lose an item, or put one twice, because
   * it cannot tell which of the two came first.
   */
  withdraw(ask: number, now: Millis): OrderEffect[] {
    const order = this.#orders.get(ask)
    if (order === undefined) return this.#waive(ask, now)
    if (order.wasSent && moving.has(order.command.kind)) {
      order.command = { kind: 'cancel' }
      return this.#say(order)
    }
    if (order.command.kind === 'cancel') return []
    this.#orders.delete(ask)
    return [...this.#send({ kind: 'withdraw', ask }), ...this.#abandon(order, now)]
  }

  release(cell: string, lease: string, now: Millis): { ask: number; effects: OrderEffect[] } {
    this.#holds.delete(lease)
    return this.#order(cell, { kind: 'release', lease }, now, false)
  }

  attached(now: Millis): OrderEffect[] {
    this.#isAttached = true
    this.#hearing.begin(now)
    return [...this.#orders.values()].flatMap((order) => this.#say(order))
  }

  detached(): void {
    this.#isAttached = false
  }

  message(message: CellAnswer, now: Millis): OrderEffect[] {
    this.#hearing.heard(now)
    const order = this.#orders.get(message.ask)
    if (order === undefined || message.kind === 'noted') return []
    if (message.kind === 'undecided') return this.#undecided(order, message, now)
    this.#orders.delete(order.ask)
    this.#versions.delete(order.cell)
    this.#versions.set(order.cell, message.version)
    const [oldest] = this.#versions.keys()
    if (this.#versions.size > versionsMax && oldest !== undefined) this.#versions.delete(oldest)
    const answer = parse(message.answer)
    const { command, ask } = order
    const answered = { kind: 'answered', ask, version: message.version, answer } as const
    if (command.kind === 'renew') return this.#renewed(order, command, answer, now)
    if (command.kind === 'acquire' && answer.kind === 'granted')
      return this.#granted(order, command, answered, now)
    return order.isOwn ? [] : [answered]
  }

  wake(now: Millis): OrderEffect[] {
    const effects: OrderEffect[] = []
    for (const hold of [...this.#holds.values()]) {
      if (now >= hold.validUntil) effects.push(...this.#lapse(hold, now))
      else if (now >= hold.renewAt && hold.renewal === undefined) effects.push(...this.#renew(hold, now))
    }
    const [first] = this.#orders.values()
    if (!this.#isAttached || first === undefined) return effects
    const verdict = this.#hearing.look(now)
    if (verdict === 'wait') return effects
    return [...effects, ...(verdict === 'leave' ? [{ kind: 'leave-entry' } as const] : this.#say(first))]
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined = this.#isAttached && this.#orders.size > 0 ? this.#hearing.lookAt : undefined
    for (const { validUntil, renewAt, renewal } of this.#holds.values())
      at = earlier(at, renewal === undefined ? Math.min(renewAt, validUntil) : validUntil)
    return at
  }

  check(): void {
    for (const { lease, renewal } of this.#holds.values())
      assert(
        renewal === undefined || this.#orders.has(renewal),
        `${lease} waits for a renewal that is not under way`
      )
  }

  #order(
    cell: string,
    command: Command,
    now: Millis,
    isOwn: boolean
  ): { ask: number; effects: OrderEffect[] } {
    const ask = ++this.#next
    const base = this.#versions.get(cell) ?? 0
    const id = `${this.#name}-${ask}`
    const order = { ask, cell, command, id, base, madeAt: now, wasSent: false, isOwn }
    if (this.#orders.size === 0) this.#hearing.begin(now)
    this.#orders.set(ask, order)
    return { ask, effects: this.#say(order) }
  }

  #say(order: Order): OrderEffect[] {
    if (!this.#isAttached) return []
    const { ask, cell, id, base, command } = order
    const isFirst = !order.wasSent
    order.wasSent = true
    return this.#send({ kind: 'command', ask, cell, id, base, isFirst, command: commands.encode(command) })
  }

  #send(message: CellQuestion): OrderEffect[] {
    return this.#isAttached ? [{ kind: 'send', message }] : []
  }

  #undecided(order: Order, message: Extract<CellAnswer, { kind: 'undecided' }>, now: Millis): OrderEffect[] {
    this.#orders.delete(order.ask)
    const { command, ask } = order
    const code = knownCode(message.code)
    if (command.kind === 'renew') {
      const hold = this.#holds.get(command.lease)
      if (hold?.renewal === ask) {
        hold.renewal = undefined
        hold.renewAt = now + busyAgainMs
      }
      return []
    }
    if (order.isOwn) return []
    return [{ kind: 'failed', ask, code, message: message.message }, ...this.#abandon(order, now)]
  }

  /** What it asked for may have been given all the same. */
  #abandon({ cell, command }: Order, now: Millis): OrderEffect[] {
    if (command.kind !== 'acquire') return []
    return this.#order(cell, { kind: 'release', lease: command.lease }, now, true).effects
  }

  /** It was given, and not told yet. */
  #waive(ask: number, now: Millis): OrderEffect[] {
    const hold = [...this.#holds.values()].find(({ granted }) => granted?.ask === ask)
    if (hold === undefined) return []
    const { cell, lease, renewal } = hold
    this.#holds.delete(lease)
    if (renewal !== undefined) this.#orders.delete(renewal)
    return this.#order(cell, { kind: 'release', lease }, now, true).effects
  }

  #granted(
    order: Order,
    { lease, leaseMs }: CommandOf<'acquire'>,
    answered: Extract<OrderEffect, { kind: 'answered' }>,
    now: Millis
  ): OrderEffect[] {
    const { cell, madeAt } = order
    const isFresh = now - madeAt < leaseMs / 3
    const hold: Hold = {
      cell,
      lease,
      leaseMs,
      validUntil: isFresh ? madeAt + leaseMs : now + leaseMs,
      renewAt: isFresh ? madeAt + leaseMs / 3 : now,
      renewal: undefined,
      granted: isFresh ? undefined : answered
    }
    this.#holds.set(lease, hold)
    // It waited, and nobody said since when it has it: the first renewal tells.
    return isFresh ? [answered] : this.#renew(hold, now)
  }

  #renew(hold: Hold, now: Millis): OrderEffect[] {
    const { ask, effects } = this.#order(hold.cell, { kind: 'renew', lease: hold.lease }, now, true)
    hold.renewal = ask
    return effects
  }

  #renewed(order: Order, { lease }: CommandOf<'renew'>, answer: Answer, now: Millis): OrderEffect[] {
    const hold = this.#holds.get(lease)
    if (hold === undefined || hold.renewal !== order.ask) return []
    hold.renewal = undefined
    if (answer.kind !== 'done') return this.#lapse(hold, now)
    hold.validUntil = order.madeAt + hold.leaseMs
    hold.renewAt = order.madeAt + hold.leaseMs / 3
    if (now >= hold.validUntil) return this.#lapse(hold, now)
    const { granted } = hold
    hold.granted = undefined
    return granted === undefined ? [] : [granted]
  }

  /** If it is held still, nobody needs to wait for its end. */
  #lapse({ cell, lease, granted, renewal }: Hold, now: Millis): OrderEffect[] {
    this.#holds.delete(lease)
    if (renewal !== undefined) this.#orders.delete(renewal)
    const released = this.#order(cell, { kind: 'release', lease }, now, true).effects
    if (granted === undefined) return [{ kind: 'lapsed', cell, lease }, ...released]
    const message = 'it was given, and its lease ran out before that was known; try again'
    return [{ kind: 'failed', ask: granted.ask, code: 'SHOAL_UNDECIDED', message }, ...released]
  }
}

/** What cannot be read was said by another version. */
function parse(bytes: Uint8Array): Answer {
  try {
    return answers.parse(bytes)
  } catch {
    return { kind: 'refused', because: 'other kind' }
  }
}
