/**
 * Ctrl-C and its relatives: the first asks to end in good order, the second ends at once.
 *
 * Not here: what good order is (commands/).
 * A terminal sends Ctrl-C to everyone in front of it, and launchers pass on what they got: one key press may arrive twice.
 */
import type { JobHandle } from '../src/client/types.ts'

const echoMs = 200
/** A program that is cancelled may have half of it to end. */
const endsWithinMs = 10_000
/** What a command tries to cancel. */
let cancelling: string | undefined

/**
 * Aborts at the first SIGINT or SIGTERM. A second one, if it is no echo of the first, ends the process with exit code 1; so does
 * a mesh that does not answer for long, unless this one sees to its end by itself.
 */
export function interruption({ isBounded = true } = {}): AbortSignal {
  const controller = new AbortController()
  let firstAt = Number.POSITIVE_INFINITY
  const onSignal = (): void => {
    const now = performance.now()
    if (now - firstAt > echoMs) process.exit(1)
    if (isBounded && now < firstAt) setTimeout(overdue, endsWithinMs).unref()
    firstAt = Math.min(firstAt, now)
    controller.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return controller.signal
}

function overdue(): void {
  const rest = cancelling && `: job ${cancelling} may go on; \`shoal cancel ${cancelling}\` ends it`
  process.stderr.write(`the mesh did not answer within ${endsWithinMs / 1_000} s${rest ?? ''}\n`)
  process.exit(1)
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** Cancels it, if there is one; what keeps it from that is told by whoever reads its results. */
export function giveUp(job: Pick<JobHandle<unknown>, 'cancel' | 'id'> | undefined): void {
  cancelling = job?.id
  job?.cancel().catch(() => {})
}
