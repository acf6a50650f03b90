/**
 * Which shards there are of each job.
 *
 * Not here: what is known of them (shard-map.ts, holdings.ts). Most jobs have one shard, and a node may know a million jobs: a set
 * for each would take more than the names.
 */
import { type JobId, type ShardKey, shardName } from '../ids.ts'

export class JobIndex {
  readonly #jobs = new Map<JobId, ShardKey | Set<ShardKey>>()

  add(key: ShardKey): void {
    const { job } = shardName(key)
    const known = this.#jobs.get(job)
    if (known === undefined) this.#jobs.set(job, key)
    else if (typeof known !== 'string') known.add(key)
    else if (known !== key) this.#jobs.set(job, new Set([known, key]))
  }

  /** It must be there. */
  delete(key: ShardKey): void {
    const { job } = shardName(key)
    const known = this.#jobs.get(job)
    if (typeof known !== 'string') known?.delete(key)
    if (typeof known === 'string' || known?.size === 0) this.#jobs.delete(job)
  }

  clear(): void {
    this.#jobs.clear()
  }

  of(job: JobId): ReadonlySet<ShardKey> {
    const found = this.#jobs.get(job)
    return typeof found === 'string' ? new Set([found]) : (found ?? new Set())
  }

  /** May be gone on with later: what comes since then comes at the end. */
  jobs(): Iterator<JobId> {
    return this.#jobs.keys()
  }
}
