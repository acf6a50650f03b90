/**
 * What the pool and a worker share: two messages, and two pieces of memory.
 *
 * Not here: who acts on them when (pool.ts, worker.ts).
 * Messages carry batches; memory settles races: every task has one claim byte, and whoever swaps it first, worker or pool,
 * decides how the task goes on, so that a task can neither end twice nor be killed in place of another.
 */

import type { PeerId, ShardKey } from '../../ids.ts'
import { isSound } from '../batch.ts'
import type { Saying, Told } from './guest.ts'

/** The life of one task in a run. Whoever swaps the byte owns what follows. */
export const CLAIM = {
  /** Nobody has it yet. A worker that is handed the run again starts exactly these. */
  unstarted: 0,
  /** Set by the worker before it calls the function. */
  running: 1,
  /** Set by the worker, from `running`: the outcome is the task's own. */
  ended: 2,
  /** Set by the pool: from `unstarted` the task never runs, from `running` its worker is about to be terminated. */
  taken: 3
} as const

export type Claims = Uint8Array

/** Swaps one claim; false if it was not (or no longer) `from`. */
export function swapClaim(claims: Claims, position: number, from: number, to: number): boolean {
  return Atomics.compareExchange(claims, position, from, to) === from
}

export type ToWorker = RunOrder | Abort | Interrupt | Resume | Told

export type RunOrder = {
  kind: 'run'
  run: number
  key: ShardKey
  keepers: readonly PeerId[]
  first: number
  attempt: number
  seat: number
  /** Path of the module. */
  file: string
  exportName: string
  /** 0 = unlimited. */
  timeoutMs: number
  /** Where data lies that inputs name: files named by their ids. */
  dataFolder: string
  /** What the wall clock of the node said when the shared one was 0. */
  wallZero: number
  depth: number
  priority: number
  submitter: string
  around: readonly string[]
  /** One byte for each task. Those that are not `unstarted` are none of this engine's. */
  claims: Claims
  /** The inputs, copied: `RunBatch.inputs` without its node. */
  indexes: Uint32Array
  ends: Uint32Array
  body: Uint8Array
}

/** To a task that listens: it is to come to an end. */
export type Abort = { kind: 'abort'; run: number; position: number }
/** To any task: it is to end now; what it left behind does not count any more. */
export type Interrupt = { kind: 'interrupt'; run: number; position: number }
/** To a task that waited: it has its slot again. */
export type Resume = { kind: 'resume'; run: number; position: number }
export type ToWorkerOf<K extends ToWorker['kind']> = Extract<ToWorker, { kind: K }>

export type FromWorker = Ended | Word | Saying | Parking

/** A task waits for jobs of its own, and needs no slot for that; or it wants to go on, or never will. */
export type Parking = { kind: 'parks' | 'wants' | 'yields'; run: number; position: number }

/** What a running task says. */
export type Word = { run: number; position: number } & (
  | { kind: 'printed'; stream: 'stdout' | 'stderr'; text: string }
  | { kind: 'progress'; fraction: number; text: string }
  /** It has asked for its signal. */
  | { kind: 'listens' }
)

export type Ended = {
  kind: 'ended'
  run: number
  /** Positions in the run's batch, not indexes. */
  positions: Uint32Array
  ends: Uint32Array
  body: Uint8Array
}

export interface WorkerData {
  readonly slot: number
  readonly engine: string
  readonly desk: SharedArrayBuffer
  readonly nice: number
}

/** When this thread's `performance.now()` began. A pause between the two readings makes it too early, so the best of some counts. */
function threadZero(): number {
  const [seconds, nanos] = process.hrtime()
  return seconds * 1000 + nanos / 1e6 - performance.now()
}
const zero = Math.max(...Array.from({ length: 8 }, threadZero))

/** Monotonic milliseconds that all threads of this process agree on; each thread's `performance.now()` has its own zero. */
export function sharedMillis(): number {
  return zero + performance.now()
}

export function isParking(message: unknown): message is Parking {
  const { kind, run, position } = Object(message) as Record<string, unknown>
  const isKnown = kind === 'parks' || kind === 'wants' || kind === 'yields'
  return isKnown && Number.isSafeInteger(run) && Number.isSafeInteger(position)
}

/** User code shares the engine, and may post messages of its own. */
export function isEnded(message: unknown): message is Ended {
  return typeof message === 'object' && message !== null && (message as Ended).kind === 'ended'
}

/** It also shares the memory, and may write there what it likes. */
export function isReport({ positions, ends, body }: Ended, count: number): boolean {
  const areArrays = [positions, ends].every((array) => array instanceof Uint32Array)
  if (!areArrays || !(body instanceof Uint8Array)) return false
  return isSound({ node: '', indexes: positions, ends, body }, count)
}
