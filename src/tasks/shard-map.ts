/**
 * Something for each of many shards, found by their jobs, too.
 *
 * Not here: shards that are kept (holdings.ts). A node with 100,000 of them that went through all for each job that it is told
 * to forget would hear of nothing else meanwhile.
 */
import { isJobId, type ShardKey, shardName } from '../ids.ts'
import { JobIndex } from './job-index.ts'
import { covers, type Forgettable } from './messages.ts'

export class ShardMap<V> extends Map<ShardKey, V> {
  readonly #jobs = new JobIndex()

  override set(key: ShardKey, value: V): this {
    if (!this.has(key)) this.#jobs.add(key)
    return super.set(key, value)
  }

  override delete(key: ShardKey): boolean {
    if (!super.delete(key)) return false
    this.#jobs.delete(key)
    return true
  }

  override clear(): void {
    super.clear()
    this.#jobs.clear()
  }

  /** Those that are forgotten with this. */
  covered(name: Forgettable): ShardKey[] {
    const keys = this.#jobs.of(isJobId(name) ? name : shardName(name).job)
    return [...keys].filter((key) => covers(name, key))
  }
}
