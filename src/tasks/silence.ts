/**
 * How long each peer has said nothing about something.
 *
 * Not here: whether it is up (routing/membership.ts). A peer can be up and yet have lost what it was sent.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'

/** Silence of a holder after which the owner asks whether it still has its grants. */
const askAfterMs = 1_000

export class Silence {
  readonly #heardAt = new Map<PeerId, Millis>()

  heard(peer: PeerId, now: Millis): void {
    this.#heardAt.set(peer, now)
  }

  /** Those of them that are to be asked now; each counts as heard, so that it is not asked again at once. */
  silent(peers: readonly PeerId[], now: Millis): PeerId[] {
    const silent = peers.filter((peer) => now - (this.#heardAt.get(peer) ?? 0) >= askAfterMs)
    for (const peer of silent) this.heard(peer, now)
    return silent
  }
}
