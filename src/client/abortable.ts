/**
 * Waiting that ends at once when the caller's signal aborts, whatever is waited for.
 *
 * Not here: what an abort means to what goes on (data.ts, heed.ts).
 */
import { ShoalError } from '../errors.ts'
import { checkSignal } from './checks.ts'

/**
 * What ends a call: its caller, with SHOAL_CANCELLED, or the client, with the reason it has, until it is `over`. `what` is done, in
 * words. Throws SHOAL_BAD_OPTION for what is no signal.
 */
export function endsOf(
  what: string,
  asked: AbortSignal | undefined,
  closing: AbortSignal
): { readonly signal: AbortSignal; readonly over: () => void } {
  checkSignal(asked)
  if (asked === undefined) return { signal: closing, over: () => {} }
  const ends = new AbortController()
  const cancel = (): void => ends.abort(cancelled(what, asked))
  const close = (): void => ends.abort(closing.reason)
  asked.addEventListener('abort', cancel)
  closing.addEventListener('abort', close)
  if (closing.aborted) close()
  if (asked.aborted) cancel()
  const over = (): void => {
    asked.removeEventListener('abort', cancel)
    closing.removeEventListener('abort', close)
  }
  return { signal: ends.signal, over }
}

/** For whoever aborted it. */
export const cancelled = (what: string, { reason: cause }: AbortSignal): ShoalError =>
  new ShoalError('SHOAL_CANCELLED', `${what} was aborted`, { cause })

/** Rejects with the signal's reason if that comes first; `undo` is then given what comes too late. */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  undo?: (late: T) => unknown
): Promise<T> {
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

/** The same items. Rejects with the signal's reason, and leaves the source, also if that never answers. */
export async function* untilAborted<T>(
  source: Iterable<T | PromiseLike<T>> | AsyncIterable<T>,
  signal: AbortSignal
): AsyncGenerator<T, void, undefined> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  let fail: (reason: unknown) => void = () => {}
  // One for all items: there may be very many.
  const abort = (): void => fail(signal.reason)
  signal.addEventListener('abort', abort)
  let isDone = false
  try {
    for (;;) {
      signal.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T>>()
      fail = reject
      nextOf(iterator).then(resolve, reject)
      const { done, value } = await promise
      isDone = done === true
      if (isDone) return
      yield value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // One that waits for its next piece may never answer.
    if (!isDone) void (async () => iterator.return?.())().catch(() => {})
  }
}

/** As `for await` does: an array may have promises in it. */
async function nextOf<T>(
  iterator: Iterator<T | PromiseLike<T>> | AsyncIterator<T>
): Promise<IteratorResult<T>> {
  const { done, value } = await iterator.next()
  return { done: done === true, value: await value }
}
