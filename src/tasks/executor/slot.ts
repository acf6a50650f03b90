/**
 * What a pool knows of one slot: its engine, the runs that this was given, and how far each of them is.
 *
 * Not here: what is done about it (pool.ts), and who has a slot that is shared (parking.ts, slots.ts).
 */
import { type Batch, encodeOutcome, pack, STATUS, type Status } from '../batch.ts'
import { silence } from '../output.ts'
import { wallClock } from './clock.ts'
import type { Engine } from './engine.ts'
import type { ExecutorEvent, RunBatch } from './executor.ts'
import { encodeFailure, interrupted, timeoutFailure } from './failure.ts'
import type { Seated } from './parking.ts'
import { CLAIM, sharedMillis, type ToWorkerOf } from './protocol.ts'
import { Standstill } from './standstill.ts'
import type { Speaking } from './words.ts'

export interface Run extends Speaking {
  readonly batch: RunBatch
  /** Path of its module. */
  readonly file: string
  /** 1 for each position whose end was reported; keeps every report single, whatever a dying thread sent twice. */
  readonly reported: Uint8Array
  left: number
}

/** A running task whose engine is being terminated for it. */
export interface Condemned {
  readonly run: Run
  readonly position: number
  readonly why: 'timeout' | 'cancelled' | 'interrupted'
  readonly startedAt: number
  readonly elapsedMs: number
}

/** A task that died with its engine. */
export interface Lost {
  readonly run: Run
  readonly position: number
  readonly startedAt: number
}

export interface Slot extends Seated {
  readonly index: number
  /** Unfinished runs, all sent to the engine, in its order. */
  readonly runs: Run[]
  engine: Engine | undefined
  /** Of its engine. */
  number: number
  /** Whether this engine ever reported something. */
  hasReported: boolean
  condemned: Condemned | undefined
  stillbirths: number
  readonly standstill: Standstill
  /** Since when its engine was seen to have work, and to run none of it. */
  waitsSince: number | undefined
}

export function newSlot(index: number): Slot {
  return {
    index,
    runs: [],
    engine: undefined,
    number: 0,
    isParked: false,
    isWanting: false,
    hasReported: false,
    condemned: undefined,
    stillbirths: 0,
    standstill: new Standstill(),
    waitsSince: undefined
  }
}

export const deaf = {
  afterMs: 30_000,
  words: 'it began nothing of its work, as what an ended task left behind kept it busy'
} as const

/** Its engine has reported something. */
export function hasSpoken(slot: Slot): void {
  slot.hasReported = true
  slot.waitsSince = undefined
  slot.stillbirths = 0
}

/**
 * True if its engine has work and began none of it for so long. A healthy one begins at once, and what did not begin has no
 * timeout: a loop that an ended task left behind, in a timer, would hold what comes next for ever.
 */
export function isDeaf(slot: Slot, now: number, deafAfterMs: number): boolean {
  const { engine, hasReported, runs, standstill } = slot
  // One that has reported nothing may still be about to start.
  const isWaiting = hasReported && runs.length > 0 && !standstill.isNow && engine?.running() === undefined
  slot.waitsSince = isWaiting ? (slot.waitsSince ?? now) : undefined
  return slot.waitsSince !== undefined && now - slot.waitsSince >= deafAfterMs
}

/** All of a run, for its engine. */
export function runMessage({ batch, file, reported }: Run, dataFolder: string): ToWorkerOf<'run'> {
  const { run, key, first, attempt, exportName, timeoutMs, inputs } = batch
  const { keepers = [], seat = 0, depth = 0, priority = 0, submitter = '', around = [] } = batch
  // A copy: the batch may be a window on memory of others, which a message would carry along entirely.
  const { indexes, ends, body } = inputs
  const copy = {
    indexes: new Uint32Array(indexes),
    ends: new Uint32Array(ends),
    body: new Uint8Array(body)
  }
  const claims = Uint8Array.from(reported, (isReported) => (isReported ? CLAIM.taken : CLAIM.unstarted))
  const of = { depth, priority, submitter, around }
  const job = { key, keepers, first, attempt, seat, exportName, timeoutMs, dataFolder, ...of }
  return { kind: 'run', run, ...job, wallZero: wallClock.zero, file, claims, ...copy }
}

/** What is told of a task that died with its engine. */
export function lossOf({ run, position, startedAt }: Lost, reason: string): ExecutorEvent {
  const { run: number, slot, inputs } = run.batch
  const elapsedMs = sharedMillis() - startedAt
  const times = { startedAt: wallClock.at(startedAt), elapsedMs }
  const output = run.words?.outputOf(position) ?? silence
  return {
    kind: 'engine-lost',
    run: number,
    slot,
    index: inputs.indexes[position],
    reason,
    ...times,
    output
  }
}

/** An engine died, and no task with it. */
export const lossOfNone = (slot: number, { batch }: Run, reason: string): ExecutorEvent => ({
  kind: 'engine-lost',
  run: batch.run,
  slot,
  index: undefined,
  reason,
  startedAt: 0,
  elapsedMs: 0
})

/** What becomes of a task whose engine was ended for it. */
export function outcomeOfCondemned(one: Condemned, node: string): Uint8Array {
  const { run, why, startedAt, elapsedMs } = one
  const { batch } = run
  const { slot, attempt } = batch
  const ended = (status: Status, payload: Uint8Array): Uint8Array =>
    encodeOutcome({ status, slot, attempt, elapsedMs, startedAt: wallClock.at(startedAt) }, payload)
  if (why === 'cancelled') return ended(STATUS.cancelled, new Uint8Array())
  if (why === 'timeout') return ended(STATUS.timedOut, timeoutFailure(batch, node, elapsedMs))
  return ended(STATUS.error, encodeFailure(interrupted(`${node}/${slot}`)))
}

/** Of tasks that were never begun. */
export function cancelledAt(run: Run, positions: readonly number[]): Batch {
  const { slot, attempt } = run.batch
  const header = { status: STATUS.cancelled, slot, attempt, elapsedMs: 0, startedAt: 0 }
  const cancelled = encodeOutcome(header, new Uint8Array())
  return pack(
    '',
    positions,
    positions.map(() => cancelled)
  )
}
