/**
 * How much a handle by an id is told of its job: nothing while it only lies there, where it is for who asks how it stands, and
 * everything from the time on that somebody waits for something of it or looks at what it has, until its reader leaves.
 *
 * Not here: who tells it (client.ts).
 * Of one job there may be many handles, made for a single question each; whatever is told all keeps all of its results.
 */
export type Wanted = 'nothing' | 'place' | 'everything'

export class Interest {
  readonly #tell: ((wanted: Wanted) => void) | undefined
  #wanted: Wanted = 'nothing'
  #isOver = false

  /** Without `tell` it is the handle of a submitter, who is told everything. */
  constructor(tell: ((wanted: Wanted) => void) | undefined) {
    this.#tell = tell
  }

  get hasAll(): boolean {
    return this.#tell === undefined || this.#isOver || this.#wanted === 'everything'
  }

  /** Somebody waits for results, or looks at them. */
  all(): void {
    if (!this.hasAll) this.#want('everything')
  }

  /** Somebody asks how the job stands, for which it has to be found. */
  place(): void {
    if (!this.hasAll && this.#wanted === 'nothing') this.#want('place')
  }

  found(): void {
    if (this.#wanted === 'place') this.rest()
  }

  /** Its reader left, and nobody else waits. */
  rest(): void {
    if (!this.#isOver && this.#wanted !== 'nothing') this.#want('nothing')
  }

  /** The handle has ended. */
  over(): void {
    this.#isOver = true
  }

  #want(wanted: Wanted): void {
    this.#wanted = wanted
    this.#tell?.(wanted)
  }
}
