/**
 * Those who wait for answers about the mesh, by the number of the question.
 *
 * Not here: asking, and asking again (asks.ts).
 */
interface Waiting {
  readonly resolve: (json: string) => void
  readonly reject: (error: Error) => void
}

export class Replies {
  readonly #waiting = new Map<number, Waiting>()

  get open(): number {
    return this.#waiting.size
  }

  to(ask: number): Promise<string> {
    return new Promise((resolve, reject) => this.#waiting.set(ask, { resolve, reject }))
  }

  came(ask: number, json: string): void {
    this.#waiting.get(ask)?.resolve(json)
    this.#waiting.delete(ask)
  }

  fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
