/**
 * Where, when and how a task ran, as its outcome tells it.
 *
 * Not here: its value (job.ts), and how the story travels (tasks/story.ts).
 */
import type { AttemptMetadata, RunMetadata } from '../errors.ts'
import { readOutcomeHeader, STATUS } from '../tasks/batch.ts'
import type { Output } from '../tasks/output.ts'
import type { EarlierAttempt } from '../tasks/story.ts'

/** What is told of a task beside its outcome. `submitted` is in milliseconds since 1970. */
export type Told = Output & { readonly told: readonly EarlierAttempt[]; readonly submitted: number }

export function runOf(
  node: string,
  outcome: Uint8Array,
  { told, submitted, stdout, stderr }: Told
): RunMetadata {
  const { status, slot, attempt, elapsedMs, startedAt } = readOutcomeHeader(outcome)
  const earlier = told.map(attemptOf)
  if (node !== '') {
    const times = { started: startedAt, completed: startedAt + elapsedMs }
    return { submitted, ...times, engine: `${node}/${slot}`, attempt, stdout, stderr, earlier }
  }
  // Said by an owner. Of a task that is failed because its engines were lost, the last of these was its last attempt.
  const last = earlier.at(-1)
  if (status !== STATUS.error || last?.how !== 'lost')
    return {
      submitted,
      started: undefined,
      completed: undefined,
      engine: '',
      attempt,
      stdout,
      stderr,
      earlier
    }
  const { started, completed, engine } = last
  const before = earlier.slice(0, -1)
  return { submitted, started, completed, engine, attempt: last.attempt, stdout, stderr, earlier: before }
}

function attemptOf({ attempt, engine, how, startedAt, elapsedMs, reason }: EarlierAttempt): AttemptMetadata {
  const isTimed = startedAt > 0
  const started = isTimed ? startedAt : undefined
  const completed = isTimed ? startedAt + elapsedMs : undefined
  return { attempt, engine, how, started, completed, reason }
}
