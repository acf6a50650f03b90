/**
 * Up to which attempt the register of a shard says that numbers are taken, so that no later owner gives one to another run.
 *
 * Not here: which attempts there are (queue.ts). A mark is a value under a key of its own, and says all by its number.
 */
import type { Attempt } from '../ids.ts'
import { type Batch, pack } from './batch.ts'
import { attemptBase } from './messages.ts'
import { isPermit } from './permits.ts'

const isMark = (index: number): boolean => index > attemptBase && !isPermit(index)

export class Marks {
  #committed: Attempt = 1
  #proposed: Attempt = 1

  /** The highest attempt that is marked. */
  get highest(): Attempt {
    return this.#committed
  }

  has(attempt: Attempt): boolean {
    return attempt <= this.#committed
  }

  /** What is to be proposed, unless it was. */
  upTo(attempt: Attempt): Batch | undefined {
    if (attempt <= this.#proposed) return undefined
    this.#proposed = attempt
    return pack('', [attemptBase + attempt], [new Uint8Array(0)])
  }

  /** Keys of the register that an owner before had proposed. */
  found(indexes: Iterable<number>): void {
    for (const index of indexes) this.committed(index)
    this.#proposed = this.#committed
  }

  committed(index: number): void {
    if (isMark(index)) this.#committed = Math.max(this.#committed, index - attemptBase)
  }
}
