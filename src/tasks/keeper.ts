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
import { type KeeperList, listOf } from './keepers.ts'
import {
  type AcceptedBatch,
  closedIndex,
  placementBase,
  type ShardRecord,
  type TaskMessage,
  type TaskMessageOf
} from './messages.ts'

interface Kept {
  /** With the newest list that this node is in. Without its inputs once settled. */
  record: ShardRecord
  /** One for each list that may still count, oldest first. */
  acceptors: Acceptor[]
  /** No list before this one counts. */
  inForce: KeeperList | undefined
}

interface Acceptor {
  readonly list: number
  promised: Ballot
  /** Accepted batches, oldest first. */
  accepted: AcceptedBatch[]
  /** Serials accepted at ballot `serialsOf`, so that a repeated accept adds nothing. */
  readonly serials: Set<number>
  serialsOf: Ballot
  isSettled: boolean
}

export class Keeper {
  readonly #self: PeerId
  readonly #shards = new Map<ShardKey, Kept>()
  /** Shards that were kept here, and who has them now. */
  readonly #moved = new Map<ShardKey, KeeperList>()
  /** Every epoch of shard 0 of a job that is kept here. */
  readonly #roots = new Map<JobId, Set<ShardKey>>()

  constructor(self: PeerId) {
    this.#self = self
  }

  /** With the newest list that this node is in. */
  record(key: ShardKey): ShardRecord | undefined {
    return this.#shards.get(key)?.record
  }

  /** The highest ballot promised in any list. */
  promised(key: ShardKey): Ballot {
    return Math.max(0, ...(this.#shards.get(key)?.acceptors ?? []).map(({ promised }) => promised))
  }

  /** No list of this shard before that one counts. */
  inForce(key: ShardKey): number {
    return this.#shards.get(key)?.inForce?.list ?? 0
  }

  isSettled(key: ShardKey): boolean {
    return this.#shards.get(key)?.acceptors.at(-1)?.isSettled === true
  }

  /** Where a shard went that was kept here. */
  movedTo(key: ShardKey): KeeperList | undefined {
    return this.#moved.get(key)
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
    const acceptors = this.#shards.get(key)?.acceptors ?? []
    const all = newest(acceptors.flatMap(({ accepted }) => accepted))
    for (const index of all.keys()) if (index > closedIndex) all.delete(index)
    return all
  }

  /** Applies a record read back from disk, before anything else happens. */
  restore(message: TaskMessage): void {
    this.#apply(message)
  }

  /** Answers proposers, and who looks for a job. Messages of other kinds cause nothing. */
  step(from: PeerId, message: TaskMessage): (Send | Persist)[] {
    if (message.kind === 'store') return this.#store(from, message)
    if (message.kind === 'find') return [this.#found(from, message.job)]
    if (message.kind === 'moved') {
      const kept = this.#shards.get(message.key)
      return kept !== undefined && this.#apply(message) ? [persist(message.key, message, [])] : []
    }
    if (message.kind !== 'prepare' && message.kind !== 'accept' && message.kind !== 'settle') return []
    const { key, list, ballot } = message
    const kept = this.#shards.get(key)
    const acceptor = kept?.acceptors.find((one) => one.list === list)
    if (kept === undefined || acceptor === undefined) return [send(from, this.#elsewhere(key, list))]
    if (message.kind === 'settle') return this.#settle(acceptor, message)
    if (ballot < acceptor.promised)
      return [send(from, { kind: 'rejected', key, list, ballot: acceptor.promised })]
    if (message.kind === 'accept' && !fits(kept.record, message.outcomes)) return []
    this.#apply(message)
    const answer: TaskMessage =
      message.kind === 'prepare'
        ? { kind: 'promised', key, list, ballot, accepted: compact(acceptor) }
        : { kind: 'accepted', key, list, ballot, serial: message.serial }
    return [persist(key, message, [send(from, answer)])]
  }

  check(): void {
    for (const [key, { record, acceptors }] of this.#shards) {
      assert(acceptors.at(-1)?.list === record.list, `${key} has no acceptor for its newest list`)
      assert(!this.#moved.has(key), `${key} is kept and gone`)
      for (const { accepted, promised } of acceptors) {
        for (const { ballot } of accepted)
          assert(ballot <= promised, `${key} accepted ${ballot} above ${promised}`)
      }
    }
  }

  #found(to: PeerId, job: JobId): Send {
    const record = this.root(job)
    if (record === undefined) return send(to, { kind: 'unknown', job })
    const { key, keepers, first, count, header, shards } = record
    return send(to, { kind: 'found', placement: { key, keepers, first, count }, header, shards })
  }

  #store(from: PeerId, message: TaskMessageOf<'store'>): (Send | Persist)[] {
    const { key, list, keepers } = message.record
    const moved = this.#moved.get(key)
    if (moved !== undefined && moved.list >= list) return [send(from, movedMessage(key, moved))]
    const inForce = this.#shards.get(key)?.inForce?.list ?? 0
    if (!keepers.includes(this.#self) || inForce > list) return []
    // A repeated store is answered after a sync of its own: the first one's may not have happened yet.
    this.#apply(message)
    // The first keeper owns the shard, and must know when it is on its own disk.
    const isOwner = list === 0 && keepers[0] === this.#self && from !== this.#self
    const to = isOwner ? [from, this.#self] : [from]
    return [
      persist(
        key,
        message,
        to.map((peer) => send(peer, { kind: 'stored', key }))
      )
    ]
  }

  /** For who asks in a list that is not known here any more, or not yet. */
  #elsewhere(key: ShardKey, list: number): TaskMessage {
    const known = this.#moved.get(key) ?? this.#shards.get(key)?.inForce
    return known !== undefined && known.list > list ? movedMessage(key, known) : { kind: 'disowned', key }
  }

  #settle(acceptor: Acceptor, message: TaskMessageOf<'settle'>): Persist[] {
    if (acceptor.isSettled || message.ballot < acceptor.promised) return []
    this.#apply(message)
    return [persist(message.key, message, [])]
  }

  /** False if that changed nothing. */
  #apply(message: TaskMessage): boolean {
    if (message.kind === 'store') return this.#add(message.record)
    if (message.kind === 'moved') return this.#move(message)
    if (message.kind !== 'prepare' && message.kind !== 'accept' && message.kind !== 'settle') return false
    const kept = this.#shards.get(message.key)
    const acceptor = kept?.acceptors.find(({ list }) => list === message.list)
    if (kept === undefined || acceptor === undefined) return false
    if (message.kind === 'settle') {
      if (acceptor.isSettled) return false
      acceptor.isSettled = true
      acceptor.serials.clear()
      // What is left is read now and then, and kept for long: without inputs, and in few pieces.
      acceptor.accepted = merge(newest(acceptor.accepted).values())
      if (kept.record.list !== acceptor.list) return true
      kept.record = { ...kept.record, inputs: pack('', [], []) }
      kept.acceptors = [acceptor]
      kept.inForce = listOf(kept.record)
      return true
    }
    acceptor.promised = Math.max(acceptor.promised, message.ballot)
    if (message.kind !== 'accept') return true
    if (acceptor.serialsOf !== message.ballot) {
      acceptor.serials.clear()
      acceptor.serialsOf = message.ballot
    }
    if (acceptor.serials.has(message.serial)) return false
    acceptor.serials.add(message.serial)
    acceptor.accepted.push({ ballot: message.ballot, outcomes: message.outcomes })
    return true
  }

  #add(record: ShardRecord): boolean {
    const { key, list } = record
    const kept = this.#shards.get(key)
    if (kept?.acceptors.some((one) => one.list === list)) return false
    const acceptor: Acceptor = {
      list,
      promised: 0,
      accepted: [],
      serials: new Set(),
      serialsOf: 0,
      isSettled: false
    }
    if (kept !== undefined) {
      kept.acceptors = [...kept.acceptors, acceptor].toSorted((a, b) => a.list - b.list)
      // Who stays is not sent the inputs again.
      if (list > kept.record.list) kept.record = { ...record, inputs: kept.record.inputs }
      return true
    }
    this.#moved.delete(key)
    this.#shards.set(key, { record, acceptors: [acceptor], inForce: undefined })
    const { job, index } = shardName(key)
    if (index !== 0) return true
    const roots = this.#roots.get(job) ?? new Set()
    this.#roots.set(job, roots.add(key))
    return true
  }

  /** Lists before this one do not count any more. */
  #move({ key, list, keepers, seats }: TaskMessageOf<'moved'>): boolean {
    const kept = this.#shards.get(key)
    if (kept === undefined || (kept.inForce?.list ?? 0) >= list) return false
    const rest = kept.acceptors.filter((one) => one.list >= list)
    if (rest.length > 0) {
      kept.acceptors = rest
      kept.inForce = { list, keepers, seats }
      return true
    }
    // In the list, but not yet told of the shard: what is here may be all that this node will have of its inputs.
    if (keepers.includes(this.#self)) return false
    this.#shards.delete(key)
    this.#moved.set(key, { list, keepers, seats })
    const { job } = shardName(key)
    const roots = this.#roots.get(job)
    if (roots?.delete(key) && roots.size === 0) this.#roots.delete(job)
    return true
  }
}

export const movedMessage = (key: ShardKey, { list, keepers, seats }: KeeperList): TaskMessage => ({
  kind: 'moved',
  key,
  list,
  keepers,
  seats
})

const persist = (key: ShardKey, message: TaskMessage, then: readonly Send[]): Persist => ({
  kind: 'persist',
  key,
  message,
  then
})

/** Only a job's first shard has keys beyond its tasks. */
function fits(record: ShardRecord, outcomes: Batch): boolean {
  const isRoot = shardName(record.key).index === 0
  return outcomes.indexes.every(
    (index) => index < record.count || (isRoot && index > placementBase) || index > closedIndex
  )
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
function compact(acceptor: Acceptor): AcceptedBatch[] {
  acceptor.accepted = regroup(newest(acceptor.accepted).values())
  return [...acceptor.accepted]
}
