/**
 * What was forgotten here, so that a node which was away does not bring it back.
 *
 * Not here: when something is forgotten (release.ts), and what that removes (keeper.ts).
 * A name is a job, or one shard of it. There are at most `tombstonesMax`; a further one replaces the oldest, whose job
 * would run again if one of its keepers came back from an even longer absence.
 */
import { type ShardKey, shardName } from '../ids.ts'
import type { Forgettable } from './messages.ts'

export const tombstonesMax = 200_000

export class Tombstones {
  readonly #names = new Set<Forgettable>()

  get size(): number {
    return this.#names.size
  }

  has(key: ShardKey): boolean {
    return this.#names.has(key) || this.#names.has(shardName(key).job)
  }

  isForgotten(name: Forgettable): boolean {
    return this.#names.has(name)
  }

  /** Returns the name that had to go for it, if one had to. */
  add(name: Forgettable): Forgettable | undefined {
    this.#names.delete(name)
    this.#names.add(name)
    if (this.#names.size <= tombstonesMax) return undefined
    const [oldest] = this.#names
    if (oldest !== undefined) this.#names.delete(oldest)
    return oldest
  }
}
