/**
 * Pieces of data of which something is over, so that nobody who did not hear of it brings them back.
 *
 * Not here: what is over, and when it is not any more (depot.ts).
 */
import type { DataId } from '../ids.ts'

/** Data whose pins were ended. */
export const unpinnedMax = 10_000
/** Data of jobs that are over. */
export const crossedMax = 10_000

/** Of more than `most` the oldest is forgotten. */
export class Remembered {
  readonly #most: number
  readonly #what = new Map<DataId, string>()

  constructor(most: number) {
    this.#most = most
  }

  has(id: DataId): boolean {
    return this.#what.has(id)
  }

  /** What was said of it. */
  get(id: DataId): string | undefined {
    return this.#what.get(id)
  }

  add(id: DataId, what = ''): void {
    this.#what.set(id, what)
    if (this.#what.size > this.#most) this.#what.delete(this.#what.keys().next().value as DataId)
  }

  delete(id: DataId): void {
    this.#what.delete(id)
  }
}
