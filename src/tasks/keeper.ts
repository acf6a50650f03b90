/**
 * Stores shards: what a keeper has promised and accepted, and how it answers.
 *
 * Not here: proposing (register.ts) and choosing keepers (routing/placement.ts).
 * Each shard is a write-once map of task to outcome guarded by one ballot: the acceptor of Paxos (Lamport, 1998) with one
 * promise for all keys. Nothing is said before the record that lets us stand by it is on disk.
 */
import type { Ballot, JobId, PeerId, ShardKey } from '../ids.ts'
import { shardName } from '../ids.ts'
import { assert } from '../machine.ts'
import { type Batch, pack, pickAt, valueAt } from './batch.ts'
import { type Persist, type Send, send } from './effects.ts'
import { type AcceptedBatch, placementBase, type ShardRecord, type TaskMessage } from './messages.ts'

interface Kept {
  /** Without its inputs once settled. */
  record: ShardRecord
  promised: Ballot
  /** Accepted batches, oldest first. */
  accepted: AcceptedBatch[]
  /** Serials accepted at ballot `serialsOf`, so that a repeated accept adds nothing. */
  serials: Set<number>
  serialsOf: Ballot
  isSettled: boolean
}

export class Keeper {
  readonly #self: PeerId
  readonly #shards = new Map<ShardKey, Kept>()
  /** Every epoch of shard 0 of a job that is kept here. */
  readonly #roots = new Map<JobId, Set<ShardKey>>()

  constructor(self: PeerId) {
    this.#self = self
  }

  record(key: ShardKey): ShardRecord | undefined {
    return this.#shards.get(key)?.record
  }

  promised(key: ShardKey): Ballot {
    return this.#shards.get(key)?.promised ?? 0
  }

  isSettled(key: ShardKey): boolean {
    return this.#shards.get(key)?.isSettled === true
  }

  keys(): ShardKey[] {
    return [...this.#shards.keys()]
  }

  jobs(): JobId[] {
    return [...this.#roots.keys()]
  }

  /** The newest epoch of a job's shard 0 that is kept here. */
  root(job: JobId): ShardRecord | undefined {
    const keys = [...(this.#roots.get(job) ?? [])]
    keys.sort((a, b) => shardName(b).epoch - shardName(a).epoch)
    return keys[0] === undefined ? undefined : this.record(keys[0])
  }

  /** The accepted outcome of each task with the highest ballot. */
  outcomes(key: ShardKey): Map<number, Accepted> {
    return newest(this.#shards.get(key)?.accepted ?? [])
  }

  /** Applies a record read back from disk, before anything else happens. */
  restore(message: TaskMessage): void {
    this.#apply(message)
  }

  /** Answers a proposer. Messages of other kinds, and of shards that are not kept here, cause nothing. */
  step(from: PeerId, message: TaskMessage): (Send | Persist)[] {
    if (message.kind === 'store') {
      // A repeated store is answered after a sync of its own: the first one's may not have happened yet.
      this.#apply(message)
      const { key, keepers } = message.record
      // The first keeper owns the shard, and must know when it is on its own disk.
      const isOwner = keepers[0] === this.#self && from !== this.#self
      const to = isOwner ? [from, this.#self] : [from]
      return [
        persist(
          key,
          message,
          to.map((peer) => send(peer, { kind: 'stored', key }))
        )
      ]
    }
    if (message.kind !== 'prepare' && message.kind !== 'accept' && message.kind !== 'settle') return []
    const { key, ballot } = message
    const kept = this.#shards.get(key)
    if (kept === undefined) return [send(from, { kind: 'disowned', key })]
    if (message.kind === 'settle') return this.#settle(kept, message)
    if (ballot < kept.promised) return [send(from, { kind: 'rejected', key, ballot: kept.promised })]
    if (message.kind === 'accept' && !fits(kept.record, message.outcomes)) return []
    this.#apply(message)
    const answer: TaskMessage =
      message.kind === 'prepare'
        ? { kind: 'promised', key, ballot, accepted: compact(kept) }
        : { kind: 'accepted', key, ballot, serial: message.serial }
    return [persist(key, message, [send(from, answer)])]
  }

  check(): void {
    for (const [key, { promised, accepted }] of this.#shards) {
      for (const { ballot } of accepted)
        assert(ballot <= promised, `${key} accepted ${ballot} above ${promised}`)
    }
  }

  #settle(kept: Kept, message: Extract<TaskMessage, { kind: 'settle' }>): Persist[] {
    if (kept.isSettled || message.ballot < kept.promised) return []
    this.#apply(message)
    return [persist(message.key, message, [])]
  }

  #apply(message: TaskMessage): void {
    if (message.kind === 'store') this.#add(message.record)
    if (message.kind !== 'prepare' && message.kind !== 'accept' && message.kind !== 'settle') return
    const kept = this.#shards.get(message.key)
    if (kept === undefined) return
    if (message.kind === 'settle') {
      if (kept.isSettled) return
      kept.isSettled = true
      kept.serials.clear()
      // What is left is read now and then, and kept for long: without inputs, and in few pieces.
      kept.accepted = merge(newest(kept.accepted).values())
      kept.record = { ...kept.record, inputs: pack('', [], []) }
      return
    }
    kept.promised = Math.max(kept.promised, message.ballot)
    if (message.kind !== 'accept') return
    if (kept.serialsOf !== message.ballot) {
      kept.serials.clear()
      kept.serialsOf = message.ballot
    }
    if (kept.serials.has(message.serial)) return
    kept.serials.add(message.serial)
    kept.accepted.push({ ballot: message.ballot, outcomes: message.outcomes })
  }

  #add(record: ShardRecord): void {
    const { key } = record
    if (this.#shards.has(key)) return
    const kept: Kept = {
      record,
      promised: 0,
      accepted: [],
      serials: new Set(),
      serialsOf: 0,
      isSettled: false
    }
    this.#shards.set(key, kept)
    const { job, index } = shardName(key)
    if (index !== 0) return
    const roots = this.#roots.get(job) ?? new Set()
    this.#roots.set(job, roots.add(key))
  }
}

const persist = (key: ShardKey, message: TaskMessage, then: readonly Send[]): Persist => ({
  kind: 'persist',
  key,
  message,
  then
})

/** Only a job's first shard has keys beyond its tasks. */
function fits(record: ShardRecord, outcomes: Batch): boolean {
  const isRoot = shardName(record.key).index === 0
  return outcomes.indexes.every((index) => index < record.count || (isRoot && index > placementBase))
}

export interface Accepted {
  readonly ballot: Ballot
  readonly batch: Batch
  readonly at: number
}

/** The value with the highest ballot for each task. */
export function newest(accepted: readonly AcceptedBatch[]): Map<number, Accepted> {
  const found = new Map<number, Accepted>()
  for (const { ballot, outcomes: batch } of accepted) {
    for (let at = 0; at < batch.indexes.length; at++) {
      const index = batch.indexes[at] as number
      const old = found.get(index)
      if (old === undefined || ballot >= old.ballot) found.set(index, { ballot, batch, at })
    }
  }
  return found
}

/** The parts of batches that `found` still refers to. */
export function regroup(found: Iterable<Accepted>): AcceptedBatch[] {
  const live = new Map<Batch, { ballot: Ballot; at: number[] }>()
  for (const { ballot, batch, at } of found) {
    const part = live.get(batch)
    if (part === undefined) live.set(batch, { ballot, at: [at] })
    else part.at.push(at)
  }
  return [...live].map(([batch, { ballot, at }]) => ({ ballot, outcomes: pickAt(batch, at) }))
}

/** The same values as one batch for each ballot and node. */
function merge(found: Iterable<Accepted>): AcceptedBatch[] {
  const parts = new Map<
    string,
    { ballot: Ballot; node: Batch['node']; indexes: number[]; values: Uint8Array[] }
  >()
  for (const { ballot, batch, at } of found) {
    const name = `${ballot} ${batch.node}`
    const part = parts.get(name) ?? { ballot, node: batch.node, indexes: [], values: [] }
    parts.set(name, part)
    part.indexes.push(batch.indexes[at] as number)
    part.values.push(valueAt(batch, at))
  }
  return [...parts.values()].map(({ ballot, node, indexes, values }) => ({
    ballot,
    outcomes: pack(node, indexes, values)
  }))
}

/** Promises stay as small as what they tell. */
function compact(kept: Kept): AcceptedBatch[] {
  kept.accepted = regroup(newest(kept.accepted).values())
  return [...kept.accepted]
}
