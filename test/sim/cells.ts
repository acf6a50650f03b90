/**
 * Clients that use variables, locks, semaphores, events and queues while things go wrong, and what must be true of what they were told.
 *
 * Not here: the cells (src/cells), and faults (acts.ts). Only some seeds have them, drawn from a stream of its own, so that the others
 * stay as they were.
 * What a client believes is judged in its own instant: nobody else may believe that it holds the same lock. What it was told is
 * judged at the end: variables and locks must be linearizable, items of a queue come once and none is lost.
 */
import { isCellAnswer } from '../../src/cells/client-messages.ts'
import { type Answer, type Command, refused } from '../../src/cells/commands.ts'
import { type OrderEffect, Orders } from '../../src/client/orders.ts'
import type { EntryMessage } from '../../src/client/protocol.ts'
import type { ClientId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import type { Random } from '../../src/random.ts'
import type { CellsPlan } from './cells-plan.ts'
import { Violation } from './checkers.ts'
import { CouncilJudge } from './council-judge.ts'
import { History } from './history.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

/** What each client does at a time. */
const hands = 2
/** Commands that every hand of a client must get through after the faults ended. */
const afterwards = 4
const permits = 2

export class CellClients {
  readonly plan: CellsPlan
  readonly history: History
  readonly judge: CouncilJudge
  readonly #world: World
  readonly #random: Random
  readonly all: CellClient[] = []
  #names = 0
  #isEnding = false

  static of(world: World, random: Random): CellClients | undefined {
    const { cells } = world.plan
    return cells === undefined ? undefined : new CellClients(world, cells, random)
  }

  constructor(world: World, plan: CellsPlan, random: Random) {
    this.#world = world
    this.plan = plan
    this.#random = random
    this.judge = new CouncilJudge(world)
    this.history = new History(() => world.clock.now)
    for (let i = 0; i < plan.clients; i++) this.born()
  }

  born(): void {
    const name = `user${++this.#names}`
    const client = new CellClient(name as ClientId, this.#world, this, this.#random.fork(name))
    this.all.push(client)
    this.#world.clock.after(200 + this.#random.next() * 400, () => client.attach())
    for (let hand = 0; hand < hands; hand++)
      this.#world.clock.after(500 + this.#random.next() * 2_000, () => client.act(hand))
  }

  /** The faults are over. From now on everybody does a few more things, and stops. */
  end(): void {
    this.#isEnding = true
  }

  get isEnding(): boolean {
    return this.#isEnding
  }

  get isDone(): boolean {
    return this.all.every((client) => client.isDone)
  }

  get lacking(): string {
    return this.all
      .flatMap((client) => (client.isDone ? [] : [`${client.id} at ${client.entry?.id}: ${client.doing}`]))
      .join('; ')
  }
}

export class CellClient {
  readonly id: ClientId
  readonly #world: World
  readonly #all: CellClients
  readonly #random: Random
  readonly #orders: Orders
  entry: SimNode | undefined
  attachment = 0
  #isDead = false
  #timerAt: Millis | undefined
  readonly #waiting = new Map<number, (answer: Answer | undefined, version: number) => void>()
  readonly #held = new Map<string, () => void>()
  readonly #left = new Array<number>(hands).fill(afterwards)
  readonly #doing = new Array<string>(hands).fill('')
  readonly #versions = new Map<string, { version: number; value: string }>()
  #leases = 0

  constructor(id: ClientId, world: World, all: CellClients, random: Random) {
    this.id = id
    this.#world = world
    this.#all = all
    this.#random = random
    this.#orders = new Orders(id)
  }

  get streamId(): ClientId {
    return `${this.id}#${this.attachment}` as ClientId
  }

  get isDone(): boolean {
    return this.#isDead || this.#left.every((count) => count === 0)
  }

  get doing(): string {
    return this.#doing.join(', ')
  }

  attach(): void {
    if (this.#isDead || this.entry !== undefined) return
    const node = this.#random.pick(this.#world.entries())
    this.attachment++
    if (node === undefined) return this.#world.clock.after(200, () => this.attach())
    this.entry = node
    node.clients.add(this.streamId)
    node.step({ kind: 'client-connected', client: this.streamId })
    this.#perform(this.#orders.attached(this.#world.clock.now))
  }

  lose(): void {
    this.entry = undefined
    this.attachment++
    this.#orders.detached()
    this.#world.clock.after(20 + this.#random.next() * 200, () => this.attach())
  }

  receive(message: EntryMessage): void {
    if (!this.#isDead && isCellAnswer(message))
      this.#perform(this.#orders.message(message, this.#world.clock.now))
  }

  /** The next thing that one of its hands does. */
  act(hand: number): void {
    if (this.#isDead || this.#left[hand] === 0) return
    const { plan, isEnding } = this.#all
    if (!isEnding && this.#random.chance(plan.death)) return this.#die()
    if (!isEnding && this.#random.chance(0.03)) this.#leaveEntry()
    if (isEnding && this.#left[hand] === 1) return this.#empty(hand, 0)
    if (isEnding) this.#left[hand] = (this.#left[hand] ?? 0) - 1
    const place = this.#random.below(plan.cells)
    const next = (): void => {
      this.#doing[hand] = ''
      this.#world.clock.after(this.#random.next() * (isEnding ? 50 : plan.thinkMs), () => this.act(hand))
    }
    const roll = this.#random.next()
    if (roll < 0.4) this.#useVariable(`variable:v${place}`, hand, next)
    else if (roll < 0.7) this.#useLock(`lock:l${place}`, 1, hand, next)
    else if (roll < 0.8) this.#useLock(`semaphore:s${place}`, permits, hand, next)
    else if (roll < 0.95) this.#useQueue(`queue:q${place}`, hand, next)
    else this.#useEvent('event:e0', hand, next)
  }

  #useVariable(cell: string, hand: number, next: () => void): void {
    const { history } = this.#all
    const roll = this.#random.next()
    const known = this.#versions.get(cell)
    if (roll < 0.45 || (roll < 0.7 && known === undefined)) {
      const answered = history.reads(cell)
      this.#say(hand, cell, { kind: 'read' }, (answer, version) => {
        if (answer?.kind === 'value') {
          const value = textOf(answer.value[0])
          answered(value)
          this.#versions.set(cell, { version, value })
        }
        next()
      })
      return
    }
    const value = `${this.id}-${this.#world.nonce()}`
    const isBound = known !== undefined && roll < 0.7
    const answered = history.sets(cell, value, isBound ? known.value : undefined)
    const unless = isBound ? [known.version] : []
    this.#say(hand, cell, { kind: 'set', value: [bytesOf(value)], unless }, (answer) => {
      if (answer !== undefined) answered(answer.kind === 'done')
      next()
    })
  }

  #useLock(cell: string, most: number, hand: number, next: () => void): void {
    const { history, plan, isEnding } = this.#all
    const lease = `${this.id}-${++this.#leases}`
    const isPatient = this.#random.chance(0.6)
    const { leaseMs } = plan
    const tried = history.acquires(cell, lease)
    this.#say(hand, cell, { kind: 'acquire', lease, leaseMs, permits: most, isPatient }, (answer) => {
      if (answer?.kind === 'refused') tried(undefined)
      if (answer?.kind !== 'granted') return next()
      tried(answer.token)
      history.holds(cell, lease, most)
      const end = (): void => {
        if (!this.#held.delete(lease)) return
        history.letsGo(cell, lease)
        next()
      }
      this.#held.set(lease, end)
      const holdMs = this.#random.next() * (this.#random.chance(0.3) ? 3 * leaseMs : 400)
      this.#world.clock.after(isEnding ? 20 : holdMs, () => {
        if (this.#isDead || !this.#held.delete(lease)) return
        history.letsGo(cell, lease)
        const released = history.releases(cell, lease)
        const { ask, effects } = this.#orders.release(cell, lease, this.#world.clock.now)
        this.#await(hand, ask, `release ${cell}`, (one) => {
          if (one !== undefined) released(one.kind === 'done')
          next()
        })
        this.#perform(effects)
      })
    })
  }

  #useQueue(cell: string, hand: number, next: () => void): void {
    const { history, isEnding } = this.#all
    if (this.#random.chance(0.5) && !isEnding) {
      const value = `${this.id}-${this.#world.nonce()}`
      const answered = history.puts(cell, value)
      const isPatient = this.#random.chance(0.2)
      const put: Command = { kind: 'put', value: bytesOf(value), size: 5, isPatient }
      const ask = this.#say(hand, cell, put, (answer) => {
        if (answer !== undefined) answered(answer.kind === 'done')
        next()
      })
      if (isPatient && this.#random.chance(0.5)) this.#giveUpAfter(ask)
      return
    }
    const answered = history.takes(cell)
    const isPatient = this.#random.chance(0.4)
    const ask = this.#say(hand, cell, { kind: 'take', isPatient }, (answer) => {
      if (answer !== undefined) answered(answer.kind === 'value' ? textOf(answer.value[0]) : undefined)
      next()
    })
    if (isPatient) this.#giveUpAfter(ask)
  }

  /** It is answered all the same, unless it was never sent. */
  #giveUpAfter(ask: number): void {
    this.#world.clock.after(this.#random.next() * 2_000, () => {
      if (this.#isDead || !this.#waiting.has(ask)) return
      this.#perform(this.#orders.withdraw(ask, this.#world.clock.now))
      if (!this.#orders.has(ask)) this.#tell(ask, refused('not now'), 0)
    })
  }

  /** The last thing that a hand does: takes all that is left in every queue. */
  #empty(hand: number, place: number): void {
    if (place === this.#all.plan.cells) {
      this.#left[hand] = 0
      return
    }
    const cell = `queue:q${place}`
    const answered = this.#all.history.takes(cell)
    this.#say(hand, cell, { kind: 'take', isPatient: false }, (answer) => {
      if (answer !== undefined) answered(answer.kind === 'value' ? textOf(answer.value[0]) : undefined)
      this.#empty(hand, answer?.kind === 'refused' ? place + 1 : place)
    })
  }

  #useEvent(cell: string, hand: number, next: () => void): void {
    const { isEnding } = this.#all
    const command: Command =
      isEnding || this.#random.chance(0.7)
        ? { kind: 'raise', isSet: isEnding || this.#random.chance(0.6) }
        : { kind: 'wait', since: 0 }
    const ask = this.#say(hand, cell, command, next)
    if (command.kind !== 'wait') return
    // Nobody may ever raise it.
    this.#world.clock.after(4_000, () => {
      if (this.#isDead || !this.#waiting.delete(ask)) return
      this.#perform(this.#orders.withdraw(ask, this.#world.clock.now))
      next()
    })
  }

  #say(
    hand: number,
    cell: string,
    command: Command,
    then: (answer: Answer | undefined, version: number) => void
  ): number {
    const { ask, effects } = this.#orders.order(cell, command, this.#world.clock.now)
    this.#await(hand, ask, `${command.kind} ${cell}`, then)
    this.#perform(effects)
    return ask
  }

  #await(
    hand: number,
    ask: number,
    what: string,
    then: (answer: Answer | undefined, version: number) => void
  ): void {
    this.#doing[hand] = what
    this.#waiting.set(ask, then)
  }

  #leaveEntry(): void {
    this.entry?.clients.delete(this.streamId)
    this.entry?.step({ kind: 'client-disconnected', client: this.streamId })
    this.lose()
  }

  /** It is gone, with all that it holds; another one comes. */
  #die(): void {
    for (const [lease] of this.#held) this.#all.history.letsGo('', lease)
    this.#isDead = true
    this.entry?.clients.delete(this.streamId)
    this.entry?.step({ kind: 'client-disconnected', client: this.streamId })
    this.entry = undefined
    this.attachment++
    this.#all.born()
  }

  #perform(effects: readonly OrderEffect[]): void {
    this.#orders.check()
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          this.#world.say(this, effect.message)
          break
        case 'answered':
          this.#tell(effect.ask, effect.answer, effect.version)
          break
        case 'failed':
          this.#tell(effect.ask, undefined, 0)
          break
        case 'lapsed':
          this.#held.get(effect.lease)?.()
          break
        case 'leave-entry':
          this.#leaveEntry()
      }
    }
    this.#setTimer()
  }

  #tell(ask: number, answer: Answer | undefined, version: number): void {
    const then = this.#waiting.get(ask)
    this.#waiting.delete(ask)
    if (then === undefined) throw new Violation('delivered-once', `${this.id} was answered twice, or unasked`)
    then(answer, version)
  }

  #setTimer(): void {
    const at = this.#orders.wakeAt()
    if (at === undefined || this.#isDead || (this.#timerAt !== undefined && this.#timerAt <= at)) return
    const { clock } = this.#world
    const due = Math.max(at, clock.now + 1)
    this.#timerAt = due
    clock.after(due - clock.now, () => {
      if (this.#timerAt !== due) return
      this.#timerAt = undefined
      if (!this.#isDead) this.#perform(this.#orders.wake(clock.now))
    })
  }
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))
const textOf = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? '' : Buffer.from(bytes).toString('latin1')
