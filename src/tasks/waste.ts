/**
 * Counts runs that brought nothing.
 *
 * Not here: why they were lost or came too late (lead.ts).
 * At least once means that some work is done twice; this is how much that was.
 */
import type { Accepted } from './accepted.ts'
import { type Batch, readOutcomeHeader, STATUS, valueAt } from './batch.ts'

/** Runs that brought nothing, since this node started: their engine ended, or another run's outcome was committed. */
export interface Waste {
  lost: number
  dropped: number
}

/** Outcomes of one shard that came when another run's were committed. The same one may come again and counts once. */
export class Dropped {
  readonly #waste: Waste
  readonly #seen = new Set<string>()

  constructor(waste: Waste) {
    this.#waste = waste
  }

  /** `committed` is what was committed of the task; this may be that very outcome, said again. */
  count(index: number, outcomes: Batch, at: number, committed: Accepted | undefined): void {
    const { attempt, status } = readOutcomeHeader(valueAt(outcomes, at))
    const run = `${index} ${attempt} ${outcomes.node}`
    const isSame =
      committed?.batch.node === outcomes.node &&
      readOutcomeHeader(valueAt(committed.batch, committed.at)).attempt === attempt
    if (isSame || status === STATUS.cancelled || this.#seen.has(run)) return
    this.#seen.add(run)
    this.#waste.dropped++
  }
}
