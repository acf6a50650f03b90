/**
 * Proposes values to the keepers of one shard, says which of them are committed, and moves the shard to other keepers.
 *
 * Not here: what the values mean and who produces them (owner.ts), storing them (keeper.ts), when keepers change (repair.ts).
 * The proposer of Paxos, with one ballot for all keys of the shard: ballot 0 belongs to keeper 0 and needs no prepare, but
 * only in the life in which the shard was first stored; a proposer that restarted no longer knows what it had proposed, so
 * it begins with a new round. What it took over is committed again before anything new is proposed.
 *
 * A change of keepers is a value like any other, under `nextIndex`. Once a next list is accepted, nothing else is proposed
 * in the present one; what may have been committed here goes along, and only when all of that is committed there, a marker
 * is. Who finds no marker in a list reads a majority of the list before it. Nothing new is proposed before the marker is
 * committed, and only then may the old list forget.
 */
import { type Ballot, ballotOf, type PeerId, roundOf } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { type Accepted, newest, regroup, withoutLists } from './accepted.ts'
import { type Batch, bytesIn, pack, pickAt, valueAt } from './batch.ts'
import { type Send, send } from './effects.ts'
import { quorumOf, type Seating, seatIn, supplyOf } from './keepers.ts'
import {
  type AcceptedBatch,
  closedIndex,
  encodeNext,
  markIndex,
  nextIndex,
  parseNext,
  type ShardRecord,
  type TaskMessage,
  type TaskMessageOf
} from './messages.ts'
import { patienceFor, patienceMs } from './patience.ts'
import type { Phase } from './phase.ts'
import { Pieces } from './pieces.ts'
import { Promises } from './promises.ts'
import { Proposal } from './proposal.ts'

const nothing = new Uint8Array(0)

export class Register {
  readonly ballot: Ballot
  readonly #self: PeerId
  #record: ShardRecord
  #phase: Phase
  #serial = 0
  /** Proposed in this list, and not yet accepted by every keeper. */
  readonly #pending = new Map<number, Proposal>()
  /** Proposed too early to be sent. */
  #early: Batch[] = []
  /** Batches that must be committed before the next phase. */
  #left = 0
  readonly #promises = new Promises()
  readonly #pieces = new Pieces()
  #markSerial = 0
  /** Keepers that answered, and so have the shard with its inputs; one that is in the list may never have got it. */
  readonly #holders: Set<PeerId>
  #askedAt: Millis = 0
  /** The list that is being proposed. */
  #next: ShardRecord | undefined
  /** What goes along into the next list, or was found in a list without its marker. */
  #carried = new Map<number, Accepted>()
  /** This register brought the shard here, so it knows what the list before may have committed. */
  #isMover = false
  /** The other one of a pair, if this one took the shard over alone: what it may have committed alone is asked for. */
  #unheard: PeerId | undefined
  /** This list is known to be in force, by a proof. */
  #isProven: boolean
  #needsMark = false
  /** Of what was taken over. */
  newestTaken: Ballot = 0
  readonly committed = new Map<number, Accepted>()

  private constructor(record: ShardRecord, self: PeerId, ballot: Ballot, phase: Phase, isProven: boolean) {
    assert(record.keepers.includes(self), `${self} is no keeper of ${record.key}`)
    this.#record = record
    this.#self = self
    this.ballot = ballot
    this.#phase = phase
    this.#isProven = isProven
    this.#holders = new Set([self])
  }

  /** Keeper 0, in the life in which it first heard of the shard. */
  static first(record: ShardRecord, self: PeerId, isEntry: boolean): Register {
    // Nobody but its entry gives a shard to its first keeper, so a node that is both cannot get it as new a second time,
    // and may propose before the shard is on its own disk. Its own vote still counts only when both are.
    return new Register(record, self, 0, isEntry ? 'leading' : 'storing', true)
  }

  /** Any keeper, with a ballot above everything that it promised. `inForce`: the list that is known to be in force. */
  static takeOver(record: ShardRecord, self: PeerId, promised: Ballot, inForce: number): Register {
    const ballot = ballotOf(roundOf(promised) + 1, seatIn(record, self) ?? 0)
    return new Register(record, self, ballot, 'pledging', inForce >= record.list)
  }

  /** With the newest list of keepers. */
  get record(): ShardRecord {
    return this.#record
  }

  get phase(): Phase {
    return this.#phase
  }

  /** True if the list before this one does not count any more. */
  get isInForce(): boolean {
    return this.#phase === 'leading' || this.#phase === 'changing'
  }

  /** The own promise must be on disk before others hear of the ballot: after a restart it is what keeps it from being used again. */
  begin(now: Millis): Send[] {
    if (this.#phase !== 'pledging') return []
    this.#askedAt = now
    return [send(this.#self, this.#prepare())]
  }

  /** The own record is on disk. */
  stored(now: Millis): Send[] {
    return this.#phase === 'storing' ? this.#lead(now) : []
  }

  /** Values of keys that nobody proposed at this ballot before. Sends them now, or as soon as that is allowed. */
  propose(outcomes: Batch, now: Millis): Send[] {
    if (this.#phase !== 'leading') {
      this.#early.push(outcomes)
      return []
    }
    return this.#send(outcomes, now, true)
  }

  /** Moves the shard to other keepers. Only while leading; nothing else is proposed until that is done. */
  changeTo(seating: Seating, now: Millis): Send[] {
    assert(this.#phase === 'leading', `keepers change while ${this.#phase}`)
    this.#phase = 'changing'
    this.#next = { ...this.#record, ...seating }
    return this.#send(pack('', [nextIndex], [encodeNext(seating)]), now)
  }

  promised(from: PeerId, message: TaskMessageOf<'promised'>, now: Millis): Send[] {
    const { list, keepers } = this.#asked()
    if (message.ballot !== this.ballot || message.list !== list || !keepers.includes(from)) return []
    this.#holders.add(from)
    const accepted = this.#pieces.whole(from, message)
    if (accepted === undefined) return []
    if (this.#phase === 'pledging' && from === this.#self) {
      this.#phase = 'preparing'
      this.#askedAt = now
      this.#promises.add(from, accepted)
      return this.#promises.isEnough(keepers) ? this.#go(now) : this.#ask()
    }
    if (this.#phase === 'leading' && from === this.#unheard) return this.#join(accepted, now)
    if (this.#phase !== 'preparing' && this.#phase !== 'reading') return []
    this.#promises.add(from, accepted)
    return this.#promises.isEnough(keepers) ? this.#go(now) : []
  }

  /** What this answer committed that was not before, and what may be sent because of it. */
  accepted(
    from: PeerId,
    message: TaskMessageOf<'accepted'>,
    now: Millis
  ): { committed: Batch | undefined; effects: Send[] } {
    const rank = this.#record.keepers.indexOf(from)
    const proposal = message.list === this.#record.list ? this.#pending.get(message.serial) : undefined
    if (rank < 0 || message.ballot !== this.ballot || proposal === undefined)
      return { committed: undefined, effects: [] }
    this.#holders.add(from)
    const isEnough = proposal.accept(rank)
    if (proposal.isEverywhere) this.#pending.delete(proposal.serial)
    const marks = this.#marksFor(from, rank)
    if (!isEnough) return { committed: undefined, effects: marks }
    const committed = this.#commit(proposal.outcomes)
    return { committed, effects: [...this.#advance(proposal.outcomes, now), ...marks] }
  }

  /** True if every keeper has everything that was proposed. */
  get isEverywhere(): boolean {
    const isSent = this.#pending.size === 0 && this.#early.length === 0
    return isSent && this.#phase === 'leading' && this.#unheard === undefined
  }

  /** Keys whose values are proposed or committed. */
  *taken(): Generator<number> {
    for (const { outcomes } of this.#pending.values()) yield* outcomes.indexes
    yield* this.committed.keys()
  }

  /** Batches that are proposed or committed. */
  batches(): ReadonlySet<Batch> {
    const batches = new Set([...this.#pending.values()].map(({ outcomes }) => outcomes))
    for (const { batch } of this.committed.values()) batches.add(batch)
    return batches
  }

  /** Asks again those who did not answer in time; with `peer`, that one at once. */
  again(now: Millis, isUp: (peer: PeerId) => boolean, peer?: PeerId): Send[] {
    const effects: Send[] = []
    if (this.#isMarkedAt(isUp)) return this.#lead(now)
    const isDue = (at: Millis): boolean => peer !== undefined || now - at >= patienceMs
    const isMeant = (to: PeerId): boolean => (peer === undefined ? isUp(to) : to === peer)
    if (this.#phase === 'pledging' && peer === undefined && isDue(this.#askedAt)) return this.begin(now)
    if (this.#phase === 'preparing' || this.#phase === 'reading') {
      const { keepers } = this.#asked()
      const isEnough = peer === undefined && this.#promises.isMajority(keepers)
      const isAlone = keepers.every((to) => this.#promises.has(to) || !isUp(to))
      // The other one of a pair does not answer.
      if (isEnough && (isAlone || isDue(this.#askedAt))) return this.#go(now)
    }
    if ((this.#phase === 'preparing' || this.#phase === 'reading') && isDue(this.#askedAt)) {
      this.#askedAt = now
      effects.push(...this.#ask().filter(({ to }) => isMeant(to)))
    }
    if (this.#phase === 'leading' && this.#unheard !== undefined && isDue(this.#askedAt)) {
      if (peer === undefined) this.#askedAt = now
      if (isMeant(this.#unheard)) effects.push(send(this.#unheard, this.#prepare()))
    }
    const patience = patienceFor(bytesIn([...this.#pending.values()].map(({ outcomes }) => outcomes)))
    for (const proposal of this.#pending.values()) {
      if (peer === undefined && now - proposal.sentAt < patience) continue
      if (peer === undefined) proposal.sentAt = now
      for (const [rank, to] of this.#record.keepers.entries())
        if (!proposal.hasAccepted(rank) && isMeant(to) && this.#mayGet(proposal, rank))
          effects.push(send(to, this.#accept(proposal)))
    }
    return effects
  }

  /** What a keeper lacks that does not know the shard: this list, and the one before while that is read. */
  supply(to: PeerId): Send[] {
    return supplyOf(this.#record, to, this.#phase === 'reading')
  }

  #commit(outcomes: Batch): Batch | undefined {
    const fresh: number[] = []
    for (const [at, index] of outcomes.indexes.entries()) {
      if (index === nextIndex || index === markIndex || this.committed.has(index)) continue
      this.committed.set(index, { ballot: this.ballot, batch: outcomes, at })
      fresh.push(at)
    }
    return fresh.length === 0 ? undefined : pickAt(outcomes, fresh)
  }

  #go(now: Millis): Send[] {
    return this.#phase === 'reading' ? this.#transfer(this.#promises.found(), now) : this.#adopt(now)
  }

  /** A batch was committed: perhaps the last one of this phase. */
  #advance(outcomes: Batch, now: Millis): Send[] {
    if (outcomes.indexes[0] === nextIndex) return this.#enter(now)
    if (this.#phase === 'marking') return outcomes.indexes[0] === markIndex ? this.#lead(now) : []
    if (this.#phase !== 'recommitting' || --this.#left > 0) return []
    return this.#needsMark ? this.#mark(now) : this.#lead(now)
  }

  /** A majority of the list has promised: what does it know? */
  #adopt(now: Millis): Send[] {
    const { list, keepers, seats } = this.#record
    this.#unheard = keepers.length === 2 ? keepers.find((peer) => !this.#promises.has(peer)) : undefined
    const found = this.#promises.found()
    const next = found.get(nextIndex)
    const seating = next === undefined ? undefined : parseNext(valueAt(next.batch, next.at))
    if (next !== undefined && seating !== undefined) {
      this.#carried = withoutLists(found)
      this.#next = { ...this.#record, ...seating, list: list + 1, before: keepers, beforeSeats: seats }
      this.#phase = 'finishing'
      return this.#send(pickAt(next.batch, [next.at]), now)
    }
    if (this.#isProven || found.has(markIndex)) return this.#recommit(found, now)
    if (this.#isMover) return this.#transfer(found, now)
    this.#carried = withoutLists(found)
    this.#phase = 'reading'
    this.#askedAt = now
    this.#promises.clear()
    return this.#ask()
  }

  /** What the other one of a pair committed alone is committed here, too, unless this one has decided otherwise. */
  #join(accepted: readonly AcceptedBatch[], now: Millis): Send[] {
    this.#unheard = undefined
    const found = newest(accepted)
    const known = new Set(this.taken())
    // What the other one changed the list to is a rival of what this one may change it to.
    const fresh = [...found].filter(
      ([index]) => index <= closedIndex && !known.has(index) && !found.has(nextIndex)
    )
    return regroup(fresh.map(([, value]) => value)).flatMap(({ outcomes }) => this.#send(outcomes, now))
  }

  /** The next list is committed: goes on there. */
  #enter(now: Millis): Send[] {
    const next = this.#next
    assert(next !== undefined, 'a list was committed that nobody proposed')
    if (this.#phase === 'changing') {
      // What was proposed and not committed may yet be: it counts like what was.
      this.#carried = new Map(this.committed)
      for (const { outcomes: batch } of this.#pending.values()) {
        for (const [at, index] of batch.indexes.entries())
          if (!this.#carried.has(index)) this.#carried.set(index, { ballot: this.ballot, batch, at })
      }
      this.#carried = withoutLists(this.#carried)
    }
    this.#next = undefined
    this.#record = next
    this.#pending.clear()
    this.#promises.clear()
    this.#isMover = true
    this.#isProven = false
    this.#phase = 'preparing'
    this.#askedAt = now
    const whole: TaskMessage = { kind: 'store', record: next, isRepair: true }
    // Who has the inputs already need not get them again.
    const slim: TaskMessage = { ...whole, record: { ...next, inputs: pack('', [], []) } }
    const stores = next.keepers.map((to) => send(to, this.#holders.has(to) ? slim : whole))
    return [...stores, ...this.#ask()]
  }

  /** Values of two lists, of which the newer one is right. */
  #transfer(found: Map<number, Accepted>, now: Millis): Send[] {
    const [older, newer] = this.#phase === 'reading' ? [found, this.#carried] : [this.#carried, found]
    this.#needsMark = true
    return this.#recommit(withoutLists(new Map([...older, ...newer])), now)
  }

  #recommit(found: Map<number, Accepted>, now: Millis): Send[] {
    const taken = regroup(found.values())
    this.newestTaken = Math.max(0, ...taken.map(({ ballot }) => ballot))
    this.#promises.clear()
    this.#carried = new Map()
    this.#phase = 'recommitting'
    this.#left = taken.length
    if (taken.length > 0) return taken.flatMap(({ outcomes }) => this.#send(outcomes, now))
    return this.#needsMark ? this.#mark(now) : this.#lead(now)
  }

  #mark(now: Millis): Send[] {
    this.#phase = 'marking'
    this.#markSerial = this.#serial + 1
    return this.#send(pack('', [markIndex], [nothing]), now)
  }

  #lead(now: Millis): Send[] {
    this.#phase = 'leading'
    this.#needsMark = false
    this.#isMover = false
    // Who was in the list before lets go of the shard now, and would need its inputs again.
    for (const peer of this.#holders) if (!this.#record.keepers.includes(peer)) this.#holders.delete(peer)
    return this.#early.splice(0).flatMap((outcomes) => this.#send(outcomes, now, true))
  }

  #send(outcomes: Batch, now: Millis, isFresh = false): Send[] {
    const { length } = this.#record.keepers
    const proposal = new Proposal(++this.#serial, outcomes, length, isFresh, now)
    this.#pending.set(proposal.serial, proposal)
    // One message for all, so that it is encoded once.
    const message = this.#accept(proposal)
    return this.#record.keepers.flatMap((to, rank) => (this.#mayGet(proposal, rank) ? send(to, message) : []))
  }

  /** A marker says that all of a list is there: of a pair one is believed who has it, so nobody gets it before the rest. */
  #mayGet({ serial, outcomes }: Proposal, rank: number): boolean {
    const pending = outcomes.indexes[0] === markIndex ? [...this.#pending.values()] : []
    return pending.every((other) => other.serial >= serial || other.hasAccepted(rank))
  }

  /** True once a keeper has the marker and every other one that is up: of a pair, one that is down is not waited for. */
  #isMarkedAt(isUp: (peer: PeerId) => boolean): boolean {
    const marker = this.#phase === 'marking' ? this.#pending.get(this.#markSerial) : undefined
    if (marker === undefined || marker.count < quorumOf(this.#record.keepers.length)) return false
    return this.#record.keepers.every((peer, rank) => marker.hasAccepted(rank) || !isUp(peer))
  }

  /** The marker, for a keeper that has the rest since now. */
  #marksFor(to: PeerId, rank: number): Send[] {
    const marker = this.#pending.get(this.#markSerial)
    const isDue = marker?.hasAccepted(rank) === false && this.#mayGet(marker, rank)
    return isDue ? [send(to, this.#accept(marker))] : []
  }

  #accept({ serial, outcomes }: Proposal): TaskMessage {
    const { key, list } = this.#record
    return { kind: 'accept', key, list, ballot: this.ballot, serial, outcomes }
  }

  /** Whose promises are waited for. */
  #asked(): { list: number; keepers: readonly PeerId[] } {
    const { list, keepers, before } = this.#record
    return this.#phase === 'reading' ? { list: list - 1, keepers: before } : { list, keepers }
  }

  #ask(): Send[] {
    const message = this.#prepare()
    return this.#asked()
      .keepers.filter((peer) => !this.#promises.has(peer))
      .map((peer) => send(peer, message))
  }

  #prepare(): TaskMessage {
    return { kind: 'prepare', key: this.#record.key, list: this.#asked().list, ballot: this.ballot }
  }
}
