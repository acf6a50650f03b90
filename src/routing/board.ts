/**
 * What a node has heard about who has work waiting.
 *
 * Not here: claims and grants, which are exact (tasks/owner.ts, tasks/runner.ts). A notice may be late or wrong; it only
 * decides whom to ask first, so the worst it costs is a question too many.
 * Think of the pinboard in a common room: notes go stale, and nobody is bound by them.
 */
import type { PeerId } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'

/** A notice older than this says nothing. */
export const noticeMaxMs = 3_000
/** Owners noted; a further one replaces the oldest notice. */
export const noticesMax = 1_024
/** Below this many peers a claim waits at every one; above, at some of those on the board. */
const smallMesh = 16
const claimsAtMost = 8

export class Board {
  readonly #notices = new Map<PeerId, { waiting: number; at: Millis }>()

  note(owner: PeerId, waiting: number, now: Millis): void {
    this.#notices.delete(owner)
    if (waiting === 0) return
    if (this.#notices.size >= noticesMax) this.#notices.delete([...this.#notices.keys()][0] as PeerId)
    this.#notices.set(owner, { waiting, at: now })
  }

  forget(owner: PeerId): void {
    this.#notices.delete(owner)
  }

  /** Owners that probably have work waiting. */
  owners(now: Millis): PeerId[] {
    return [...this.#notices].filter(([, { at }]) => now - at <= noticeMaxMs).map(([owner]) => owner)
  }

  /** Peers to claim work from, of those that are up. */
  whomToAsk(peers: readonly PeerId[], random: Random, now: Millis): readonly PeerId[] {
    if (peers.length < smallMesh) return peers
    const up = new Set(peers)
    const known = this.owners(now).filter((peer) => up.has(peer))
    const some = known.length > 0 ? known : peers
    const from = random.below(some.length)
    return [...some.slice(from), ...some.slice(0, from)].slice(0, claimsAtMost)
  }

  check(): void {
    assert(this.#notices.size <= noticesMax, `${this.#notices.size} notices on the board`)
  }
}
