/**
 * Many values as one: what tasks take and give, packed so that a node can cut and pass them on without looking inside.
 *
 * Not here: what the bytes mean (client/values.ts, executor/worker.ts); nodes in between never decode them.
 * A batch is three flat arrays: whose values (`indexes`, offsets within a shard), where each ends (`ends`, cumulative),
 * and all bytes after one another (`body`). Nothing is paid per task that can be paid per batch.
 */

import type { PeerId } from '../ids.ts'
import { assert } from '../machine.ts'

export interface Batch {
  /** Who produced the values: an engine's node for outcomes, empty for inputs. */
  readonly node: PeerId | ''
  /** Offsets within the shard, in any order, no repeats. */
  readonly indexes: Uint32Array
  /** `ends[i]` is where value `i` ends in `body`; it begins where the one before ends. */
  readonly ends: Uint32Array
  readonly body: Uint8Array
}

/** The bytes of the value at position `at` (not index), without a copy. */
export function valueAt(batch: Batch, at: number): Uint8Array {
  return batch.body.subarray(at === 0 ? 0 : batch.ends[at - 1], batch.ends[at])
}

/** Of all their values. */
export const bytesIn = (batches: readonly Batch[]): number =>
  batches.reduce((sum, { body }) => sum + body.byteLength, 0)

/** Packs values in order. A single one becomes the body itself; others are copied. O(bytes). */
export function pack(node: PeerId | '', indexes: ArrayLike<number>, values: readonly Uint8Array[]): Batch {
  assert(indexes.length === values.length, `${indexes.length} indexes for ${values.length} values`)
  const [only] = values
  // A large value travels alone: not copied once more.
  if (values.length === 1 && only !== undefined)
    return { node, indexes: Uint32Array.from(indexes), ends: Uint32Array.of(only.byteLength), body: only }
  const ends = new Uint32Array(values.length)
  let size = 0
  for (let i = 0; i < values.length; i++) ends[i] = size += (values[i] as Uint8Array).byteLength
  const body = new Uint8Array(size)
  for (let i = 0; i < values.length; i++) body.set(values[i] as Uint8Array, i === 0 ? 0 : ends[i - 1])
  return { node, indexes: Uint32Array.from(indexes), ends, body }
}

/** The part of `batch` at `positions`, copied; the whole batch itself if nothing would be left out. */
export function pickAt(batch: Batch, positions: ArrayLike<number>): Batch {
  if (positions.length === batch.indexes.length) return batch
  const indexes = new Uint32Array(positions.length)
  const ends = new Uint32Array(positions.length)
  let size = 0
  for (let i = 0; i < positions.length; i++) {
    const at = positions[i] as number
    indexes[i] = batch.indexes[at] as number
    ends[i] = size += (batch.ends[at] as number) - (at === 0 ? 0 : (batch.ends[at - 1] as number))
  }
  const body = new Uint8Array(size)
  for (let i = 0; i < positions.length; i++)
    body.set(valueAt(batch, positions[i] as number), i === 0 ? 0 : ends[i - 1])
  return { node: batch.node, indexes, ends, body }
}

/** True if the three arrays agree with one another and all indexes are below `count` and differ. */
export function isSound(batch: Batch, count: number): boolean {
  const { indexes, ends, body } = batch
  if (indexes.length !== ends.length) return false
  let before = 0
  // Most batches are in order; only the others pay for a set.
  let isAscending = true
  for (let i = 0; i < ends.length; i++) {
    const end = ends[i] as number
    if (end < before || (indexes[i] as number) >= count) return false
    if (i > 0 && (indexes[i] as number) <= (indexes[i - 1] as number)) isAscending = false
    before = end
  }
  if (!isAscending && new Set(indexes).size !== indexes.length) return false
  return before === body.byteLength
}

/**
 * How an attempt ended; the first byte of an outcome. `lost` says that its engine ended with it, and is never committed; nor is
 * `cancelled` of an engine, which says that somebody had the run ended: a cancellation that counts is stated by an owner.
 * `noRoom` says that the node's disk could not take what the task needs, or what it made: an error, if no other node's can.
 */
export const STATUS = { ok: 0, error: 1, cancelled: 2, timedOut: 3, lost: 4, noRoom: 5 } as const
export type Status = (typeof STATUS)[keyof typeof STATUS]
/** Set in the first byte if the outcome ends with the story of earlier attempts (story.ts). */
export const STORY_BIT = 0x80
/** Set in the first byte if the payload is followed by what the task printed (output.ts). */
export const OUTPUT_BIT = 0x40

/** Bytes before the payload of an outcome: status, slot, attempt (u16), elapsed ms (f32), started at (f64), little endian. */
export const OUTCOME_HEADER_BYTES = 16

export interface OutcomeHeader {
  readonly status: Status
  readonly slot: number
  readonly attempt: number
  readonly elapsedMs: number
  /** Milliseconds since 1970, by the engine's clock. */
  readonly startedAt: number
}

export function writeOutcomeHeader(into: Uint8Array, header: OutcomeHeader): void {
  const view = new DataView(into.buffer, into.byteOffset, OUTCOME_HEADER_BYTES)
  view.setUint8(0, header.status)
  view.setUint8(1, header.slot)
  view.setUint16(2, header.attempt, true)
  view.setFloat32(4, header.elapsedMs, true)
  // Rounded down: what it ended before began no earlier.
  if (view.getFloat32(4, true) > header.elapsedMs) view.setUint32(4, view.getUint32(4, true) - 1, true)
  view.setFloat64(8, header.startedAt, true)
}

/** Bytes too short to be an outcome read as an error of attempt 0, which no owner takes for news. */
export function readOutcomeHeader(outcome: Uint8Array): OutcomeHeader {
  if (outcome.byteLength < OUTCOME_HEADER_BYTES) {
    return { status: STATUS.error, slot: 0, attempt: 0, elapsedMs: 0, startedAt: 0 }
  }
  const view = new DataView(outcome.buffer, outcome.byteOffset, OUTCOME_HEADER_BYTES)
  return {
    status: statusIn(view.getUint8(0)),
    slot: view.getUint8(1),
    attempt: view.getUint16(2, true),
    elapsedMs: view.getFloat32(4, true),
    startedAt: view.getFloat64(8, true)
  }
}

/** How the outcome at this position ended, without a view of its bytes. */
export function statusAt({ ends, body }: Batch, at: number): Status {
  const from = at === 0 ? 0 : (ends[at - 1] as number)
  const isShort = (ends[at] as number) - from < OUTCOME_HEADER_BYTES
  return isShort ? STATUS.error : statusIn(body[from] as number)
}

function statusIn(first: number): Status {
  const status = first & ~(STORY_BIT | OUTPUT_BIT)
  return status <= STATUS.noRoom ? (status as Status) : STATUS.error
}

/** An outcome as bytes: header, then payload (a value, or a failure as JSON). */
export function encodeOutcome(header: OutcomeHeader, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(OUTCOME_HEADER_BYTES + payload.byteLength)
  writeOutcomeHeader(bytes, header)
  bytes.set(payload, OUTCOME_HEADER_BYTES)
  return bytes
}
