/**
 * A batch of values on its way to all keepers of a shard: who has accepted it, and whether that is enough.
 *
 * Not here: what is proposed when, and under which ballot (register.ts).
 */
import type { Millis } from '../machine.ts'
import type { Batch } from './batch.ts'
import { quorumOf } from './keepers.ts'
import { startIndex } from './messages.ts'
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
    const isCareful = isFresh && keepers === 2 && (first === startIndex || isPermit(first))
    this.#quorum = isCareful ? 2 : quorumOf(keepers)
    this.sentAt = now
  }

  /** True if this answer is the one that committed it. */
  accept(rank: number): boolean {
    const before = this.#count
    this.#acks |= 1 << rank
    return before < this.#quorum && this.#count >= this.#quorum
  }

  hasAccepted(rank: number): boolean {
    return (this.#acks & (1 << rank)) !== 0
  }

  get isEverywhere(): boolean {
    return this.#count === this.#keepers
  }

  get #count(): number {
    let count = 0
    for (let rest = this.#acks; rest !== 0; rest &= rest - 1) count++
    return count
  }
}
