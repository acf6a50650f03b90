/**
 * How many there are of something at a time, by what it belongs to.
 *
 * Not here: what it is (datafiles.ts, code-door.ts, provisions.ts).
 */
export class Counts<Key> {
  readonly #counts = new Map<Key, number>()

  of(key: Key): number {
    return this.#counts.get(key) ?? 0
  }

  /** One more, until the returned function is called. */
  add(key: Key): () => void {
    this.#counts.set(key, this.of(key) + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const left = this.of(key) - 1
      if (left > 0) this.#counts.set(key, left)
      else this.#counts.delete(key)
    }
  }
}
