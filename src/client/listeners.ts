/**
 * Functions of users that hear of something.
 *
 * Not here: of what (job.ts, live.ts).
 * What one of them throws is theirs: it is thrown where nobody else's work ends by it, as an event target does.
 */
export class Listeners<T> {
  readonly #all = new Set<(news: T) => void>()

  get size(): number {
    return this.#all.size
  }

  /** Called with everything from now on; returns a function that ends it. */
  add(listener: (news: T) => void): () => void {
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
