/**
 * Where data of tasks lies, as far as this owner knows: who said so, and who was given tasks that need it.
 *
 * Not here: what a task's place follows from that (locality.ts), and who is to keep data (data/guard.ts).
 * A belief that is wrong costs a transfer, no more.
 */
import type { DataId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'

export interface HoldersView {
  /** Nodes that are known to have it. */
  readonly holders: (id: DataId) => ReadonlySet<PeerId> | undefined
}

/** Data of which it is remembered who fetched it; the oldest is forgotten. */
const broughtMax = 4_096
/** A node that fetched data for a task is believed to have it for so long: less than it stays there unused. */
const believedMs = 300_000

export class Nearby {
  readonly #view: HoldersView
  readonly #brought = new Map<DataId, Map<PeerId, Millis>>()

  constructor(view: HoldersView) {
    this.#view = view
  }

  isAt(id: DataId, peer: PeerId, now: Millis): boolean {
    if (this.#view.holders(id)?.has(peer)) return true
    const at = this.#brought.get(id)?.get(peer)
    return at !== undefined && now - at < believedMs
  }

  /** Who said to have it. */
  holders(id: DataId): Iterable<PeerId> {
    return this.#view.holders(id) ?? []
  }

  /** A task that needs these was granted to `peer`, which fetches what it does not have. */
  brings(peer: PeerId, ids: readonly DataId[], now: Millis): void {
    for (const id of ids) {
      const peers = this.#brought.get(id) ?? new Map<PeerId, Millis>()
      this.#brought.delete(id)
      this.#brought.set(id, peers.set(peer, now))
      if (this.#brought.size > broughtMax) this.#brought.delete(this.#brought.keys().next().value as DataId)
    }
  }

  /** It gave the task back unbegun, and so may not have fetched them. */
  bringsNot(peer: PeerId, ids: readonly DataId[]): void {
    for (const id of ids) this.#brought.get(id)?.delete(peer)
  }

  forget(peer: PeerId): void {
    for (const peers of this.#brought.values()) peers.delete(peer)
  }
}
