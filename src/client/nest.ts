/**
 * What a job takes over from the task that submits it.
 *
 * Not here: who is within a task (within.ts), and the rest of what a submitter says of a job (header.ts).
 */
import type { JobId } from '../ids.ts'
import type { ship } from './functions.ts'

/** A job that a task submits. */
export interface Nest {
  readonly job: JobId
  /** Above that of the same job of an earlier attempt, which it takes the place of. */
  readonly epoch: number
  readonly depth: number
  readonly priority: number
  readonly submitter: string
  /** Waits, and lets others have the slot meanwhile. */
  readonly gate: Gate
  /** Ends the job with the task. */
  owns(job: { readonly id: JobId; abandon(error: Error): void }): void
}

export type Gate = <T>(promise: Promise<T>) => Promise<T>

/** Of a client whose jobs are submitted by tasks. */
export interface Within {
  readonly ship: typeof ship
  /** Throws if no task may submit one now. */
  readonly nest?: () => Nest
  readonly gate?: () => Gate
}
