/**
 * What a client makes a job of, and what the handle of a job asks of its client.
 *
 * Not here: the handle (job.ts), the client (client.ts).
 */
import type { JobId } from '../ids.ts'
import type { Placement } from '../tasks/messages.ts'
import type { Explanation, JobSummary } from './answers.ts'
import type { Gate, Nest } from './nest.ts'
import type { Share } from './share.ts'

/** What a handle can ask of its client. */
export interface JobHost {
  /** Without an index, all of it. */
  cancel(job: JobId, index?: number): void
  /** The handle has all it will ever have. */
  forget(job: { readonly id: JobId; readonly share: Share | undefined }): void
  /** Resolves when every node that is up has forgotten the job. */
  release(job: JobId): Promise<void>
  explain(task: string): Promise<Explanation>
  /** How far a job is, of whose tasks only one is counted as ended if one is named; nothing if no node says. */
  standing(about: string): Promise<JobSummary | undefined>
  /** Where the shards are of a job that is closed. */
  locate(job: JobId): Promise<Placement[]>
}

/** What a client makes a job of; `id`: somebody else submitted it. */
export interface NewJob {
  readonly id?: JobId
  readonly key?: string | undefined
  readonly returnErrors: boolean
  readonly inFlightMax: number | undefined
  readonly signal: AbortSignal | undefined
  readonly requires?: { readonly targets: readonly string[] }
}

export interface JobPlan {
  readonly id: JobId
  readonly host: JobHost
  /** Somebody else submitted it. */
  readonly isFound: boolean
  readonly returnErrors: boolean
  /** Inputs pulled and not taken out. */
  readonly inFlightMax: number
  /** The task that it is submitted from, and what waiting for results goes through. */
  readonly nest?: Nest | undefined
  readonly gate: Gate
  /** With others who submit the same. */
  readonly share?: Share | undefined
}
