/**
 * Those who follow shards whose owner is not known, until somebody can tell them more.
 *
 * Not here: who will (owner.ts). They ask again by themselves, so what is forgotten here is only told later.
 */
import type { PeerId, ShardKey } from '../ids.ts'

export class Orphans {
  readonly #waiting = new Map<ShardKey, Map<PeerId, Uint32Array>>()

  add(key: ShardKey, peer: PeerId, have: Uint32Array): void {
    this.#waiting.set(key, (this.#waiting.get(key) ?? new Map()).set(peer, have))
  }

  /** Who waited for news of this shard, with what each has of it; they wait no more. */
  take(key: ShardKey): [PeerId, Uint32Array][] {
    const waiting = [...(this.#waiting.get(key) ?? [])]
    this.#waiting.delete(key)
    return waiting
  }
}
