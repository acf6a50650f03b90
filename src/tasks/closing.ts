/**
 * How a job's register says how many shards the job has, and which ones they are.
 *
 * Not here: who closes a job (entry.ts) and who waits for it (lead.ts, client/session.ts).
 */
import { type ShardKey, shardName } from '../ids.ts'
import type { Accepted } from './accepted.ts'
import { valueAt } from './batch.ts'
import { closedIndex, type Placement, parsePlacement, placementBase, type ShardRecord } from './messages.ts'

/** What is committed in a job's first shard. */
interface JobRegister {
  readonly committed: ReadonlyMap<number, Accepted>
  readonly record: ShardRecord
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

/** How many shards the job has; 0 while more may be added. */
function countOf({ committed, record }: JobRegister): number {
  const closed = committed.get(closedIndex)
  return closed === undefined ? record.shards : readClosed(valueAt(closed.batch, closed.at))
}

/** True once no shard can be added, and the places of all are committed. */
export function isClosed(register: JobRegister): boolean {
  const shards = countOf(register)
  if (shards === 0) return false
  let placed = 0
  for (const index of register.committed.keys()) if (index > placementBase && index < closedIndex) placed++
  return placed >= shards - 1
}

/** Whether this shard is the one that counts; `undefined` while that is not decided. */
export function isNamed(register: JobRegister, key: ShardKey): boolean | undefined {
  const { index } = shardName(key)
  const entry = register.committed.get(placementBase + index)
  const shards = countOf(register)
  if (entry === undefined) return shards > 0 && index >= shards ? false : undefined
  return parsePlacement(valueAt(entry.batch, entry.at))?.key === key
}

/** Where the shards are that follow the first one, as far as that is known. */
export function placesIn({ committed }: Pick<JobRegister, 'committed'>): Placement[] {
  const entries = [...committed].filter(([index]) => index > placementBase && index < closedIndex)
  return entries.flatMap(([, { batch, at }]) => parsePlacement(valueAt(batch, at)) ?? [])
}
