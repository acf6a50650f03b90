/**
 * How long the work behind a handle took: for whoever waits, on the engines, and from end to end.
 *
 * Not here: when single tasks ran (metadata.ts). Sums are kept as results arrive, so they include what was taken out since.
 */
import { performance } from 'node:perf_hooks'
import type { RunMetadata } from '../errors.ts'

/** All in milliseconds. */
export interface Times {
  /** Since it was submitted or opened here, or until the last result was here. */
  readonly elapsed: number
  /** What all tasks that have ended took, one after another, each by its engine's clock. */
  readonly serialTime: number
  /** From the submission to the last end so far; across machines as right as their clocks are. */
  readonly wallTime: number
}

export class Timing implements Times {
  readonly #begunAt = performance.now()
  #endedAt: number | undefined
  #serial = 0
  #first = Number.POSITIVE_INFINITY
  #last = 0

  get elapsed(): number {
    return (this.#endedAt ?? performance.now()) - this.#begunAt
  }

  get serialTime(): number {
    return this.#serial
  }

  get wallTime(): number {
    return Math.max(0, this.#last - this.#first)
  }

  /** A task has ended. */
  ran({ submitted, started, completed }: RunMetadata): void {
    if (started !== undefined && completed !== undefined) this.#serial += completed - started
    this.#first = Math.min(this.#first, submitted)
    this.#last = Math.max(this.#last, completed ?? submitted)
  }

  /** What was told is told again. */
  restart(): void {
    this.#serial = this.#last = 0
    this.#first = Number.POSITIVE_INFINITY
  }

  over(): void {
    this.#endedAt ??= performance.now()
  }
}
