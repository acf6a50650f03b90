/**
 * Where tasks of a shard ended badly: they failed there, or were lost with the node.
 *
 * Not here: what follows from it (round.ts: a node where a task was not tried comes first), and the node that it avoids by
 * itself (queue.ts). An owner that takes over begins with nothing: it is a preference, and forgetting it costs little.
 */
import type { PeerId } from '../ids.ts'

/** Nodes that are remembered of a task; of more, the last ones. */
export const triedMax = 8

export class Tried {
  readonly #peers = new Map<number, readonly PeerId[]>()

  /** True if some task that has not ended was tried at more than one node. O(tasks tried). */
  get isWide(): boolean {
    for (const peers of this.#peers.values()) if (peers.length > 1) return true
    return false
  }

  has(task: number, peer: PeerId): boolean {
    return this.#peers.get(task)?.includes(peer) === true
  }

  add(task: number, peer: PeerId): void {
    const others = this.#peers.get(task)?.filter((one) => one !== peer) ?? []
    this.#peers.set(task, [...others, peer].slice(-triedMax))
  }

  forget(task: number): void {
    this.#peers.delete(task)
  }
}
