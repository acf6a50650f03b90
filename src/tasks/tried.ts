/**
 * Where tasks of a shard ended badly: they failed there, were lost with the node, or had no room on its disk.
 *
 * Not here: what follows from it (round.ts: a node where a task was not tried comes first), and the node that it avoids by
 * itself (queue.ts). An owner that takes over begins with nothing: it is a preference, and forgetting it costs little.
 */
import type { PeerId } from '../ids.ts'

/** Nodes that are remembered of a task; of more, the last ones. */
export const triedMax = 8

export class Tried {
  readonly #peers = new Map<number, readonly PeerId[]>()
  readonly #moves = new Map<number, number>()

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

  /** A run of it went elsewhere, as its result could not be kept. The number of such runs. */
  move(task: number): number {
    const moves = (this.#moves.get(task) ?? 0) + 1
    this.#moves.set(task, moves)
    return moves
  }

  forget(task: number): void {
    this.#peers.delete(task)
    this.#moves.delete(task)
  }
}
