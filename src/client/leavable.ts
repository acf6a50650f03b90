/**
 * An iteration that can be left at once, also while its next result is waited for.
 *
 * Not here: what is iterated (shelf.ts, views/balanced.ts).
 * A generator hears that it is left when it comes to its next `yield`, which may be never.
 */

/** `leave` is called if the iteration is left, and ends what the generator waits for. */
export function leavable<T>(
  generator: AsyncGenerator<T, void, undefined>,
  leave: () => Promise<void>
): AsyncIterableIterator<T, void, undefined> {
  const over: IteratorReturnResult<void> = { done: true, value: undefined }
  let isLeft = false
  return {
    next: async () => (isLeft ? over : generator.next()),
    return: async () => {
      if (isLeft) return over
      isLeft = true
      await leave()
      // It comes to its end by itself.
      generator.return().catch(() => {})
      return over
    },
    [Symbol.asyncIterator]() {
      return this
    }
  }
}
