/**
 * A batch of values on its way to all keepers of a shard: who has accepted it, and whether that is enough.
 *
 * Not here: what is proposed when, and under which ballot (register.ts).
 */
import type { Millis } from '../machine.ts'
import type { Batch } from './batch.ts'
import { quorumOf } from './keepers.ts'
import { markIndex, startIndex } from './messages.ts'
import { isPermit } from './permits.ts'

export class Proposal {
  readonly serial: number
  readonly outcomes: Batch
  readonly #keepers: number
  readonly #quorum: number
  /** Bit `rank` is set when that keeper accepted. */
  #acks = 0
  sentAt: Millis

  /** `isFresh`: nobody proposed it before, as far as is known. */
  constructor(serial: number, outcomes: Batch, keepers: number, isFresh: boolean, now: Millis) {
    this.serial = serial
    this.outcomes = outcomes
    this.#keepers = keepers
    const [first = 0] = outcomes.indexes
    // What may run once begins only when both of a pair know of it: one alone could be lost, or stand on one side of a split.
    const isCareful = isFresh && (first === startIndex || isPermit(first))
    // And the list before lets go of a shard by the word that the marker is there.
    this.#quorum = keepers === 2 && (isCareful || first === markIndex) ? 2 : quorumOf(keepers)
    this.sentAt = now
  }

  /** True if this answer is the one that committed it. */
  accept(rank: number): boolean {
    const before = this.count
    this.#acks |= 1 << rank
    return before < this.#quorum && this.count >= this.#quorum
  }

  hasAccepted(rank: number): boolean {
    return (this.#acks & (1 << rank)) !== 0
  }

  get isEverywhere(): boolean {
    return this.count === this.#keepers
  }

  /** Keepers that accepted. */
  get count(): number {
    let count = 0
    for (let rest = this.#acks; rest !== 0; rest &= rest - 1) count++
    return count
  }
}
