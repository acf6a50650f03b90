/**
 * A job that was cancelled by somebody else while it was given inputs, or after its submitter had vanished in the midst of that.
 *
 * Not here: who counts what the job has (tasks/closing.ts), and what becomes of its tasks (session.ts).
 * Shards that were on their way then are left out, also before others that were not. Their tasks count as cancelled.
 */
import { equals } from 'uint8arrays/equals'
import { leavesOut, readClosed, readCut } from '../tasks/closing.ts'
import type { Placement } from '../tasks/messages.ts'
import type { ClientMessage } from './protocol.ts'
import { type Job, type SessionEffect, type Shard, tasksIn } from './shards.ts'

/** Tasks that a job would have. */
export interface Range {
  readonly first: number
  readonly count: number
}

/** Said to the register of a cancelled job of others, if more may come as far as is known: that it has what it has. */
export function cutOf(job: Job, { index, placement: root }: Shard): ClientMessage[] {
  const { isCancelled, isOwn, total, shards } = job
  if (!isCancelled || isOwn || index > 0 || root === undefined) return []
  const isWhole = total > 0 && shards.length >= total
  return isWhole ? [] : [{ kind: 'close', root, shards: 0 }]
}

/** What the job's register says: no more shards will come. False if its own client has said otherwise, or nothing yet. */
export function learnTotal(job: Job, value: Uint8Array): boolean {
  // It may be told once more (tasks/follows.ts).
  if (job.cut !== undefined && equals(job.cut, value)) return true
  const [total, absent] = [readClosed(value), readCut(value)]
  const isPlain = absent === undefined || (job.isOwn && job.total === total && absent.size === 0)
  if (job.isOwn && (isPlain ? job.total !== total : job.shards.length < total)) return false
  job.isClosed = true
  job.cut = isPlain ? undefined : value
  job.total = isPlain || job.isOwn ? total : total - absent.size
  if (!isPlain && job.isOwn) job.isCancelled = true
  return true
}

/** True if the job turned out not to have this shard. */
export const isLeftOut = ({ cut }: Job, index: number): boolean => cut !== undefined && leavesOut(cut, index)

/** Removes those shards, and says where they are. Of its own client those before the last stay, and are over. */
export function takeLeftOut(job: Job): Placement[] {
  const out = job.shards.filter(({ index }) => isLeftOut(job, index))
  const places = out.flatMap(({ placement }) => placement ?? [])
  job.shards = job.shards.filter(({ index }) => (job.isOwn ? index < job.total : !isLeftOut(job, index)))
  for (const shard of out)
    Object.assign(shard, { state: 'complete', placement: undefined, inputs: undefined })
  return places
}

export function completionOf(job: Job): SessionEffect {
  const complete = { kind: 'complete', job: job.name, tasks: tasksIn(job) } as const
  return job.cut === undefined ? complete : { ...complete, missing: missing(job) }
}

/** Where its tasks are missing among those that it has. */
function missing({ shards }: Job): Range[] {
  const ranges: Range[] = []
  let first = 0
  const placed = shards.filter(({ placement }) => placement !== undefined)
  for (const shard of placed.toSorted((a, b) => a.first - b.first)) {
    if (shard.first > first) ranges.push({ first, count: shard.first - first })
    first = shard.first + shard.count
  }
  return ranges
}
