/**
 * Stores shards: what a keeper has promised and accepted, and how it answers.
 *
 * Not here: proposing (owner.ts) and choosing keepers (routing/placement.ts).
 * Each shard is a write-once map of task to outcome guarded by one ballot: the acceptor of Paxos (Lamport, 1998) with one
 * promise for all keys. Nothing is said before the record that lets us stand by it is on disk.
 */
import type { Ballot, PeerId, ShardKey } from '../ids.ts'
import { assert } from '../machine.ts'
import { type Batch, pickAt } from './batch.ts'
import { type Persist, type Send, send, type TaskEffect } from './effects.ts'
import type { AcceptedBatch, ShardRecord, TaskMessage } from './messages.ts'

interface Kept {
  readonly record: ShardRecord
  promised: Ballot
  /** Every accepted batch, oldest first. At most one entry per accept. */
  accepted: AcceptedBatch[]
}

export class Keeper {
  readonly #shards = new Map<ShardKey, Kept>()

  record(key: ShardKey): ShardRecord | undefined {
    return this.#shards.get(key)?.record
  }

  promised(key: ShardKey): Ballot {
    return this.#shards.get(key)?.promised ?? 0
  }

  keys(): ShardKey[] {
    return [...this.#shards.keys()]
  }

  /** The accepted outcome of each task with the highest ballot: what `converged` compares between keepers. */
  outcomes(key: ShardKey): Map<number, { ballot: Ballot; batch: Batch; at: number }> {
    return newest(this.#shards.get(key)?.accepted ?? [])
  }

  /** Applies a record read back from disk, before anything else happens. */
  restore(message: TaskMessage): void {
    this.#apply(message)
  }

  step(from: PeerId, message: TaskMessage): TaskEffect[] {
    if (message.kind === 'store') return this.#store(from, message)
    if (message.kind !== 'prepare' && message.kind !== 'accept') return []
    const { key, ballot } = message
    const kept = this.#shards.get(key)
    if (kept === undefined) return []
    if (ballot < kept.promised) return [send(from, { kind: 'rejected', key, ballot: kept.promised })]
    if (message.kind === 'accept' && message.outcomes.indexes.some((index) => index >= kept.record.count)) return []
    this.#apply(message)
    const answer: TaskMessage =
      message.kind === 'prepare'
        ? { kind: 'promised', key, ballot, accepted: compact(kept) }
        : { kind: 'accepted', key, ballot, serial: message.serial }
    return [persist(key, message, [send(from, answer)])]
  }

  check(): void {
    for (const [key, { promised, accepted }] of this.#shards) {
      for (const { ballot } of accepted) assert(ballot <= promised, `${key} accepted ${ballot} above ${promised}`)
    }
  }

  #store(from: PeerId, message: Extract<TaskMessage, { kind: 'store' }>): TaskEffect[] {
    const { key } = message.record
    // A repeated store is answered after a sync of its own: the first one's may not have happened yet.
    this.#apply(message)
    return [persist(key, message, [send(from, { kind: 'stored', key })])]
  }

  #apply(message: TaskMessage): void {
    if (message.kind === 'store') {
      const { key } = message.record
      if (!this.#shards.has(key)) this.#shards.set(key, { record: message.record, promised: 0, accepted: [] })
    } else if (message.kind === 'prepare' || message.kind === 'accept') {
      const kept = this.#shards.get(message.key)
      if (kept === undefined) return
      kept.promised = Math.max(kept.promised, message.ballot)
      if (message.kind === 'accept') kept.accepted.push({ ballot: message.ballot, outcomes: message.outcomes })
    }
  }
}

const persist = (key: ShardKey, message: TaskMessage, then: readonly Send[]): Persist => ({ kind: 'persist', key, message, then })

/** The value with the highest ballot for each task. */
export function newest(accepted: readonly AcceptedBatch[]): Map<number, { ballot: Ballot; batch: Batch; at: number }> {
  const found = new Map<number, { ballot: Ballot; batch: Batch; at: number }>()
  for (const { ballot, outcomes } of accepted) {
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const index = outcomes.indexes[at] as number
      const old = found.get(index)
      if (old === undefined || ballot >= old.ballot) found.set(index, { ballot, batch: outcomes, at })
    }
  }
  return found
}

/** One batch per batch still in force, so that promises stay as small as what they tell. */
function compact(kept: Kept): AcceptedBatch[] {
  const live = new Map<Batch, { ballot: Ballot; at: number[] }>()
  for (const { ballot, batch, at } of newest(kept.accepted).values()) {
    const part = live.get(batch)
    if (part === undefined) live.set(batch, { ballot, at: [at] })
    else part.at.push(at)
  }
  kept.accepted = [...live].map(([batch, { ballot, at }]) => ({ ballot, outcomes: pickAt(batch, at) }))
  return [...kept.accepted]
}
