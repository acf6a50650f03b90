/**
 * What is under way and has to end before that is closed which it uses.
 *
 * Not here: what makes it end soon (data.ts), and what it uses (datafiles.ts).
 */
import { ShoalError } from '../errors.ts'

export class Underway {
  readonly #all = new Set<Promise<unknown>>()
  #isClosed = false

  /** Rejects with SHOAL_CLOSED, and begins nothing, once it is closed. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw stopped()
    const working = work()
    this.#all.add(working)
    try {
      return await working
    } finally {
      this.#all.delete(working)
    }
  }

  /** Resolves when all has ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#all)
  }
}

export const stopped = (): ShoalError => new ShoalError('SHOAL_CLOSED', 'the node was stopped')
