/**
 * What keepers of one list answered to a ballot, and what is known by all of it.
 *
 * Not here: who is asked, and what follows from it (register.ts).
 */
import type { PeerId } from '../ids.ts'
import { type Accepted, newest } from './accepted.ts'
import { quorumOf } from './keepers.ts'
import type { AcceptedBatch } from './messages.ts'

export class Promises {
  readonly #accepted = new Map<PeerId, readonly AcceptedBatch[]>()

  add(from: PeerId, accepted: readonly AcceptedBatch[]): void {
    this.#accepted.set(from, accepted)
  }

  has(peer: PeerId): boolean {
    return this.#accepted.has(peer)
  }

  clear(): void {
    this.#accepted.clear()
  }

  /** Enough to go on with, if the others do not answer. */
  isMajority(keepers: readonly PeerId[]): boolean {
    return this.#accepted.size >= quorumOf(keepers.length)
  }

  /** Enough not to wait. Of a pair, one is a majority, but both know more. */
  isEnough(keepers: readonly PeerId[]): boolean {
    return this.#accepted.size >= Math.min(keepers.length, Math.max(2, quorumOf(keepers.length)))
  }

  /** The newest value of each key. */
  found(): Map<number, Accepted> {
    return newest([...this.#accepted.values()].flat().toSorted((a, b) => a.ballot - b.ballot))
  }
}
