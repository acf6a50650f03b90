/**
 * Functions of users that hear of something.
 *
 * Not here: of what (job.ts, live.ts).
 * What one of them throws is theirs: it is thrown where nobody else's work ends by it, as an event target does.
 */
import { refuse, shown } from './checks.ts'

/** Throws SHOAL_BAD_OPTION at the call, where the mistake is, for what cannot be called later. */
export function checkListener(listener: unknown): void {
  if (typeof listener !== 'function') refuse(`a listener is ${shown(listener)}; it is a function`)
}

export class Listeners<T> {
  readonly #all = new Set<(news: T) => void>()

  get size(): number {
    return this.#all.size
  }

  /** Called with everything from now on; returns a function that ends it. See `checkListener`. */
  add(listener: (news: T) => void): () => void {
    checkListener(listener)
    this.#all.add(listener)
    return () => this.#all.delete(listener)
  }

  tell(news: T): void {
    for (const listener of this.#all) {
      try {
        listener(news)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
