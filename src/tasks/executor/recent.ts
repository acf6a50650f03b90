/**
 * What was used last, up to a number of things and a weight of them all.
 *
 * Not here: what it is.
 */
export class Recent<V> {
  readonly #most: number
  readonly #weightMax: number
  /** Used last comes last. */
  readonly #all = new Map<string, { readonly value: V; readonly weight: number }>()
  #weight = 0

  constructor(most: number, weightMax: number) {
    this.#most = most
    this.#weightMax = weightMax
  }

  /** Looked at, which is no use. */
  peek(key: string): V | undefined {
    return this.#all.get(key)?.value
  }

  use(key: string): V | undefined {
    const one = this.#take(key)
    if (one !== undefined) this.add(key, one.value, one.weight)
    return one?.value
  }

  /** What does not fit any more goes, but never the one that came last. */
  add(key: string, value: V, weight: number): void {
    this.#take(key)
    this.#all.set(key, { value, weight })
    this.#weight += weight
    for (const oldest of this.#all.keys()) {
      if ((this.#all.size <= this.#most && this.#weight <= this.#weightMax) || oldest === key) break
      this.#take(oldest)
    }
  }

  #take(key: string) {
    const one = this.#all.get(key)
    if (one === undefined) return undefined
    this.#all.delete(key)
    this.#weight -= one.weight
    return one
  }
}
