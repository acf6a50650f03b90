/**
 * Where outcomes lie until they are sent: flat memory that a thread shares with its pool.
 *
 * Not here: when they are sent (worker.ts), and who takes them off the desk of a dead thread (thread.ts).
 */
import { encodeOutcome, OUTCOME_HEADER_BYTES, type OutcomeHeader, writeOutcomeHeader } from '../batch.ts'
import type { Ended } from './protocol.ts'

/** Outcomes that wait for the next `ended` message. Shared, so that the pool can take them off a dead worker's desk. */
export interface Desk {
  /** `[when the running task started (sharedMillis), the run that the outcomes belong to]` */
  readonly clock: Float64Array
  /** `[how many outcomes lie here]` */
  readonly count: Int32Array
  readonly positions: Uint32Array
  readonly ends: Uint32Array
  readonly body: Uint8Array
}

/** A full desk is sent at once. */
export const outcomesOnDeskMax = 1024
/** A larger outcome is sent alone, and never lies here. */
export const deskBodyBytes = 256 * 1024

const CLOCK_BYTES = 16
const COUNT_BYTES = 8
const COLUMN_BYTES = 4 * outcomesOnDeskMax

export function createDeskMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(CLOCK_BYTES + COUNT_BYTES + 2 * COLUMN_BYTES + deskBodyBytes)
}

export function openDesk(memory: SharedArrayBuffer): Desk {
  const positionsAt = CLOCK_BYTES + COUNT_BYTES
  return {
    clock: new Float64Array(memory, 0, 2),
    count: new Int32Array(memory, CLOCK_BYTES, 1),
    positions: new Uint32Array(memory, positionsAt, outcomesOnDeskMax),
    ends: new Uint32Array(memory, positionsAt + COLUMN_BYTES, outcomesOnDeskMax),
    body: new Uint8Array(memory, positionsAt + 2 * COLUMN_BYTES, deskBodyBytes)
  }
}

/** A copy of what lies on the desk. */
export function readDesk(desk: Desk): Ended {
  const count = desk.count[0] as number
  const size = count === 0 ? 0 : (desk.ends[count - 1] as number)
  return {
    kind: 'ended',
    run: desk.clock[1] as number,
    positions: desk.positions.slice(0, count),
    ends: desk.ends.slice(0, count),
    body: desk.body.slice(0, size)
  }
}

/** False, and nothing is put there, if there is no room left. */
export function putOnDesk(desk: Desk, position: number, header: OutcomeHeader, payload: Uint8Array): boolean {
  const size = OUTCOME_HEADER_BYTES + payload.byteLength
  const count = desk.count[0] as number
  const used = count === 0 ? 0 : (desk.ends[count - 1] as number)
  if (count === outcomesOnDeskMax || used + size > deskBodyBytes) return false
  writeOutcomeHeader(desk.body.subarray(used, used + size), header)
  desk.body.set(payload, used + OUTCOME_HEADER_BYTES)
  desk.positions[count] = position
  desk.ends[count] = used + size
  desk.count[0] = count + 1
  return true
}

/** A message for an outcome that is too large to lie here. */
export function alone(run: number, position: number, header: OutcomeHeader, payload: Uint8Array): Ended {
  const body = encodeOutcome(header, payload)
  const ends = Uint32Array.of(body.byteLength)
  return { kind: 'ended', run, positions: Uint32Array.of(position), ends, body }
}
