/**
 * How long a task was made to stand still, so that it is not held against its time limit.
 *
 * Not here: who stops an engine and when (pool.ts).
 */

export class Standstill {
  #since: number | undefined
  #startedAt: number | undefined
  #ms = 0

  get isNow(): boolean {
    return this.#since !== undefined
  }

  begin(now: number): void {
    this.#since ??= now
  }

  /** `startedAt`: when the task began that runs now, if one does. */
  end(now: number, startedAt: number | undefined): void {
    const ms = this.#since === undefined ? 0 : now - this.#since
    this.#since = undefined
    this.#ms = ms + this.of(startedAt)
    this.#startedAt = startedAt
  }

  /** Of the task that began then; without what is going on. */
  of(startedAt: number | undefined): number {
    return startedAt !== undefined && startedAt === this.#startedAt ? this.#ms : 0
  }
}
