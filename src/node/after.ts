/**
 * What may be said only once a write is on disk, in the order of the writes.
 *
 * Not here: what that is (tasks/keeper.ts, as `then`), and the writing (journal.ts).
 */
import type { Send } from '../tasks/effects.ts'

export class AfterWrites {
  #waiting: { id: number; then: readonly Send[] }[] = []
  #writes = 0

  /** Returns the number of the write. */
  add(then: readonly Send[]): number {
    const id = ++this.#writes
    if (then.length > 0) this.#waiting.push({ id, then })
    return id
  }

  /** Every write up to this one is on disk. */
  done(upTo: number): Send[] {
    const end = this.#waiting.findIndex(({ id }) => id > upTo)
    const done = this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
    return done.flatMap(({ then }) => [...then])
  }

  /** Nothing more will be written. */
  never(): void {
    this.#waiting = []
  }
}
