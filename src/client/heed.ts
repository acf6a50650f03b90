/**
 * The signal that a caller gave along, and the job that it ends.
 *
 * Not here: what ends with a job (job.ts).
 */
import { ShoalError } from '../errors.ts'

interface Ended {
  readonly id: string
  abandon(error: Error): void
  fail(error: Error): void
}

/** Who only reads a job does not end it for the others. */
export function heed(signal: AbortSignal | undefined, job: Ended, isOwn: boolean): void {
  const abort = (): void => {
    const text = `job ${job.id} was aborted`
    const error = new ShoalError('SHOAL_CANCELLED', text, { cause: signal?.reason })
    if (isOwn) job.abandon(error)
    else job.fail(error)
  }
  if (signal?.aborted) abort()
  else signal?.addEventListener('abort', abort, { once: true })
}
