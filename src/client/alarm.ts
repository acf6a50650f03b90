/**
 * The only timer of a client: rings when its session next has work.
 *
 * Not here: when that is (session.ts).
 */
import { performance } from 'node:perf_hooks'
import type { Millis } from '../machine.ts'

export class Alarm {
  readonly #ring: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  #at = Number.POSITIVE_INFINITY
  #isStopped = false

  constructor(ring: () => void) {
    this.#ring = ring
  }

  /** Only ever earlier: who is woken too early sets it again. */
  setTo(at: Millis | undefined): void {
    if (at === undefined || at >= this.#at || this.#isStopped) return
    clearTimeout(this.#timer)
    const now = performance.now()
    this.#at = Math.max(now + 1, Math.ceil(at))
    this.#timer = setTimeout(() => {
      this.#at = Number.POSITIVE_INFINITY
      this.#ring()
    }, this.#at - now)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }
}
