/**
 * What a job takes over from the task that submits it.
 *
 * Not here: who is within a task (within.ts), and the rest of what a submitter says of a job (header.ts).
 */
import { ShoalError } from '../errors.ts'
import type { JobId } from '../ids.ts'
import type { Parent } from '../tasks/messages.ts'
import type { Call } from './calls.ts'
import type { ship } from './functions.ts'

/** Entries that one attempt may lose, at most, while it submits a job; the next attempt counts on from there. */
export const epochsPerAttempt = 15
/** Owners of one shard, by their seats, that are told from each other. */
const seatsTold = 16

/**
 * Where the jobs of a run begin to count. Of two keepers either may own, on its own side of a split, and grant the same attempt
 * as the other one: what their runs submit is not the same shard, either.
 */
export const firstEpoch = (attempt: number, seat: number): number =>
  ((attempt - 1) * seatsTold + (seat % seatsTold)) * epochsPerAttempt

/** A job that a task submits. */
export interface Nest {
  readonly job: JobId
  /** Above that of the same job of an earlier attempt, which it takes the place of. */
  readonly epoch: number
  readonly depth: number
  readonly priority: number
  readonly submitter: string
  /** Engines that wait for it, from the outermost. */
  readonly around: readonly string[]
  /** The task that submits it. */
  readonly parent: Parent
  /** Waits, and lets others have the slot meanwhile. */
  readonly gate: Gate
  /** Gives the task back: what it submitted is another attempt's by now. */
  yields(): void
  /** Ends the job with the task. `targets`: only these may run it. */
  owns(job: Call, targets: readonly string[]): void
}

/** A task that uses cells: what it holds, and what it waits for, ends with it. */
export interface Owner {
  readonly isOver: boolean
  whenOver(put: () => void): void
}

export type Gate = <T>(promise: Promise<T>) => Promise<T>

/** Of a client whose jobs are submitted by tasks. */
export interface Within {
  readonly ship: typeof ship
  /** Throws if no task may submit one now. */
  readonly nest?: () => Nest
  readonly gate?: () => Gate
  /** Throws if no task may use cells now. */
  readonly owner?: () => Owner
  /** Engines that wait for whatever is submitted now. */
  readonly around?: () => readonly string[]
}

/** Throws SHOAL_OWN_ENGINE if nothing but engines that wait for it may run it. */
export function refuseAround(targets: readonly string[], around: readonly string[]): void {
  if (targets.length === 0 || !targets.every((target) => around.includes(target))) return
  const who = targets.join(', ')
  throw new ShoalError(
    'SHOAL_OWN_ENGINE',
    `a task cannot call the engine that it runs on, or one whose task waits for it (${who}); call it from outside, or leave it out of the view`
  )
}
