/**
 * Whose turn it is, among submitters whose tasks wait at one owner: theirs that has had the least of the engines' time.
 *
 * Not here: which of a submitter's tasks (round.ts), and what time a task takes (speeds.ts).
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996): each submitter has a clock that runs while engines work for it, and
 * a clock that stood still, because nothing of its submitter could be granted, is put forward to the present: nobody
 * saves up time, so nobody who had the mesh to himself has to pay for it later.
 */
import { assert, type Millis } from '../machine.ts'

/** Submitters that are ahead of the present and remembered; of more, those least ahead are forgotten. */
export const submittersMax = 1_024

export class Shares {
  readonly #clocks = new Map<string, Millis>()
  /** The clock of the submitter that was last served, when it was. */
  #present: Millis = 0

  /** The submitter to serve next; of equals, the first. */
  next(submitters: Iterable<string>): string | undefined {
    let best: string | undefined
    let least = Number.POSITIVE_INFINITY
    for (const submitter of submitters) {
      const clock = this.#clocks.get(submitter) ?? this.#present
      if (clock < least) [best, least] = [submitter, clock]
    }
    return best
  }

  /** Tasks of that much time were granted. */
  charge(submitter: string, cost: Millis): void {
    const clock = Math.max(this.#present, this.#clocks.get(submitter) ?? 0)
    this.#present = clock
    this.#clocks.set(submitter, clock + cost)
    if (this.#clocks.size > submittersMax) this.#forget()
  }

  check(): void {
    assert(this.#clocks.size <= submittersMax, `${this.#clocks.size} submitters remembered`)
  }

  /** Who is not ahead of the present begins there anyway. */
  #forget(): void {
    for (const [submitter, clock] of this.#clocks) if (clock <= this.#present) this.#clocks.delete(submitter)
    const byClock = [...this.#clocks].sort(([, a], [, b]) => a - b)
    const surplus = Math.max(0, byClock.length - submittersMax / 2)
    for (const [submitter] of byClock.slice(0, surplus)) this.#clocks.delete(submitter)
  }
}
