/**
 * The signal that a caller gave along, and the job that it ends.
 *
 * Not here: what ends with a job (job.ts).
 */
import { ShoalError } from '../errors.ts'
import type { End } from './endings.ts'

interface Ended {
  readonly id: string
  readonly end: Pick<End, 'on'>
  abandon(error: Error): void
  fail(error: Error): void
}

/** Who only reads a job does not end it for the others. A signal may outlive many jobs: it lets each of them go once it has ended. */
export function heed(signal: AbortSignal | undefined, job: Ended, isOwn: boolean): void {
  const abort = (): void => {
    const text = `job ${job.id} was aborted`
    const error = new ShoalError('SHOAL_CANCELLED', text, { cause: signal?.reason })
    if (isOwn) job.abandon(error)
    else job.fail(error)
  }
  if (signal === undefined) return
  if (signal.aborted) return abort()
  signal.addEventListener('abort', abort)
  job.end.on((change) => {
    if (change === 'over') signal.removeEventListener('abort', abort)
  })
}
