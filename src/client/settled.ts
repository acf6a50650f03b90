/**
 * One outcome as its reader gets it: a value or an error, and when and where it ran.
 *
 * Not here: who waits for it (job.ts), and what the bytes mean (tasks/batch.ts, values.ts).
 */
import { type RunMetadata, TaskError } from '../errors.ts'
import { type JobId, taskId } from '../ids.ts'
import { type Batch, OUTCOME_HEADER_BYTES, readOutcomeHeader, STATUS, valueAt } from '../tasks/batch.ts'
import { isProgramResult } from '../tasks/executor/program.ts'
import { type Output, splitOutput } from '../tasks/output.ts'
import { splitStory } from '../tasks/story.ts'
import { runOf } from './metadata.ts'
import { decodeFailure, decodeValue } from './values.ts'

export interface Settled {
  readonly value: unknown
  readonly error: Error | undefined
  readonly run: RunMetadata
}

/** All that it printed; of a program that is part of its result, or of its failure. */
export function printedOf({ value, error, run }: Settled): Output {
  if (isProgramResult(value)) return value
  const exit = error instanceof TaskError ? error.exit : undefined
  return exit === undefined ? run : { stdout: exit.stdout ?? '', stderr: exit.stderr }
}

interface Where {
  readonly outcomes: Batch
  /** Position in the batch. */
  readonly at: number
  /** Of what lay elsewhere. */
  readonly value?: Uint8Array | undefined
  readonly submitted: number
}

/** The outcome of the task at `index` of its job. */
export function settledOf(job: JobId, index: number, { outcomes, at, value, submitted }: Where): Settled {
  const { outcome: printed, told } = splitStory(valueAt(outcomes, at))
  const { outcome, output } = splitOutput(printed)
  const { status } = readOutcomeHeader(outcome)
  const payload = outcome.subarray(OUTCOME_HEADER_BYTES)
  const run = runOf(outcomes.node, outcome, { ...output, told, submitted })
  try {
    if (status === STATUS.ok) return { value: decodeValue(value ?? payload), error: undefined, run }
    const failure = status === STATUS.cancelled ? cancelled : decodeFailure(payload)
    return { value: undefined, error: new TaskError(taskId(job, index), failure, run), run }
  } catch (error) {
    return { value: undefined, error: error instanceof Error ? error : new Error(String(error)), run }
  }
}

const cancelled = {
  code: 'SHOAL_CANCELLED',
  name: 'Cancelled',
  message: 'the task was cancelled',
  stack: ''
} as const
