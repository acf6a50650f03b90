/**
 * Goes round the entries of a map a part at a time, for what is too much to be gone through at once.
 *
 * Not here: what is done with them (depot.ts, guard.ts).
 * Like a watchman's round it goes on where it ended, so that none is left out; what was added or removed meanwhile is no matter.
 */

export class Round<K, V> {
  readonly #map: ReadonlyMap<K, V>
  #cursor: Iterator<[K, V]> | undefined

  constructor(map: ReadonlyMap<K, V>) {
    this.#map = map
  }

  /** The next ones, each once. Who stops before the end gets the others the next time. Entries may be removed meanwhile. */
  *next(most: number): Generator<[K, V]> {
    for (let left = Math.min(most, this.#map.size); left > 0 && this.#map.size > 0; left--) yield this.#step()
  }

  /** Of a map that is not empty. */
  #step(): [K, V] {
    for (;;) {
      this.#cursor ??= this.#map.entries()
      const { value } = this.#cursor.next()
      if (value !== undefined) return value
      this.#cursor = undefined
    }
  }
}
