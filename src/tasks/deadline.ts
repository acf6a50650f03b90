/**
 * Until when tasks of a shard may wait for an engine.
 *
 * Not here: which of them that concerns, and what becomes of these (lead.ts).
 */
import type { Millis } from '../machine.ts'

export class Deadline {
  readonly #afterMs: Millis
  #at: Millis = Number.POSITIVE_INFINITY
  #isPast = false

  /** `afterMs` is 0 for tasks that may wait for ever. */
  constructor(afterMs: Millis, now: Millis) {
    this.#afterMs = afterMs
    this.countFrom(now)
  }

  countFrom(now: Millis): void {
    if (this.#afterMs > 0) this.#at = now + this.#afterMs
  }

  /** True once. */
  passes(now: Millis): boolean {
    if (this.#isPast || now < this.#at) return false
    this.#isPast = true
    return true
  }

  /** Something waits again for which it counts. */
  again(): void {
    this.#isPast = false
  }

  /** When it passes; nothing if it has, or never will. */
  get at(): Millis | undefined {
    return this.#isPast || !Number.isFinite(this.#at) ? undefined : this.#at
  }
}
