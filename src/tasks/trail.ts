/**
 * Which keeper of a shard to turn to, for those who only know the list.
 *
 * Not here: who owns (succession.ts knows, and hints). The trail starts at the first keeper and moves on when that one is
 * down or says that it is not the owner.
 * Like asking for a colleague at an office door: one is sent on, and remembers where one was sent.
 */
import { type Ballot, type PeerId, rankOf } from '../ids.ts'

export class Trail {
  readonly keepers: readonly PeerId[]
  #rank = 0
  #ballot: Ballot = -1

  constructor(keepers: readonly PeerId[]) {
    this.keepers = keepers
  }

  /** The keeper to ask now. */
  get owner(): PeerId {
    return this.keepers[this.#rank] as PeerId
  }

  /** True if the hint leads somewhere new. Older hints than the last one do not. */
  hint(ballot: Ballot): boolean {
    const rank = rankOf(ballot)
    if (ballot < this.#ballot || rank >= this.keepers.length) return false
    this.#ballot = ballot
    const isNew = rank !== this.#rank
    this.#rank = rank
    return isNew
  }

  /** Steps to the next keeper that is up; stays if none is. True if it moved. */
  next(isUp: (peer: PeerId) => boolean): boolean {
    for (let step = 1; step < this.keepers.length; step++) {
      const rank = (this.#rank + step) % this.keepers.length
      if (!isUp(this.keepers[rank] as PeerId)) continue
      this.#rank = rank
      return true
    }
    return false
  }
}
