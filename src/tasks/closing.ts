/**
 * How a job's register says how many shards the job has, and whether it knows where all of them are.
 *
 * Not here: who closes a job (entry.ts) and who waits for it (lead.ts, client/session.ts).
 */
import { valueAt } from './batch.ts'
import { closedIndex, placementBase } from './messages.ts'
import type { Register } from './register.ts'

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

/** True once no shard can be added, and the places of all are committed. */
export function isClosed({ committed, record }: Pick<Register, 'committed' | 'record'>): boolean {
  const closed = committed.get(closedIndex)
  const shards = closed === undefined ? record.shards : readClosed(valueAt(closed.batch, closed.at))
  if (shards === 0) return false
  let placed = 0
  for (const index of committed.keys()) if (index > placementBase && index < closedIndex) placed++
  return placed >= shards - 1
}
