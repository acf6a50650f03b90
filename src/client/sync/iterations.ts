/**
 * Asynchronous iterations that a blocked caller goes through by pages.
 *
 * Not here: what is iterated (host.ts). The first item is waited for; those that are there already come along, so that a
 * caller who is slower than the mesh pays for one call in many.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Page } from './protocol.ts'

/** Bytes in one page, beyond which nothing more is put in. */
const pageBytesMax = 4 << 20

interface Iteration {
  readonly iterator: AsyncIterator<unknown>
  /** Asked of it, and not told yet. */
  coming: Promise<IteratorResult<unknown>> | undefined
}

export class Iterations {
  readonly #open = new Map<number, Iteration>()
  #last = 0

  begin(iterable: AsyncIterable<unknown>): number {
    this.#open.set(++this.#last, { iterator: iterable[Symbol.asyncIterator](), coming: undefined })
    return this.#last
  }

  async next(number: number, most: number): Promise<Page<unknown, Error>> {
    const one = this.#open.get(number)
    const values: unknown[] = []
    if (one === undefined) return { values, isDone: true, error: undefined }
    let bytes = 0
    try {
      while (values.length < most && bytes < pageBytesMax) {
        one.coming ??= one.iterator.next()
        const { coming } = one
        const step = await (values.length === 0 ? coming : Promise.race([coming, nextTurn(undefined)]))
        if (step === undefined) return { values, isDone: false, error: undefined }
        one.coming = undefined
        if (step.done) {
          this.#open.delete(number)
          return { values, isDone: true, error: undefined }
        }
        values.push(step.value)
        if (step.value instanceof Uint8Array) bytes += step.value.byteLength
      }
    } catch (error) {
      this.#open.delete(number)
      return { values, isDone: true, error: error instanceof Error ? error : new Error(String(error)) }
    }
    return { values, isDone: false, error: undefined }
  }

  /** Nothing more of it is wanted. */
  async leave(number: number): Promise<void> {
    const one = this.#open.get(number)
    this.#open.delete(number)
    one?.coming?.catch(() => {})
    await one?.iterator.return?.()
  }
}
