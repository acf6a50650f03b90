/**
 * A member's work for cells: takes commands of entries, has them decided one after another, and answers.
 *
 * Not here: agreeing with the other members (proposer.ts), what a command does (state.ts), asking (petitions.ts).
 * As a rule one member does it for one cell, so all that wait are decided in one round, in the order in which they came; but any
 * may, and several at once, as what they have decided is decided by a majority. Who waits for a change waits here.
 */
import type { PeerId } from '../ids.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import { type Command, isSame, type State, states } from './commands.ts'
import { majority } from './council.ts'
import { type CellEffect, say } from './effects.ts'
import { Leases } from './leases.ts'
import type { CellMessage, CellMessageOf, Council } from './messages.ts'
import { type Me, Proposer } from './proposer.ts'
import { change, decide, parseCommand, parseState } from './state.ts'

/** Commands that wait at one member; further ones are refused with SHOAL_BUSY by their entry. */
export const waitingMax = 20_000
/** A command that its entry does not ask for any more is dropped. */
const forgottenAfterMs = 12_000
/** Cells of which a member remembers what it decided last, while nobody waits. */
const idleMax = 4_096
const idleAfterMs = 60_000

interface Waiting {
  readonly id: string
  from: PeerId
  base: number
  command: Command
  askedAt: Millis
  /** Its entry wants to hear that somebody is there. */
  wantsWord: boolean
}

interface Answered {
  readonly one: Waiting
  readonly word: 'decided' | 'stale'
  readonly version: number
  readonly answer: Uint8Array
}

interface Cell {
  readonly proposer: Proposer
  readonly waiting: Map<string, Waiting>
  readonly leases: Leases
  /** The last state that was looked at, as bytes and as what they say. */
  seen: { readonly bytes: Uint8Array; readonly state: State } | undefined
  /** What is answered once what is proposed is decided. */
  drafts: Answered[]
  /** Whose turn has not come in what is proposed. */
  passed: readonly Waiting[]
  /** Something came since that was proposed. */
  hasNews: boolean
  retryAt: Millis | undefined
  lookAt: Millis | undefined
  usedAt: Millis
}

const nothing: Uint8Array = new Uint8Array(0)

export class Coordinator {
  readonly #me: Me
  readonly #random: Random
  readonly #cells = new Map<string, Cell>()
  /** Those for which somebody waits, or whose holders may die. */
  readonly #active = new Map<string, Cell>()
  #sweepAt: Millis = 0
  #council: Council | undefined
  #count = 0

  constructor(me: Me, random: Random) {
    this.#me = me
    this.#random = random
  }

  get waiting(): number {
    return this.#count
  }

  /** Another list, or none in which this node may propose: entries ask again. */
  serve(council: Council | undefined): void {
    this.#council = council
    this.#cells.clear()
    this.#active.clear()
    this.#count = 0
  }

  ask(from: PeerId, message: CellMessageOf<'cell-ask'>, now: Millis): CellEffect[] {
    const { name, id, base } = message
    const command = parseCommand(message.command)
    if (this.#council === undefined || command === undefined) return []
    const cell = this.#cell(name, now)
    const known = cell.waiting.get(id)
    if (known === undefined && this.#count >= waitingMax) return [tell(from, id, 'busy')]
    if (known === undefined) this.#count++
    const one = known ?? { id, from, base, command, askedAt: now, wantsWord: true }
    one.from = from
    if (command.kind === 'cancel') one.command = command
    one.base = Math.max(one.base, base)
    one.askedAt = now
    one.wantsWord = true
    cell.waiting.set(id, one)
    this.#active.set(name, cell)
    return this.#go(cell, now)
  }

  withdraw(name: string, id: string): void {
    const cell = this.#cells.get(name)
    if (cell !== undefined) this.#drop(cell, id)
  }

  /** Clients of a node that is gone ask by another one. */
  peerDown(peer: PeerId): void {
    for (const cell of this.#cells.values())
      for (const { id, from } of [...cell.waiting.values()]) if (from === peer) this.#drop(cell, id)
  }

  /** This node has accepted what another member proposed. */
  overtaken(name: string, state: Uint8Array, now: Millis): CellEffect[] {
    const cell = this.#cells.get(name)
    if (cell === undefined) return []
    cell.proposer.overtaken()
    // Who did that sees to its leases.
    if (cell.waiting.size === 0) this.#rest(name, cell)
    if (cell.waiting.size === 0 || (cell.seen !== undefined && isSame(cell.seen.bytes, state))) return []
    return this.#go(cell, now)
  }

  message(from: PeerId, message: CellMessage, now: Millis): CellEffect[] {
    if (!('name' in message)) return []
    const { name } = message
    const cell = this.#cells.get(name)
    if (cell === undefined) return []
    switch (message.kind) {
      case 'cell-promised':
        return cell.proposer.promised(from, message, now)
      case 'cell-accepted':
      case 'cell-checked': {
        const state = cell.proposer.voted(from, message)
        return state === undefined ? [] : this.#decided(name, cell, now)
      }
      case 'cell-rejected':
        if (cell.proposer.rejected(message)) {
          cell.drafts = []
          cell.retryAt = now + 5 + this.#random.next() * 60
        }
        return []
      default:
        return []
    }
  }

  wake(now: Millis): CellEffect[] {
    const effects: CellEffect[] = []
    for (const [name, cell] of this.#active) {
      for (const { id, askedAt } of [...cell.waiting.values()])
        if (now - askedAt > forgottenAfterMs) this.#drop(cell, id)
      if (!isInUse(cell)) {
        this.#rest(name, cell)
        continue
      }
      effects.push(...cell.proposer.again(now))
      if (cell.lookAt !== undefined && now >= cell.lookAt) effects.push(...this.#lookAtLeases(cell, now))
      if (cell.retryAt !== undefined && now >= cell.retryAt) effects.push(...this.#go(cell, now))
    }
    this.#sweep(now)
    return effects
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined = this.#cells.size === 0 ? undefined : this.#sweepAt
    for (const { proposer, retryAt, lookAt } of this.#active.values())
      at = [proposer.wakeAt(), retryAt, lookAt].reduce(earlier, at)
    return at
  }

  check(): void {
    let count = 0
    for (const { waiting } of this.#cells.values()) count += waiting.size
    assert(count === this.#count && count <= waitingMax, `${count} commands wait, ${this.#count} are counted`)
  }

  /** Nobody waits for it any more, or holds it. */
  #rest(name: string, cell: Cell): void {
    this.#active.delete(name)
    cell.proposer.stop()
    cell.retryAt = undefined
    cell.lookAt = undefined
  }

  #sweep(now: Millis): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = now + idleAfterMs / 2
    for (const [name, { usedAt }] of this.#cells) {
      if (this.#active.has(name)) continue
      if (now - usedAt > idleAfterMs || this.#cells.size > idleMax) this.#cells.delete(name)
    }
  }

  #cell(name: string, now: Millis): Cell {
    const known = this.#cells.get(name)
    if (known !== undefined) {
      known.usedAt = now
      return known
    }
    const { mesh, number, members } = this.#council as Council
    const ground = { mesh, number, name, voters: members, quorum: majority(members.length), electors: [] }
    const cell: Cell = {
      proposer: new Proposer(this.#me, ground, (state) => this.#next(name, cell, state)),
      waiting: new Map(),
      leases: new Leases(),
      seen: undefined,
      drafts: [],
      passed: [],
      hasNews: false,
      retryAt: undefined,
      lookAt: undefined,
      usedAt: now
    }
    this.#cells.set(name, cell)
    return cell
  }

  #drop(cell: Cell, id: string): void {
    if (cell.waiting.delete(id)) this.#count--
  }

  #go(cell: Cell, now: Millis): CellEffect[] {
    if (!cell.proposer.isIdle) {
      cell.hasNews = true
      return []
    }
    cell.hasNews = false
    cell.retryAt = undefined
    const { seen } = cell
    if (seen !== undefined) cell.leases.look(seen.state, now)
    return cell.proposer.begin(now)
  }

  /** All that wait, one after another, and once more while that lets others go on. */
  #next(name: string, cell: Cell, bytes: Uint8Array | undefined): Uint8Array {
    const before =
      cell.seen !== undefined && cell.seen.bytes === bytes ? cell.seen.state : parseState(name, bytes)
    let state = before
    if (state.kind === 'semaphore')
      for (const { lease, renewals } of cell.leases.over(state.holders))
        state = change(state, { kind: 'expire', lease, renewals })
    cell.drafts = []
    const open = new Set(cell.waiting.values())
    for (let isMoving = true; isMoving; ) {
      isMoving = false
      for (const one of open) {
        const verdict = decide(state, one)
        if (verdict.word === 'waiting') continue
        open.delete(one)
        isMoving ||= verdict.state !== state
        state = verdict.state
        const { word, version, answer } =
          verdict.word === 'decided'
            ? verdict
            : { word: verdict.word, version: state.version, answer: nothing }
        cell.drafts.push({ one, word, version, answer })
      }
    }
    cell.passed = [...open]
    const next = state === before && bytes !== undefined ? bytes : states.encode(state)
    cell.seen = { bytes: next, state }
    return next
  }

  #decided(name: string, cell: Cell, now: Millis): CellEffect[] {
    const { seen, drafts, passed } = cell
    const version = seen?.state.version ?? 0
    cell.drafts = []
    cell.passed = []
    const effects: CellEffect[] = []
    for (const { one, word, version: at, answer } of drafts) {
      effects.push(tell(one.from, one.id, word, at, answer))
      if (cell.waiting.get(one.id) === one) this.#drop(cell, one.id)
    }
    // What was not done up to this version need not be remembered as not done before.
    for (const one of passed) {
      one.base = Math.max(one.base, version)
      if (one.wantsWord && cell.waiting.has(one.id)) effects.push(tell(one.from, one.id, 'waiting', version))
      one.wantsWord = false
    }
    if (seen !== undefined) cell.leases.look(seen.state, now)
    if (!isInUse(cell)) this.#rest(name, cell)
    else cell.lookAt = cell.leases.wakeAt(now)
    return cell.hasNews && cell.waiting.size > 0 ? [...effects, ...this.#go(cell, now)] : effects
  }

  #lookAtLeases(cell: Cell, now: Millis): CellEffect[] {
    const state = cell.seen?.state
    cell.lookAt = undefined
    if (state === undefined || state.kind !== 'semaphore') return []
    cell.leases.look(state, now)
    cell.lookAt = cell.leases.wakeAt(now)
    return cell.leases.over(state.holders).length === 0 ? [] : this.#go(cell, now)
  }
}

const isInUse = ({ waiting, seen }: Cell): boolean =>
  waiting.size > 0 || (seen?.state.kind === 'semaphore' && seen.state.holders.length > 0)

const tell = (
  to: PeerId,
  id: string,
  word: 'decided' | 'stale' | 'waiting' | 'busy',
  version = 0,
  answer: Uint8Array = nothing
): CellEffect => say(to, { kind: 'cell-answer', id, word, version, answer })
