/**
 * Something for each of many shards, found by their jobs, too.
 *
 * Not here: shards that are kept (holdings.ts). A node with 100,000 of them that went through all for each job that it is told
 * to forget would hear of nothing else meanwhile.
 */
import { isJobId, type JobId, type ShardKey, shardName } from '../ids.ts'
import { covers, type Forgettable } from './messages.ts'

export class ShardMap<V> extends Map<ShardKey, V> {
  /** Most jobs have one. */
  readonly #jobs = new Map<JobId, ShardKey | Set<ShardKey>>()

  override set(key: ShardKey, value: V): this {
    if (!this.has(key)) this.#add(key)
    return super.set(key, value)
  }

  override delete(key: ShardKey): boolean {
    if (!super.delete(key)) return false
    const { job } = shardName(key)
    const known = this.#jobs.get(job)
    if (typeof known !== 'string') known?.delete(key)
    if (typeof known === 'string' || known?.size === 0) this.#jobs.delete(job)
    return true
  }

  override clear(): void {
    super.clear()
    this.#jobs.clear()
  }

  /** Those that are forgotten with this. */
  covered(name: Forgettable): ShardKey[] {
    const found = this.#jobs.get(isJobId(name) ? name : shardName(name).job) ?? []
    const keys = typeof found === 'string' ? [found] : [...found]
    return keys.filter((key) => covers(name, key))
  }

  #add(key: ShardKey): void {
    const { job } = shardName(key)
    const known = this.#jobs.get(job)
    if (known === undefined) this.#jobs.set(job, key)
    else if (typeof known === 'string') this.#jobs.set(job, new Set([known, key]))
    else known.add(key)
  }
}
