/**
 * How a new member gets all cells: what may have been decided in the list before, from a majority of it, or all from a member
 * that is seated already.
 *
 * Not here: what becomes of them (acceptor.ts).
 * Members may find different things that were never decided. Each keeps what it found under its old ballot, so the first to
 * propose in the new list sees the highest of a majority, as it would have in the old one.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Acceptor } from './acceptor.ts'
import { majority } from './council.ts'
import { type CellEffect, say } from './effects.ts'
import {
  type AcceptedState,
  type CellMessageOf,
  type Council,
  compareBallots,
  type PagedCell,
  pageBytesMax,
  pageCellsMax
} from './messages.ts'

const againMs = 1_000

interface Source {
  /** The last name that came. */
  after: string
  isDone: boolean
  /** All that came from it so far came when it was seated. */
  isSeated: boolean
  askedAt: Millis
}

export class Seating {
  readonly #self: PeerId
  readonly #acceptor: Acceptor
  /** The list that these are for. */
  #council: Council | undefined
  readonly #sources = new Map<PeerId, Source>()
  #found = new Map<string, AcceptedState>()
  /** Of this list, those that said that they are seated. */
  readonly #seated = new Set<PeerId>()

  constructor(self: PeerId, acceptor: Acceptor) {
    this.#self = self
    this.#acceptor = acceptor
  }

  /** So many that the list before does not matter any more. */
  get isInForce(): boolean {
    const { council, isSeated } = this.#acceptor
    return council !== undefined && this.#seated.size + Number(isSeated) >= majority(council.members.length)
  }

  get isPulling(): boolean {
    return this.#acceptor.isMember && !this.#acceptor.isSeated
  }

  /** Another list is the newest. */
  begin(now: Millis): CellEffect[] {
    this.#council = this.#acceptor.council
    this.#sources.clear()
    this.#seated.clear()
    this.#found = new Map()
    if (!this.isPulling || this.#council === undefined) return []
    const { before, members } = this.#council
    for (const peer of new Set([...before, ...members]))
      if (peer !== this.#self)
        this.#sources.set(peer, { after: '', isDone: false, isSeated: true, askedAt: 0 })
    // What it has itself was sealed when it learned of the list.
    if (this.#acceptor.hasOld) for (const cell of this.#acceptor.accepted('')) this.#take(cell)
    return [...this.#seatIfDone(false), ...this.again(now)]
  }

  again(now: Millis): CellEffect[] {
    const { council } = this.#acceptor
    if (!this.isPulling || council === undefined) return []
    const { mesh, number } = council
    const effects: CellEffect[] = []
    for (const [peer, source] of this.#sources) {
      if (source.isDone || (source.askedAt > 0 && now - source.askedAt < againMs)) continue
      source.askedAt = now
      effects.push(say(peer, { kind: 'cell-pull', mesh, number, after: source.after }))
    }
    return effects
  }

  /** What is here for a new member. Only who is of the list before, or seated in this one, has an answer. */
  pulled(from: PeerId, { mesh, number, after }: CellMessageOf<'cell-pull'>): CellEffect[] {
    const { isSeated, hasOld } = this.#acceptor
    if (!isSeated && !hasOld) return []
    const cells: PagedCell[] = []
    let bytes = 0
    let isLast = true
    for (const cell of this.#acceptor.accepted(after)) {
      if (cells.length === pageCellsMax || bytes > pageBytesMax) {
        isLast = false
        break
      }
      cells.push(cell)
      bytes += cell.state.byteLength
    }
    return this.#acceptor.sealed([
      say(from, { kind: 'cell-page', mesh, number, after, isSeated, isLast, cells })
    ])
  }

  page(from: PeerId, message: CellMessageOf<'cell-page'>, now: Millis): CellEffect[] {
    const source = this.#sources.get(from)
    const { after, isSeated, isLast, cells, mesh, number } = message
    if (!this.isPulling || source === undefined || source.isDone || source.after !== after) return []
    for (const cell of cells) this.#take(cell)
    source.after = cells.at(-1)?.name ?? after
    source.isDone = isLast
    source.isSeated &&= isSeated
    if (isLast) return this.#seatIfDone(source.isSeated)
    source.askedAt = now
    return [say(from, { kind: 'cell-pull', mesh, number, after: source.after })]
  }

  seated(from: PeerId): CellEffect[] {
    if (this.#acceptor.council?.members.includes(from) !== true) return []
    this.#seated.add(from)
    return this.isInForce ? this.#acceptor.letGo() : []
  }

  /** For who may not have heard it. */
  tell(to: PeerId): CellEffect[] {
    const { council, isSeated } = this.#acceptor
    if (council === undefined || !isSeated || !council.before.includes(to)) return []
    return this.#acceptor.sealed([
      say(to, { kind: 'cell-seated', mesh: council.mesh, number: council.number })
    ])
  }

  #take({ name, ballot, state }: PagedCell): void {
    const known = this.#found.get(name)
    if (known === undefined || compareBallots(ballot, known.ballot) > 0)
      this.#found.set(name, { ballot, state })
  }

  #seatIfDone(isEnough: boolean): CellEffect[] {
    const council = this.#council
    if (council === undefined) return []
    const { before, members, mesh, number } = council
    const has = (peer: PeerId): boolean =>
      peer === this.#self ? this.#acceptor.hasOld : this.#sources.get(peer)?.isDone === true
    if (!isEnough && before.filter(has).length < majority(before.length)) return []
    const others = [...new Set([...before, ...members])].filter((peer) => peer !== this.#self)
    const told = others.map((to) => say(to, { kind: 'cell-seated', mesh, number }))
    const found = this.#found
    this.#found = new Map()
    this.#sources.clear()
    return this.#acceptor.seat(found, told)
  }
}
