/**
 * What was forgotten here, so that a node which was away does not bring it back.
 *
 * Not here: when something is forgotten (release.ts), and what that removes (keeper.ts).
 * A name is a job, or one shard of it; of a job's first shard, the epochs before are forgotten with it. There are at most `tombstonesMax`; a further one replaces the oldest, whose job
 * would run again if one of its keepers came back from an even longer absence.
 */
import { isJobId, type JobId, type ShardKey, type ShardName, shardName } from '../ids.ts'
import type { Forgettable } from './messages.ts'

export const tombstonesMax = 200_000

export class Tombstones {
  readonly #names = new Set<Forgettable>()
  /** Of first shards, the newest that was forgotten. */
  readonly #first = new Map<JobId, number>()

  get size(): number {
    return this.#names.size
  }

  has(key: ShardKey): boolean {
    const { job, index, epoch } = shardName(key)
    if (this.#names.has(key) || this.#names.has(job)) return true
    return index === 0 && epoch <= (this.#first.get(job) ?? -1)
  }

  isForgotten(name: Forgettable): boolean {
    return this.#names.has(name)
  }

  /** Returns the name that had to go for it, if one had to. */
  add(name: Forgettable): Forgettable | undefined {
    this.#names.delete(name)
    this.#names.add(name)
    if (!isJobId(name)) this.#forgetFirst(shardName(name))
    if (this.#names.size <= tombstonesMax) return undefined
    const [oldest] = this.#names
    if (oldest === undefined) return undefined
    this.#names.delete(oldest)
    if (isJobId(oldest)) return oldest
    const { job, index, epoch } = shardName(oldest)
    if (index === 0 && this.#first.get(job) === epoch) this.#first.delete(job)
    return oldest
  }

  #forgetFirst({ job, index, epoch }: ShardName): void {
    if (index === 0) this.#first.set(job, Math.max(epoch, this.#first.get(job) ?? 0))
  }
}
