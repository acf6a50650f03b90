/**
 * Lets so many do something at a time; the others wait in line.
 *
 * Not here: what they do.
 */
export class Gate {
  readonly #most: number
  readonly #line: (() => void)[] = []
  #inside = 0

  constructor(most: number) {
    this.#most = most
  }

  async through<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#most) await new Promise<void>((resolve) => this.#line.push(resolve))
    else this.#inside++
    try {
      return await work()
    } finally {
      // Whoever is next takes this one's place.
      const next = this.#line.shift()
      if (next === undefined) this.#inside--
      else next()
    }
  }

  /** Resolves when there is room. */
  async room(): Promise<void> {
    if (this.#inside >= this.#most) await this.through(async () => {})
  }
}
