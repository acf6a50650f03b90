/**
 * Nodes that somebody could not reach, and how long they have to say that they live.
 *
 * Not here: who doubts whom (swim.ts). One voice alone may have a bad line, so it is given time; several that do not know of
 * each other's reasons are soon believed (Lifeguard; Dadgar, Phillips and Currey, 2018).
 */
import type { PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { type Doubt, isLater, type Life } from './messages.ts'

/** Time to refute the doubt of one node, and that of `doubtersMax` or more. */
export const refuteWithinMs = 5_000
export const refuteWithinLeastMs = 2_000
/** Doubters of one node that count; the doubts of further ones are not passed on. */
export const doubtersMax = 3

/** What is left of the longest time when so many doubt. */
export function timeToRefute(doubters: number): Millis {
  const share = Math.log(Math.min(doubters, doubtersMax)) / Math.log(doubtersMax)
  return refuteWithinMs - (refuteWithinMs - refuteWithinLeastMs) * share
}

interface Open extends Life {
  readonly by: Set<PeerId>
  since: Millis
}

export class Doubts {
  readonly #open = new Map<PeerId, Open>()

  /** True if that is new here, and worth telling others. */
  add({ peer, boot, incarnation, by }: Doubt, now: Millis): boolean {
    const old = this.#open.get(peer)
    const life = { boot, incarnation }
    if (old === undefined || isLater(life, old)) {
      this.#open.set(peer, { ...life, by: new Set([by]), since: now })
      return true
    }
    if (isLater(old, life) || old.by.has(by) || old.by.size >= doubtersMax) return false
    old.by.add(by)
    return true
  }

  /** What is doubted of a node, as it should hear it. */
  of(peer: PeerId): Doubt[] {
    const open = this.#open.get(peer)
    if (open === undefined) return []
    const { boot, incarnation } = open
    return [...open.by].map((by) => ({ peer, boot, incarnation, by }))
  }

  has(peer: PeerId): boolean {
    return this.#open.has(peer)
  }

  forget(peer: PeerId): void {
    this.#open.delete(peer)
  }

  /** Nobody could be heard meanwhile: all terms begin anew. */
  restart(now: Millis): void {
    for (const open of this.#open.values()) open.since = now
  }

  /** Those whose time is over, with `grace` more for each. */
  due(
    now: Millis,
    grace: (peer: PeerId) => Millis
  ): { peer: PeerId; since: Millis; by: ReadonlySet<PeerId> }[] {
    const due = [...this.#open].filter(([peer, open]) => now >= endOf(open) + grace(peer))
    return due.map(([peer, { since, by }]) => ({ peer, since, by }))
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined
    for (const open of this.#open.values()) at = earlier(at, endOf(open))
    return at
  }
}

const endOf = ({ since, by }: Open): Millis => since + timeToRefute(by.size)
