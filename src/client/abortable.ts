/**
 * Waiting that ends at once when the caller's signal aborts, whatever is waited for.
 *
 * Not here: what an abort means to what goes on (data.ts, heed.ts).
 */

/** Rejects with the signal's reason if that comes first; `undo` is then given what comes too late. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  undo?: (late: T) => unknown
): Promise<T> {
  if (signal === undefined) return await promise
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort)
  try {
    return await Promise.race([promise, aborted])
  } catch (error) {
    if (signal.aborted) promise.then(undo, () => {})
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
