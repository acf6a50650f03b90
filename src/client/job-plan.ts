/**
 * What a client makes a job of, and what the handle of a job asks of its client.
 *
 * Not here: the handle (job.ts), the client (client.ts).
 */
import type { JobId, JobName } from '../ids.ts'
import type { Placement } from '../tasks/messages.ts'
import type { Explanation, JobSummary } from './answers.ts'
import type { Wanted } from './interest.ts'
import type { Gate, Nest } from './nest.ts'
import type { Places } from './places.ts'
import type { Share } from './share.ts'
import type { Accepted } from './types.ts'

/** What a handle can ask of its client. */
export interface JobHost {
  /** Without an index, all of it. */
  cancel(job: JobName, index?: number): void
  /** The handle has all it will ever have. */
  forget(job: InHand): void
  /** Of a handle by an id: how much it is told from now on. */
  tell(job: InHand, wanted: Wanted): void
  /** Resolves when every node that is up has forgotten the job. */
  release(job: JobId): Promise<void>
  explain(task: string): Promise<Explanation>
  /** How far a job is, of whose tasks only one is counted as ended if one is named; nothing if no node says. */
  standing(about: string): Promise<JobSummary | undefined>
  /** Where the shards are of a job that is closed. */
  locate(job: JobId): Promise<Placement[]>
  /** The handle of a job that this client has submitted, or is about to, until that has ended. */
  makerOf(job: JobId): Maker | undefined
}

/** Who submits a job: it knows before others where its tasks are, and that all are accepted. */
export interface Maker {
  readonly places: Places
  readonly share: Share | undefined
  untilAccepted(): Promise<Accepted>
}

/** A handle of a job, as its client knows it. */
export interface InHand {
  readonly id: JobId
  name: JobName
  readonly share: Share | undefined
}

/** What a client makes a job of; `id`: somebody made it, and it is to be read. */
export interface NewJob {
  readonly id?: JobId
  /** Its name, if it is not one of many. */
  readonly reader?: JobName
  readonly key?: string | undefined
  readonly returnErrors: boolean
  readonly inFlightMax?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly requires?: { readonly targets: readonly string[] }
}

export interface JobPlan {
  readonly id: JobId
  /** Default: its id. */
  readonly name?: JobName | undefined
  readonly host: JobHost
  /** It is read by its id, whoever submitted it. */
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
