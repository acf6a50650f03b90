/**
 * Tries to open a line again and again, with pauses that grow, until it is open or there is no hope.
 *
 * Not here: which addresses are tried (remote.ts), and who needs the line (client.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ShoalError } from '../errors.ts'
import type { Line } from './line.ts'

const retryMs = { first: 50, last: 1_000 }

/** Rejects with the last error once `limit` is over, with the reason of `closing`, or at once if trying again cannot help. */
export async function reach(line: Line, limit: AbortSignal, closing: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([limit, closing])
  for (let waitMs = retryMs.first; ; waitMs = Math.min(retryMs.last, waitMs * 2)) {
    try {
      return await line.open(signal)
    } catch (error) {
      closing.throwIfAborted()
      const isFinal = error instanceof ShoalError && (error.code === 'SHOAL_REFUSED' || !error.retryable)
      if (isFinal || signal.aborted) throw error
      await sleep(waitMs, undefined, { signal }).catch(() => {
        throw error
      })
    }
  }
}
