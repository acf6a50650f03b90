/**
 * Outcomes that keepers accepted, by task: which of several is the newest, and batches of those that count.
 *
 * Not here: accepting (keeper.ts) and proposing again (register.ts).
 * An outcome stays in the batch in which it came, so nothing is copied before it must be.
 */
import type { Ballot } from '../ids.ts'
import { type Batch, pickAt } from './batch.ts'
import { type AcceptedBatch, markIndex, nextIndex } from './messages.ts'

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

/** Without what a register says of its own list of keepers. */
export function withoutLists(found: ReadonlyMap<number, Accepted>): Map<number, Accepted> {
  const rest = new Map(found)
  rest.delete(nextIndex)
  rest.delete(markIndex)
  return rest
}
