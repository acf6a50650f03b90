/**
 * How long a client goes on with a transfer that breaks again and again.
 *
 * Not here: the transfer (data.ts).
 */

/** Without any progress for so long, a transfer fails. */
export const stalledMs = 60_000

export class Patience {
  #at = performance.now()

  progress(): void {
    this.#at = performance.now()
  }

  get isOver(): boolean {
    return performance.now() - this.#at > stalledMs
  }
}
