/**
 * Which keeper of a shard to turn to, for those who only know the list.
 *
 * Not here: who owns (succession.ts knows, and hints). The trail starts at the first keeper and moves on when that one is
 * down or says that it is not the owner.
 * Like asking for a colleague at an office door: one is sent on, and remembers where one was sent.
 */
import type { Ballot, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type KeeperList, ownerBy } from './keepers.ts'

type Hint = KeeperList & { readonly ballot: Ballot }

/** Between two turns by hints of the same ballot. */
const turnBackMs = 100

export class Trail {
  #keepers: readonly PeerId[]
  #list: number
  #rank = 0
  #ballot: Ballot = -1
  #turnedAt: Millis = Number.NEGATIVE_INFINITY
  /** Keepers that said to have none of it. */
  readonly #lacking = new Set<PeerId>()
  /** Since when all of them have. */
  #orphanedAt: Millis | undefined

  constructor(keepers: readonly PeerId[], list = 0) {
    this.#keepers = keepers
    this.#list = list
  }

  /** Of the newest list that was heard of. */
  get keepers(): readonly PeerId[] {
    return this.#keepers
  }

  /** The keeper to ask now. */
  get owner(): PeerId {
    return this.#keepers[this.#rank] as PeerId
  }

  /**
   * Turns to where the hint points. True if that is news, so that asking again at once makes sense: a newer list, a higher
   * ballot, or the way back to the owner of the last one, but that only now and then, or two nodes could send us to each
   * other for ever.
   */
  hint(hint: Hint, from: PeerId, now: Millis): boolean {
    // Who keeps it and knows an owner has it.
    if (this.#keepers.includes(from)) this.#has(from)
    const owner = ownerBy(hint, hint.ballot)
    if (owner !== undefined && this.#isNews(hint, owner, now)) {
      if (hint.list > this.#list) this.#has(owner)
      this.#list = hint.list
      this.#keepers = hint.keepers
      this.#rank = hint.keepers.indexOf(owner)
      this.#ballot = hint.ballot
      this.#turnedAt = now
      return true
    }
    // Who is asked, and knows only what is older than that which led there, would say it for ever.
    if (from === this.owner && owner !== from) this.#rank = (this.#rank + 1) % this.#keepers.length
    return false
  }

  #isNews({ list, ballot }: Hint, owner: PeerId, now: Millis): boolean {
    if (list !== this.#list) return list > this.#list
    const isBack = owner !== this.owner && now - this.#turnedAt >= turnBackMs
    return ballot > this.#ballot || (ballot === this.#ballot && isBack)
  }

  /**
   * This keeper has none of the shard. True if by now every one has said so: then others may know who has it, or that it was
   * released while these were away.
   */
  disowned(peer: PeerId, now: Millis): boolean {
    this.#lacking.add(peer)
    if (!this.#keepers.every((keeper) => this.#lacking.has(keeper))) return false
    this.#lacking.clear()
    this.#orphanedAt ??= now
    return true
  }

  /** Each that is there has said so: the others may have it when they are back. */
  isLackedByAll(isUp: (peer: PeerId) => boolean): boolean {
    return (
      this.#lacking.size > 0 && this.#keepers.every((keeper) => this.#lacking.has(keeper) || !isUp(keeper))
    )
  }

  /** How long ago every keeper had said so, if since then none of them said otherwise. */
  orphanedFor(now: Millis): Millis {
    return this.#orphanedAt === undefined ? 0 : now - this.#orphanedAt
  }

  #has(peer: PeerId): void {
    this.#lacking.delete(peer)
    this.#orphanedAt = undefined
  }

  /** This keeper acted as the owner. */
  met(peer: PeerId): void {
    this.#has(peer)
    const rank = this.#keepers.indexOf(peer)
    if (rank >= 0) this.#rank = rank
  }

  /** Steps to the next keeper that is up; stays if none is. True if it moved. */
  next(isUp: (peer: PeerId) => boolean): boolean {
    for (let step = 1; step < this.#keepers.length; step++) {
      const rank = (this.#rank + step) % this.#keepers.length
      if (!isUp(this.#keepers[rank] as PeerId)) continue
      this.#rank = rank
      return true
    }
    return false
  }
}
