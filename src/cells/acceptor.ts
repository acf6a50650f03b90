/**
 * What a member of the council has promised and accepted of each cell, and which list of members is the newest it knows.
 *
 * Not here: proposing (proposer.ts), how the next list comes about (chair.ts), and bringing cells into it (seating.ts).
 * Each cell is a register of its own, without a log and without a leader: CASPaxos (Rystsov, 2018). Who knows of a next list
 * accepts nothing in the one before: what may have been decided there is then fixed, and can be read from a majority of it.
 */
import type { CellKey, PeerId } from '../ids.ts'
import { assert } from '../machine.ts'
import { type CellEffect, type CellSend, say, write } from './effects.ts'
import {
  type AcceptedState,
  type Ballot,
  type CellMessageOf,
  type CellRecord,
  type Council,
  compareBallots,
  nextBallot,
  noBallot,
  type PagedCell
} from './messages.ts'

interface Kept {
  readonly mesh: string
  readonly number: number
  readonly promised: Ballot
  readonly accepted: AcceptedState | undefined
}

const councilKey = 'cells' as CellKey
/** A key of the store: ASCII, and different for different names. */
const keyOf = (name: string): CellKey =>
  `cell:${name.replace(/[^A-Za-z0-9_.-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}` as CellKey

export class Acceptor {
  readonly #self: PeerId
  readonly #cells = new Map<string, Kept>()
  #council: Council | undefined
  /** A member that has all cells. One that is not yet has those of the list before, if it was a member of that. */
  #isSeated = false
  #bytes = 0

  constructor(self: PeerId) {
    this.#self = self
  }

  get council(): Council | undefined {
    return this.#council
  }

  get isSeated(): boolean {
    return this.#isSeated
  }

  get isMember(): boolean {
    return this.#council?.members.includes(this.#self) === true
  }

  /** Of the list before, which others may need. */
  get hasOld(): boolean {
    return !this.#isSeated && this.#council !== undefined && this.#council.before.includes(this.#self)
  }

  get size(): number {
    return this.#cells.size
  }

  get bytes(): number {
    return this.#bytes
  }

  has(name: string): boolean {
    return this.#cells.has(name)
  }

  restore(record: CellRecord): void {
    if (record.kind === 'council-kept') {
      this.#council = record.council
      this.#isSeated = record.isSeated
    } else {
      const { name, mesh, number, promised, accepted } = record
      this.#set(name, { mesh, number, promised, accepted: accepted[0] })
    }
  }

  /** All records were read: those of lists that do not count any more go. */
  restored(): void {
    const { mesh, number } = this.#council ?? { mesh: '', number: 0 }
    // A crash while it took its seat may have left cells that were written for this list already: they say no less.
    const least = this.#isSeated || !this.hasOld ? number : number - 1
    for (const [name, kept] of this.#cells)
      if (kept.mesh !== mesh || kept.number < least || kept.number > number) this.#delete(name)
  }

  /** A list that is newer than what was known here. Nothing is accepted in the one before from now on. */
  learn(council: Council): CellEffect[] {
    const last = this.#council
    const isNext = last !== undefined && last.mesh === council.mesh && last.number + 1 === council.number
    const mayBeNeeded = isNext && this.#isSeated
    this.#council = council
    // Nothing was before the first list.
    this.#isSeated = council.number === 1 && this.isMember
    const effects: CellEffect[] = [this.#writeCouncil()]
    if (!mayBeNeeded) for (const name of [...this.#cells.keys()]) effects.push(this.#remove(name))
    return effects
  }

  /** All that may have been decided before this list is here now. */
  seat(found: ReadonlyMap<string, AcceptedState>, then: readonly CellSend[]): CellEffect[] {
    assert(this.#council !== undefined && !this.#isSeated, 'seated twice')
    const { mesh, number } = this.#council
    const effects: CellEffect[] = []
    for (const name of [...this.#cells.keys()]) if (!found.has(name)) effects.push(this.#remove(name))
    for (const [name, accepted] of found) {
      this.#set(name, { mesh, number, promised: accepted.ballot, accepted })
      effects.push(this.#write(name, []))
    }
    this.#isSeated = true
    return [...effects, this.#writeCouncil(then)]
  }

  /** Enough others have what is here of the list before, and this node is in none of them. */
  letGo(): CellEffect[] {
    if (this.#isSeated || this.isMember || this.#cells.size === 0) return []
    return [...this.#cells.keys()].map((name) => this.#remove(name))
  }

  prepare(from: PeerId, message: CellMessageOf<'cell-prepare'>): CellEffect[] {
    const { name, ballot } = message
    const kept = this.#cells.get(name)
    const promised = kept?.promised ?? noBallot
    // The same again is answered again, after a sync of its own.
    if (compareBallots(ballot, promised) < 0) return [reject(from, message, promised)]
    const { mesh, number } = message
    this.#set(name, { mesh, number, promised: ballot, accepted: kept?.accepted })
    const accepted = kept?.accepted === undefined ? [] : [kept.accepted]
    return [this.#write(name, [say(from, { kind: 'cell-promised', mesh, number, name, ballot, accepted })])]
  }

  accept(from: PeerId, message: CellMessageOf<'cell-accept'>): CellEffect[] {
    const { mesh, number, name, ballot, state } = message
    const kept = this.#cells.get(name)
    const promised = kept?.promised ?? noBallot
    const next = nextBallot(ballot)
    // Said again: it was accepted, and nobody else has come since.
    const isAgain = isLast(kept, ballot)
    if (!isAgain && compareBallots(ballot, promised) < 0) return [reject(from, message, promised)]
    this.#set(name, { mesh, number, promised: next, accepted: { ballot, state } })
    return [this.#write(name, [say(from, { kind: 'cell-accepted', mesh, number, name, ballot })])]
  }

  /** Writes nothing, as it promises nothing. */
  check(from: PeerId, message: CellMessageOf<'cell-check'>): CellEffect[] {
    const { mesh, number, name, ballot, serial } = message
    const kept = this.#cells.get(name)
    if (!isLast(kept, ballot)) return [reject(from, message, kept?.promised ?? noBallot)]
    return [say(from, { kind: 'cell-checked', mesh, number, name, ballot, serial })]
  }

  /** What was accepted of the cells whose names come after `after`, in order. */
  *accepted(after: string): Generator<PagedCell> {
    for (const name of [...this.#cells.keys()].sort()) {
      const accepted = this.#cells.get(name)?.accepted
      if (name > after && accepted !== undefined) yield { name, ...accepted }
    }
  }

  /** Says this once it is on disk that nothing more will be accepted before this list. */
  sealed(then: readonly CellSend[]): CellEffect[] {
    return [this.#writeCouncil(then)]
  }

  verify(): void {
    let bytes = 0
    for (const { promised, accepted } of this.#cells.values()) {
      bytes += accepted?.state.byteLength ?? 0
      if (accepted !== undefined)
        assert(compareBallots(accepted.ballot, promised) <= 0, 'accepted above its promise')
    }
    assert(bytes === this.#bytes, `${this.#bytes} bytes of cells, ${bytes} counted`)
  }

  #set(name: string, kept: Kept): void {
    this.#delete(name)
    this.#cells.set(name, kept)
    this.#bytes += kept.accepted?.state.byteLength ?? 0
  }

  #delete(name: string): void {
    this.#bytes -= this.#cells.get(name)?.accepted?.state.byteLength ?? 0
    this.#cells.delete(name)
  }

  #remove(name: string): CellEffect {
    this.#delete(name)
    return write(keyOf(name), [])
  }

  #write(name: string, then: readonly CellSend[]): CellEffect {
    const { mesh, number, promised, accepted } = this.#cells.get(name) as Kept
    const record: CellRecord = {
      kind: 'cell-kept',
      mesh,
      number,
      name,
      promised,
      accepted: accepted === undefined ? [] : [accepted]
    }
    return write(keyOf(name), [record], then)
  }

  #writeCouncil(then: readonly CellSend[] = []): CellEffect {
    const council = this.#council as Council
    return write(councilKey, [{ kind: 'council-kept', council, isSeated: this.#isSeated }], then)
  }
}

/** It was accepted, and nothing else was promised since. */
const isLast = (kept: Kept | undefined, ballot: Ballot): boolean =>
  kept?.accepted !== undefined &&
  compareBallots(kept.accepted.ballot, ballot) === 0 &&
  compareBallots(kept.promised, nextBallot(ballot)) === 0

function reject(
  to: PeerId,
  { mesh, number, name, ballot }: CellMessageOf<'cell-prepare' | 'cell-accept' | 'cell-check'>,
  promised: Ballot
): CellSend {
  return say(to, { kind: 'cell-rejected', mesh, number, name, ballot, promised })
}
