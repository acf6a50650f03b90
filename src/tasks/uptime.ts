/**
 * A node's own clock, which runs while the node does: milliseconds, all its lives together.
 *
 * Not here: who writes it down (retention.ts, keeper.ts). No wall clock is believed, so this is what ages are measured with.
 * What was not written before a crash is lost, so an age may be told too small, and never too great.
 */
import type { Millis } from '../machine.ts'

export class Uptime {
  #before: Millis = 0
  #since: Millis | undefined
  #now: Millis = 0

  get ms(): Millis {
    return Math.floor(this.#before + this.#now - (this.#since ?? this.#now))
  }

  /** It is `now`, by the clock of this life. */
  pass(now: Millis): void {
    this.#since ??= now
    this.#now = now
  }

  /** An earlier life had come so far. */
  resume(ms: Millis): void {
    this.#before = Math.max(this.#before, ms)
  }
}
