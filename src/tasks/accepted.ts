/**
 * Outcomes that keepers accepted, by task: which of several is the newest, and batches of those that count.
 *
 * Not here: accepting (keeper.ts) and proposing again (register.ts).
 * An outcome stays in the batch in which it came, so nothing is copied before it must be.
 */
import type { Ballot } from '../ids.ts'
import { type Batch, bytesIn, pickAt, valueAt } from './batch.ts'
import { type AcceptedBatch, markIndex, nextIndex } from './messages.ts'

/** Values in one answer to who asks for all of them: so much, and one that may be larger. Whoever lacks more asks again. */
export const answerBytesMax = 4 << 20
/** Batches in one message, and the bytes after which there is another one. */
const partBatchesMax = 1_024

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

/** The first of these, as many as one answer holds. */
export function answerOf(found: readonly Accepted[]): readonly Accepted[] {
  let [bytes, end] = [0, 0]
  for (const { batch, at } of found) {
    bytes += valueAt(batch, at).byteLength
    if (end > 0 && bytes > answerBytesMax) break
    end++
  }
  return end < found.length ? found.slice(0, end) : found
}

/** The same in as many messages as it takes: at least one. */
export function inParts(accepted: readonly AcceptedBatch[]): AcceptedBatch[][] {
  const parts: AcceptedBatch[][] = [[]]
  let bytes = 0
  for (const one of accepted) {
    const size = bytesIn([one.outcomes])
    const isFull = bytes + size > answerBytesMax || (parts.at(-1) ?? []).length >= partBatchesMax
    if (isFull && bytes > 0) {
      parts.push([])
      bytes = 0
    }
    bytes += size
    parts.at(-1)?.push(one)
  }
  return parts
}

/** Without what a register says of its own list of keepers. */
export function withoutLists(found: ReadonlyMap<number, Accepted>): Map<number, Accepted> {
  const rest = new Map(found)
  rest.delete(nextIndex)
  rest.delete(markIndex)
  return rest
}
