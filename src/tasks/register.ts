/**
 * Proposes values to the keepers of one shard, and says which of them are committed.
 *
 * Not here: what the values mean and who produces them (owner.ts), and storing them (keeper.ts).
 * The proposer of Paxos, with one ballot for all keys of the shard: ballot 0 belongs to keeper 0 and needs no prepare, but
 * only in the life in which the shard was first stored; a proposer that restarted no longer knows what it had proposed, so
 * it begins with a new round. What it took over is committed again before anything new is proposed.
 */
import { type Ballot, ballotOf, type PeerId, roundOf } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import type { Batch } from './batch.ts'
import { type Send, send } from './effects.ts'
import { type Accepted, newest, regroup } from './keeper.ts'
import type { AcceptedBatch, ShardRecord, TaskMessage } from './messages.ts'

/** Between two tries to reach a keeper that did not answer. */
export const proposeAgainMs = 1_000

/**
 * storing: ballot 0, own record not yet on disk. pledging: own promise not yet on disk. preparing: asking the others.
 * recommitting: what was taken over is on its way. leading: anything may be proposed.
 */
export type Phase = 'storing' | 'pledging' | 'preparing' | 'recommitting' | 'leading'

interface Proposal {
  readonly serial: number
  readonly outcomes: Batch
  /** Bit `rank` is set when that keeper accepted. */
  acks: number
  sentAt: Millis
}

/** Copies whose majority commits. Two keepers cannot have both a majority and the loss of one: there, one copy commits. */
export const quorumOf = (keepers: number): number => (keepers === 2 ? 1 : Math.floor(keepers / 2) + 1)

export class Register {
  readonly record: ShardRecord
  readonly ballot: Ballot
  readonly #rank: number
  readonly #quorum: number
  readonly #everybody: number
  #phase: Phase
  #serial = 0
  /** Proposed, and not yet accepted by every keeper. */
  readonly #pending = new Map<number, Proposal>()
  /** Proposed too early to be sent. */
  #early: Batch[] = []
  #recommits = 0
  readonly #promises = new Map<number, readonly AcceptedBatch[]>()
  #askedAt: Millis = 0
  readonly committed = new Map<number, Accepted>()

  private constructor(record: ShardRecord, self: PeerId, ballot: Ballot, phase: Phase) {
    this.record = record
    this.ballot = ballot
    this.#rank = record.keepers.indexOf(self)
    assert(this.#rank >= 0, `${self} is no keeper of ${record.key}`)
    this.#quorum = quorumOf(record.keepers.length)
    this.#everybody = (1 << record.keepers.length) - 1
    this.#phase = phase
  }

  /** Keeper 0, in the life in which it first heard of the shard. */
  static first(record: ShardRecord, self: PeerId, isEntry: boolean): Register {
    // Nobody but its entry gives a shard to its first keeper, so a node that is both cannot get it as new a second time,
    // and may propose before the shard is on its own disk. Its own vote still counts only when both are.
    return new Register(record, self, 0, isEntry ? 'leading' : 'storing')
  }

  /** Any keeper, with a ballot above everything that it promised. */
  static takeOver(record: ShardRecord, self: PeerId, promised: Ballot): Register {
    const round = roundOf(promised) + 1
    return new Register(record, self, ballotOf(round, record.keepers.indexOf(self)), 'pledging')
  }

  get phase(): Phase {
    return this.#phase
  }

  /** The own promise must be on disk before others hear of the ballot: after a restart it is what keeps it from being used again. */
  begin(now: Millis): Send[] {
    if (this.#phase !== 'pledging') return []
    this.#askedAt = now
    return [this.#to(this.#rank, { kind: 'prepare', key: this.record.key, ballot: this.ballot })]
  }

  /** The own record is on disk. */
  stored(now: Millis): Send[] {
    if (this.#phase !== 'storing') return []
    this.#phase = 'leading'
    return this.#sendEarly(now)
  }

  /** Values of keys that nobody proposed at this ballot before. Sends them now, or as soon as that is allowed. */
  propose(outcomes: Batch, now: Millis): Send[] {
    if (this.#phase !== 'leading') {
      this.#early.push(outcomes)
      return []
    }
    return this.#send(outcomes, now)
  }

  promised(from: PeerId, message: Extract<TaskMessage, { kind: 'promised' }>, now: Millis): Send[] {
    const rank = this.record.keepers.indexOf(from)
    if (rank < 0 || message.ballot !== this.ballot) return []
    if (this.#phase === 'pledging' && rank === this.#rank) {
      this.#phase = 'preparing'
      this.#promises.set(rank, message.accepted)
      this.#askedAt = now
      return this.#promises.size >= this.#quorum ? this.#adopt(now) : this.#askOthers()
    }
    if (this.#phase !== 'preparing') return []
    this.#promises.set(rank, message.accepted)
    return this.#promises.size >= this.#quorum ? this.#adopt(now) : []
  }

  /** The batch that this answer committed, if it did, and what may be sent because of it. */
  accepted(
    from: PeerId,
    message: Extract<TaskMessage, { kind: 'accepted' }>,
    now: Millis
  ): { committed: Batch | undefined; effects: Send[] } {
    const rank = this.record.keepers.indexOf(from)
    const proposal = this.#pending.get(message.serial)
    if (rank < 0 || message.ballot !== this.ballot || proposal === undefined)
      return { committed: undefined, effects: [] }
    const before = bits(proposal.acks)
    proposal.acks |= 1 << rank
    const after = bits(proposal.acks)
    if (proposal.acks === this.#everybody) this.#pending.delete(proposal.serial)
    if (before >= this.#quorum || after < this.#quorum) return { committed: undefined, effects: [] }
    const { outcomes: batch } = proposal
    for (let at = 0; at < batch.indexes.length; at++) {
      this.committed.set(batch.indexes[at] as number, { ballot: this.ballot, batch, at })
    }
    if (this.#phase !== 'recommitting' || --this.#recommits > 0) return { committed: batch, effects: [] }
    this.#phase = 'leading'
    return { committed: batch, effects: this.#sendEarly(now) }
  }

  /** True if every keeper has everything that was proposed. */
  get isEverywhere(): boolean {
    return this.#pending.size === 0 && this.#early.length === 0 && this.#phase === 'leading'
  }

  /** Keys whose values are proposed or committed. */
  *taken(): Generator<number> {
    for (const { outcomes } of this.#pending.values()) yield* outcomes.indexes
    for (const index of this.committed.keys()) yield index
  }

  /** Asks again those who did not answer for `proposeAgainMs`; with `peer`, that one at once. */
  again(now: Millis, isUp: (peer: PeerId) => boolean, peer?: PeerId): Send[] {
    const effects: Send[] = []
    const isDue = (at: Millis): boolean => peer !== undefined || now - at >= proposeAgainMs
    if (this.#phase === 'pledging' && peer === undefined && isDue(this.#askedAt)) return this.begin(now)
    if (this.#phase === 'preparing' && isDue(this.#askedAt)) {
      this.#askedAt = now
      effects.push(...this.#askOthers().filter(({ to }) => (peer === undefined ? isUp(to) : to === peer)))
    }
    for (const proposal of this.#pending.values()) {
      if (!isDue(proposal.sentAt)) continue
      if (peer === undefined) proposal.sentAt = now
      for (const [rank, to] of this.record.keepers.entries()) {
        if ((proposal.acks & (1 << rank)) !== 0 || !isUp(to) || (peer !== undefined && to !== peer)) continue
        effects.push(send(to, this.#accept(proposal)))
      }
    }
    return effects
  }

  #adopt(now: Millis): Send[] {
    const taken = regroup(
      newest([...this.#promises.values()].flat().toSorted((a, b) => a.ballot - b.ballot)).values()
    )
    this.#promises.clear()
    this.#phase = 'recommitting'
    this.#recommits = taken.length
    if (taken.length > 0) return taken.flatMap(({ outcomes }) => this.#send(outcomes, now))
    this.#phase = 'leading'
    return this.#sendEarly(now)
  }

  #sendEarly(now: Millis): Send[] {
    const early = this.#early
    this.#early = []
    return early.flatMap((outcomes) => this.#send(outcomes, now))
  }

  #send(outcomes: Batch, now: Millis): Send[] {
    const proposal: Proposal = { serial: ++this.#serial, outcomes, acks: 0, sentAt: now }
    this.#pending.set(proposal.serial, proposal)
    // One message for all, so that it is encoded once.
    const message = this.#accept(proposal)
    return this.record.keepers.map((to) => send(to, message))
  }

  #accept({ serial, outcomes }: Proposal): TaskMessage {
    return { kind: 'accept', key: this.record.key, ballot: this.ballot, serial, outcomes }
  }

  #askOthers(): Send[] {
    const others = this.record.keepers.map((_, rank) => rank).filter((rank) => !this.#promises.has(rank))
    return others.map((rank) =>
      this.#to(rank, { kind: 'prepare', key: this.record.key, ballot: this.ballot })
    )
  }

  #to(rank: number, message: TaskMessage): Send {
    return send(this.record.keepers[rank] as PeerId, message)
  }
}

function bits(mask: number): number {
  let count = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++
  return count
}
