/**
 * One shard as its owner sees it: its register, its tasks, and who wants to hear of its outcomes.
 *
 * Not here: claims and the choice among shards (owner.ts), becoming owner (succession.ts).
 * An outcome is proposed when it arrives and confirmed to its producer when it is committed; between the two the producer
 * keeps it, so that an owner that dies takes no finished work with it.
 */
import { fromString } from 'uint8arrays/from-string'
import type { ErrorCode } from '../errors.ts'
import { type Attempt, type PeerId, type ShardKey, shardName, taskId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Batch, encodeOutcome, pack, pickAt, readOutcomeHeader, STATUS, valueAt } from './batch.ts'
import { type Send, send } from './effects.ts'
import { regroup } from './keeper.ts'
import { attemptBase, closedIndex, placementBase, type ShardRecord, type TaskMessageOf } from './messages.ts'
import { lossesMax, Queue, type Return, TASK } from './queue.ts'
import type { Register } from './register.ts'

/** Silence of a holder after which the owner asks whether it still has its grants. */
const probeAfterMs = 1_000
/** How long a new owner waits to be told what runs already. */
export const inheritMs = 150

const nothing = new Uint8Array(0)

export class Lead {
  readonly register: Register
  readonly watchers = new Set<PeerId>()
  readonly #self: PeerId
  #queue: Queue
  /** Placements and the closing of a job that were proposed here. */
  readonly #entries = new Set<number>()
  readonly #heardAt = new Map<PeerId, Millis>()
  /** Nodes that were lost with a task, for the message of TASK_POISONED. */
  readonly #lostOn = new Map<number, PeerId[]>()
  readonly #inherited: Uint32Array | undefined
  /** Attempts up to this one are marked in the register, so that no later owner gives one of them to another run. */
  #marked: Attempt = 1
  #marking: Attempt = 1
  #isOpen: boolean
  #grantsFrom: Millis = 0

  /** `inherited`: what the owner before this one handed over. */
  constructor(register: Register, self: PeerId, inherited?: Uint32Array) {
    this.register = register
    this.#self = self
    this.#inherited = inherited
    // In round 0 nothing can have been proposed before.
    this.#isOpen = register.phase === 'storing' || register.phase === 'leading'
    this.#queue = new Queue(register.record.count)
  }

  get record(): ShardRecord {
    return this.register.record
  }

  get key(): ShardKey {
    return this.register.record.key
  }

  get queue(): Queue {
    return this.#queue
  }

  /** Tasks that may be granted now. */
  waiting(now: Millis): number {
    // A settled shard has no inputs any more, and nothing waits in it.
    const { inputs, count } = this.record
    return this.#isOpen && now >= this.#grantsFrom && inputs.indexes.length === count
      ? this.#queue.waiting
      : 0
  }

  /** When tasks that wait may be granted, if that is later than `now`. */
  opensAt(now: Millis): Millis | undefined {
    return this.#isOpen && this.#queue.waiting > 0 && this.#grantsFrom > now ? this.#grantsFrom : undefined
  }

  /** What was taken over is known now: the rest may be granted, once those who run some of it had time to say so. */
  open(now: Millis): boolean {
    const { phase } = this.register
    const isKnown = phase === 'recommitting' || phase === 'marking' || this.register.isInForce
    if (this.#isOpen || !isKnown) return false
    this.#isOpen = true
    this.#grantsFrom = now + inheritMs
    const taken = [...this.register.taken()]
    for (const index of taken)
      if (index > attemptBase) this.#marked = Math.max(this.#marked, index - attemptBase)
    // What the owner before granted is not known, unless it said so: no attempt of its is used again.
    this.#queue = new Queue(this.record.count, this.#inherited === undefined ? this.#marked + 1 : 1)
    if (this.#inherited !== undefined) this.#queue.inherit(this.#inherited)
    this.#marking = this.#marked
    for (const index of taken) {
      if (index < this.record.count) this.#queue.propose(index)
      else this.#entries.add(index)
    }
    for (const index of this.register.committed.keys())
      if (index < this.record.count) this.#queue.commit(index)
    return true
  }

  /** Marks the attempts that are about to be granted. Nothing is granted before that is committed. */
  mark(now: Millis): Send[] {
    const { highestAttempt, waiting } = this.#queue
    if (!this.#isOpen || waiting === 0 || highestAttempt <= this.#marking) return []
    this.#marking = highestAttempt
    return this.register.propose(pack('', [attemptBase + highestAttempt], [nothing]), now)
  }

  /** What the next owner should know, if it is told in good order. */
  handover(): TaskMessageOf<'handover'> {
    return { kind: 'handover', key: this.key, ballot: this.register.ballot, states: this.#queue.states() }
  }

  /** True if every task, and every entry of the job's register, is committed and at every keeper. */
  get isComplete(): boolean {
    if (!this.#isOpen || this.#queue.unfinished > 0 || !this.register.isEverywhere) return false
    return shardName(this.key).index > 0 || this.#isClosed()
  }

  grant(
    to: PeerId,
    most: number,
    elsewhere: boolean,
    now: Millis
  ): { grant: TaskMessageOf<'grant'>; tasks: number } | undefined {
    const picked = this.#queue.take(to, most, elsewhere)
    if (picked === undefined) return undefined
    this.#heardAt.set(to, now)
    const { key, header, list, keepers, first, inputs } = this.record
    const { indexes, attempt } = picked
    // Inputs are stored in order: the value of task `i` is at position `i`.
    const grant = {
      kind: 'grant',
      key,
      header,
      list,
      keepers,
      first,
      attempt,
      inputs: pickAt(inputs, indexes)
    } as const
    return { grant: { ...grant, waiting: this.#queue.waiting }, tasks: indexes.length }
  }

  outcomes(from: PeerId, outcomes: Batch, now: Millis): Send[] {
    this.#heardAt.set(from, now)
    if (!this.#isOpen) return []
    const fresh: number[] = []
    const stale: number[] = []
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const index = outcomes.indexes[at] as number
      if (index >= this.record.count) continue
      const state = this.#queue.state(index)
      if (state === TASK.committed || (state !== TASK.proposed && this.#retries(outcomes, at, index)))
        stale.push(index)
      else if (this.#queue.propose(index)) fresh.push(at)
    }
    const effects = fresh.length === 0 ? [] : this.register.propose(pickAt(outcomes, fresh), now)
    if (stale.length > 0 && outcomes.node !== '') effects.push(confirm(outcomes.node, this.key, stale))
    return effects
  }

  /** Tells those who follow, and lets the producer forget. */
  committed(all: Batch): Send[] {
    const told: number[] = []
    for (const [at, index] of all.indexes.entries()) {
      if (index < this.record.count) this.#queue.commit(index)
      if (index <= closedIndex) told.push(at)
      else if (index > attemptBase) this.#marked = Math.max(this.#marked, index - attemptBase)
    }
    if (told.length === 0) return []
    const { key } = this
    const batch = pickAt(all, told)
    const effects = [...this.watchers].map((to) =>
      send(to, { kind: 'committed', key, outcomes: batch, settled: false })
    )
    const tasks = batch.indexes.filter((index) => index < this.record.count)
    if (batch.node !== '' && tasks.length > 0)
      effects.push(send(batch.node, { kind: 'confirm', key, indexes: tasks }))
    return effects
  }

  watch(from: PeerId, have: Uint32Array): Send[] {
    this.watchers.add(from)
    const has = new Set(have)
    const isNews = (index: number): boolean => index <= closedIndex && !has.has(index)
    const news = [...this.register.committed].filter(([index]) => isNews(index)).map(([, value]) => value)
    return regroup(news).map(({ outcomes }) =>
      send(from, { kind: 'committed', key: this.key, outcomes, settled: false })
    )
  }

  /** Entries of the job's register. First come, first kept; the proposer hears what is committed. */
  propose(from: PeerId, entries: Batch, now: Millis): Send[] {
    this.watchers.add(from)
    if (!this.#isOpen || shardName(this.key).index !== 0) return []
    const fresh: number[] = []
    const known: number[] = []
    for (const [at, index] of entries.indexes.entries()) {
      if (index <= placementBase || index > closedIndex) continue
      if (this.register.committed.has(index)) known.push(index)
      else if (!this.#entries.has(index)) {
        this.#entries.add(index)
        fresh.push(at)
      }
    }
    const found = known.flatMap((index) => this.register.committed.get(index) ?? [])
    const effects = regroup(found).map(({ outcomes }) =>
      send(from, { kind: 'committed', key: this.key, outcomes, settled: false })
    )
    if (fresh.length > 0) effects.push(...this.register.propose(pickAt(entries, fresh), now))
    return effects
  }

  cancel(now: Millis): Send[] {
    if (!this.#isOpen) return []
    const holders = this.#queue.holders().map((peer) => [peer, this.#queue.heldBy(peer)] as const)
    const open = range(this.record.count).filter((index) => this.#queue.state(index) <= TASK.granted)
    return [
      ...this.#conclude(open, STATUS.cancelled, () => nothing, now),
      ...holders.map(([to, held]) =>
        send(to, { kind: 'revoke', key: this.key, indexes: Uint32Array.from(held) })
      )
    ]
  }

  /** Tasks that came back from `peer`, or never reached it. */
  returned(peer: PeerId, indexes: Iterable<number>, because: Return): number {
    let count = 0
    for (const index of indexes) {
      if (index >= this.record.count || !this.#queue.isHeldBy(index, peer)) continue
      this.#queue.release(index, because)
      count++
    }
    return count
  }

  /** Engines of `peer` that ended with these tasks; all that it held, if it was lost itself. */
  lost(peer: PeerId, indexes: Iterable<number> | undefined, now: Millis): Send[] {
    const poisoned: number[] = []
    for (const index of indexes ?? this.#queue.heldBy(peer)) {
      if (index >= this.record.count || !this.#queue.isHeldBy(index, peer)) continue
      const where = [...(this.#lostOn.get(index) ?? []), peer]
      this.#lostOn.set(index, where)
      this.#queue.release(index, 'lost', peer)
      if (this.#queue.losses(index) >= lossesMax) poisoned.push(index)
    }
    const failure = (index: number): Uint8Array => {
      const where = (this.#lostOn.get(index) ?? []).join(', ')
      const task = taskId(this.record.header.job, this.record.first + index)
      const message = `${task} ended ${lossesMax} engines, on ${where}; look at what it does to its process`
      return encodeCause('TASK_POISONED', message)
    }
    return this.#conclude(poisoned, STATUS.error, failure, now)
  }

  holding(peer: PeerId, indexes: Iterable<number>, attempt: number, now: Millis): void {
    this.#heardAt.set(peer, now)
    if (!this.#isOpen) return
    for (const index of indexes) if (index < this.record.count) this.#queue.hold(index, peer, attempt)
  }

  /** Asks silent holders whether they have what they were granted. */
  probes(now: Millis, isUp: (peer: PeerId) => boolean): Send[] {
    const silent = this.#queue
      .holders()
      .filter((peer) => isUp(peer) && now - (this.#heardAt.get(peer) ?? 0) >= probeAfterMs)
    return silent.map((peer) => {
      this.#heardAt.set(peer, now)
      return send(peer, { kind: 'probe', key: this.key, indexes: Uint32Array.from(this.#queue.heldBy(peer)) })
    })
  }

  /** True if this failure is not the last word: the task waits again, or has been waiting already. */
  #retries(outcomes: Batch, at: number, index: number): boolean {
    const { status, attempt } = readOutcomeHeader(valueAt(outcomes, at))
    if (status !== STATUS.error) return false
    if (attempt < this.#queue.attempt(index)) return true
    if (this.#queue.failures(index) >= this.record.header.retries) return false
    if (this.#queue.state(index) !== TASK.granted) return false
    this.#queue.release(index, 'failed', outcomes.node === '' ? undefined : outcomes.node)
    return true
  }

  #conclude(indexes: number[], status: 1 | 2, payload: (index: number) => Uint8Array, now: Millis): Send[] {
    const open = indexes.filter((index) => this.#queue.propose(index))
    if (open.length === 0) return []
    const values = open.map((index) =>
      encodeOutcome(
        { status, slot: 0, attempt: this.#queue.attempt(index), elapsedMs: 0, startedAt: 0 },
        payload(index)
      )
    )
    return this.register.propose(pack(this.#self, open, values), now)
  }

  #isClosed(): boolean {
    const { committed } = this.register
    const closed = committed.get(closedIndex)
    const shards = closed === undefined ? this.record.shards : readClosed(valueAt(closed.batch, closed.at))
    if (shards === 0) return false
    let placed = 0
    for (const index of committed.keys()) if (index > placementBase && index < closedIndex) placed++
    return placed >= shards - 1
  }
}

/** Priority; sorted stably, then the order in which shards came here. A submitter's clock decides nothing. */
export function byUrgency(a: Lead, b: Lead): number {
  return b.record.header.priority - a.record.header.priority
}

export const confirm = (to: PeerId, key: ShardKey, indexes: readonly number[]): Send =>
  send(to, { kind: 'confirm', key, indexes: Uint32Array.from(indexes) })

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** A failure that the owner states itself, in the form of executor/failure.ts. */
function encodeCause(code: ErrorCode, message: string): Uint8Array {
  return fromString(JSON.stringify({ code, name: code, message, stack: '' }))
}

/** The number of shards of a job, as the value under `closedIndex`. */
export function encodeClosed(shards: number): Uint8Array {
  const value = new Uint8Array(4)
  new DataView(value.buffer).setUint32(0, shards, true)
  return value
}

/** 0 (not closed) if the value is no such number. */
export function readClosed(value: Uint8Array): number {
  return value.byteLength === 4 ? new DataView(value.buffer, value.byteOffset).getUint32(0, true) : 0
}
