/**
 * A simulated job: what it is at its beginning, what its client says of all its tasks, and how it is asked to wait.
 *
 * Not here: who submits it (client.ts), and what of it is drawn (plan.ts).
 */
import type { ClientMessageOf, EntryMessage } from '../../src/client/protocol.ts'
import type { DataId, Digest, JobId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { type Batch, pack } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import type { JobHeader, Placement } from '../../src/tasks/messages.ts'
import { naming } from './goods.ts'
import type { JobPlan } from './plan.ts'

export interface SimJob {
  readonly id: JobId
  readonly plan: JobPlan
  /** What its inputs name. */
  data: readonly DataId[]
  readonly shards: { first: number; count: number; isAccepted: boolean }[]
  /** Of accepted shards. */
  readonly placements: Placement[]
  isClosed: boolean
  isComplete: boolean
  isCancelled: boolean
  /** Single tasks. */
  readonly cancelled: Set<number>
  /** It was released, or its results are kept for a short time only. */
  mayBeGone: boolean
  /** Its client was told that it is forgotten. */
  isReleased: boolean
}

export const newJob = (id: JobId, plan: JobPlan): SimJob => ({
  id,
  plan,
  data: [],
  shards: [],
  placements: [],
  isClosed: false,
  isComplete: false,
  isCancelled: false,
  cancelled: new Set(),
  mayBeGone: plan.retentionMs > 0,
  isReleased: false
})

export const headerOf = (job: JobId, plan: JobPlan, submittedAt: Millis): JobHeader => ({
  job,
  name: 'simulated',
  code: 'c'.repeat(43) as Digest,
  exportName: job,
  retries: plan.atMostOnce ? 0 : plan.retries,
  timeoutMs: plan.timeoutMs,
  priority: plan.priority,
  submittedAt,
  queueTimeoutMs: plan.queueTimeoutMs,
  retentionMs: plan.retentionMs,
  atMostOnce: plan.atMostOnce,
  submitter: plan.submitter,
  requires: plan.requires,
  depth: plan.depth ?? 0,
  around: [],
  parent: []
})

/** Inputs of tasks `first` to `first + count - 1`; each names one of the job's pieces of data, if it has any. */
export function inputsOf({ id, data }: SimJob, first: number, count: number): Batch {
  const indexes = Array.from({ length: count }, (_, at) => at)
  const values = indexes.map((at) => {
    const input = Buffer.from(`${id}:${first + at}`, 'latin1')
    return naming(data.length === 0 ? [] : [data[(first + at) % data.length] as DataId], input)
  })
  return pack('', indexes, values)
}

/** Its client is to cancel this very task, or, whatever becomes of that, whoever reads the job. Of a shard that counts, that is. */
export function isToBeCancelledAlone(job: SimJob | undefined, { key, first }: Run, index: number): boolean {
  if (job?.plan.cancels?.some(({ task }) => task === first + index) !== true) return false
  if (job.shards[0]?.isAccepted !== true || job.mayBeGone) return false
  return job.placements.some((placement) => placement.key === key)
}

/** As an entry says it that places as many shards as it can. */
export const busy = ({ header, index }: ClientMessageOf<'submit'>): EntryMessage => ({
  kind: 'refused',
  job: header.job,
  index,
  code: 'SHOAL_BUSY',
  message: ''
})
