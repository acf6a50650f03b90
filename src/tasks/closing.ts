/**
 * How a job's register says how many shards the job has, and which ones they are.
 *
 * Not here: who closes a job (entry.ts) and who waits for it (lead.ts, client/session.ts).
 * Its submitter says how many there are. Who cancels the job of another cannot know that, so the owner counts then: what the register
 * names by now is all that the job has, and whatever is named later does not count.
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

/** The number of shards of a job, as the value under `closedIndex`; 0 asks the owner to end it with those that there are. */
export function encodeClosed(shards: number): Uint8Array {
  return encodeWords([shards])
}

/** 0 (not closed) if the value is no such number. */
export function readClosed(value: Uint8Array): number {
  const { byteLength } = value
  return byteLength >= 4 && byteLength % 4 === 0 ? viewOf(value).getUint32(0, true) : 0
}

/** The job ends with the shards that are named by now. Shards are placed side by side, so some before the last may not be. */
export function encodeCut({ committed }: Pick<JobRegister, 'committed'>): Uint8Array {
  const named = [...committed.keys()].filter(isPlace).map((index) => index - placementBase)
  const shards = named.reduce((most, index) => Math.max(most, index), 0) + 1
  const isNamed = new Set(named)
  const absent = Array.from({ length: shards - 1 }, (_, at) => at + 1).filter((index) => !isNamed.has(index))
  return encodeWords([shards, absent.length, ...absent])
}

/** Shards before the last that the job does not have, if it was ended so; `undefined` if its submitter has closed it. */
export function readCut(value: Uint8Array): ReadonlySet<number> | undefined {
  if (value.byteLength < 8 || readClosed(value) === 0) return undefined
  const view = viewOf(value)
  return new Set(
    Array.from({ length: value.byteLength / 4 - 2 }, (_, at) => view.getUint32(4 * (at + 2), true))
  )
}

/** How many shards the job has; 0 while more may be added. */
function countOf({ committed, record }: JobRegister): number {
  const closed = closedIn(committed)
  return closed === undefined ? record.shards : readClosed(closed)
}

/** True while nobody has said how many shards there are: then who cancels it may end it with those that it has. */
export const isUncounted = (register: JobRegister): boolean => countOf(register) === 0

/** True once no shard can be added, and the places of all are committed. */
export function isClosed(register: JobRegister): boolean {
  const shards = countOf(register)
  if (shards === 0) return false
  if (isCut(register)) return true
  let placed = 0
  for (const index of register.committed.keys()) if (isPlace(index)) placed++
  return placed >= shards - 1
}

/** True once others than its submitter have ended it, with what it had by then. */
export function isCut({ committed }: Pick<JobRegister, 'committed'>): boolean {
  const closed = closedIn(committed)
  return closed !== undefined && readCut(closed) !== undefined
}

/** True if a job that was ended so has no such shard, as the value under `closedIndex` says. */
export function leavesOut(closed: Uint8Array, index: number): boolean {
  const absent = readCut(closed)
  return absent !== undefined && (index >= readClosed(closed) || absent.has(index))
}

/** The same, of a register. */
export function isLeftOut({ committed }: Pick<JobRegister, 'committed'>, index: number): boolean {
  const closed = closedIn(committed)
  return closed !== undefined && leavesOut(closed, index)
}

/** Whether this shard is the one that counts; `undefined` while that is not decided. */
export function isNamed(register: JobRegister, key: ShardKey): boolean | undefined {
  const { index } = shardName(key)
  if (isLeftOut(register, index)) return false
  const entry = register.committed.get(placementBase + index)
  const shards = countOf(register)
  if (entry === undefined) return shards > 0 && index >= shards ? false : undefined
  return parsePlacement(valueAt(entry.batch, entry.at))?.key === key
}

/** Where the shards are that follow the first one, as far as that is known. */
export function placesIn(register: Pick<JobRegister, 'committed'>): Placement[] {
  const entries = [...register.committed].filter(
    ([index]) => isPlace(index) && !isLeftOut(register, index - placementBase)
  )
  return entries.flatMap(([, { batch, at }]) => parsePlacement(valueAt(batch, at)) ?? [])
}

const isPlace = (index: number): boolean => index > placementBase && index < closedIndex

function closedIn(committed: JobRegister['committed']): Uint8Array | undefined {
  const closed = committed.get(closedIndex)
  return closed && valueAt(closed.batch, closed.at)
}

function encodeWords(words: readonly number[]): Uint8Array {
  const value = new Uint8Array(4 * words.length)
  const view = viewOf(value)
  for (const [at, word] of words.entries()) view.setUint32(4 * at, word, true)
  return value
}

const viewOf = (value: Uint8Array): DataView => new DataView(value.buffer, value.byteOffset, value.byteLength)
