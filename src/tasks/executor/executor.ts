/**
 * What a node asks of whatever runs user code, and what it is told in return.
 *
 * Not here: who decides what runs where (runner.ts), and how a thread does it (pool.ts, worker.ts).
 * Three implementations answer to it: threads, inline for tests, and the simulated one.
 */
import type { Digest, PeerId, ShardKey } from '../../ids.ts'
import type { Batch } from '../batch.ts'
import type { EngineOrder } from '../engine-orders.ts'
import type { TaskWord } from '../messages.ts'
import type { Output } from '../output.ts'
import type { Told } from './guest.ts'

/** Tasks of one shard and one attempt, for one slot; runs in order of position. */
export interface RunBatch {
  /** Names this batch among all that this node ever ran. */
  readonly run: number
  readonly slot: number
  readonly key: ShardKey
  /** Who keeps that shard, for jobs that its tasks submit. Default: not known. */
  readonly keepers?: readonly PeerId[]
  /** Index in its job of the shard's first task: task `i` of the batch is task `first + inputs.indexes[i]` of the job. */
  readonly first: number
  readonly attempt: number
  /** Of the owner that granted it: after a split two may grant the same attempt. Default 0. */
  readonly seat?: number
  /** The module that exports the function, already on this node. */
  readonly code: Digest
  readonly exportName: string
  /** Milliseconds one task may run; 0 = unlimited. */
  readonly timeoutMs: number
  /** Of its job: what jobs that its tasks submit take over. Default 0, 0, nobody's, and none. */
  readonly depth?: number
  readonly priority?: number
  readonly submitter?: string
  readonly around?: readonly string[]
  /** Each value: the arguments as `client/values.ts` encodes them. */
  readonly inputs: Batch
}

export type ExecutorEvent =
  /** Some tasks of a run ended: outcomes with their header (batch.ts), `node` left empty. In order, each task once. `done` with the last of the run. */
  | { kind: 'ended'; run: number; slot: number; outcomes: Batch; done: boolean }
  /** The engine died (exit, out of memory). `index` is the task that ran, if any did, and `output` what that printed; those after it never started. A new engine has already taken the slot. */
  | {
      kind: 'engine-lost'
      run: number
      slot: number
      index: number | undefined
      reason: string
      startedAt: number
      elapsedMs: number
      output?: Output
    }
  /** Its one task waits for jobs of its own: its slot may be given to others. What had not begun in this slot is recalled. */
  | { kind: 'parked'; run: number }
  /** It needs its slot again: nothing more is to be given to that, and it goes on as soon as what runs there has ended or waits. */
  | { kind: 'resumed'; run: number }
  /** What running tasks say; several words of one task as one, and not of those that ended meanwhile. */
  | { kind: 'said'; run: number; words: readonly TaskWord[] }
  /** Tasks that were taken back before they started. `done` if nothing of the run is left. */
  | { kind: 'recalled'; run: number; indexes: Uint32Array; done: boolean }

export interface Executor {
  /** Queues a batch at a slot. Several may be queued; they run one after another. */
  run(batch: RunBatch): void
  /** Drops the unstarted and forcibly ends the running one of these tasks (all of the run, if no indexes are given). Ended ones are reported as cancelled outcomes. */
  cancel(run: number, indexes?: Uint32Array): void
  /** Takes back what has not started of this run; each such task is reported as recalled, and no other is touched. */
  recall(run: number): void
  /** To an engine that speaks with this node, by the number that it has. */
  tell?(engine: number, told: Told): void
  /** What else ran in this slot has ended: a task that waits for it may go on. */
  turn?(slot: number): void
  /** Lets what runs stand still, as far as engines are processes, or go on. Its time limits stand still with it. */
  suspend?(isSuspended: boolean): void
  /** Nothing happens if nothing runs in this slot that is to be interrupted. */
  order?(slot: number, order: EngineOrder): void
  /** Ends all engines. Nothing is reported any more. */
  close(): Promise<void>
}
