/**
 * How many engines were lost with each task of a shard, and in what company a task goes on after that.
 *
 * Not here: what counts as a loss (lead.ts), and where a task was lost (story.ts, tried.ts).
 */

/** Losses of an engine after which a task fails as TASK_POISONED. */
export const lossesMax = 3
/**
 * A node that is lost takes all that it held with it, and nobody knows which task it was. So those it held go on in small
 * company, then alone, as when light bulbs are tested by halves: the third loss names the one, and its neighbours are safe.
 */
export const companyMax = 8

export class Losses {
  readonly #losses: Uint8Array

  constructor(count: number) {
    this.#losses = new Uint8Array(count)
  }

  of(index: number): number {
    return this.#losses[index] as number
  }

  set(index: number, losses: number): void {
    this.#losses[index] = Math.max(0, Math.min(losses, 255))
  }

  add(index: number): void {
    this.set(index, this.of(index) + 1)
  }

  /** What was taken for lost goes on. */
  forgive(index: number): void {
    this.set(index, this.of(index) - 1)
  }

  /** Of `companyMax` on one node. */
  weight(index: number): number {
    const losses = this.of(index)
    return losses === 0 ? 0 : losses < lossesMax - 1 ? 1 : companyMax
  }
}
