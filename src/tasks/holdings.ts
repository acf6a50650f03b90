/**
 * What a keeper has, as it is read: by shard, and by job.
 *
 * Not here: how it comes to be, and what is answered to proposers (keeper.ts); how it lies (shelf.ts).
 * There may be a million shards. Who looks at many asks for no more than `brief`, and goes on with `eachKey` later.
 */
import { type Ballot, type Digest, type JobId, type ShardKey, shardName } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Accepted } from './accepted.ts'
import { JobIndex } from './job-index.ts'
import { type Acceptor, isWhole, type Kept, outcomesOf, printOf } from './kept.ts'
import type { ShardRecord } from './messages.ts'
import { type Brief, isPacked, type Packed, Shelf } from './shelf.ts'
import { Uptime } from './uptime.ts'

export class Holdings {
  protected readonly shards: Shelf
  readonly #jobs = new JobIndex()
  readonly uptime = new Uptime()

  constructor(openMax?: number) {
    this.shards = new Shelf(openMax)
  }

  /** With the newest list that this node is in. */
  record(key: ShardKey): ShardRecord | undefined {
    return this.shards.read(key)?.record
  }

  /** Of its record, for who looks at many. */
  brief(key: ShardKey): Brief | undefined {
    const entry = this.shards.peek(key)
    if (entry === undefined || isPacked(entry)) return entry
    const { list, keepers, copies, header } = entry.record
    const { retentionMs, submittedAt, code } = header
    return { list, keepers, copies, retentionMs, submittedAt, code }
  }

  /** The highest ballot promised in any list. */
  promised(key: ShardKey): Ballot {
    const entry = this.shards.peek(key)
    if (entry === undefined) return 0
    return isPacked(entry) ? entry.promised : Math.max(0, ...entry.acceptors.map(({ promised }) => promised))
  }

  /** No list of this shard before that one counts. */
  inForce(key: ShardKey): number {
    const entry = this.shards.peek(key)
    return (entry === undefined || isPacked(entry) ? entry?.list : entry.inForce?.list) ?? 0
  }

  isSettled(key: ShardKey): boolean {
    return this.#settled(key) !== undefined
  }

  /** The ballot at which all that was committed of a settled shard is at each of its keepers. */
  settledBy(key: ShardKey): Ballot {
    return this.#settled(key)?.settledBy ?? 0
  }

  /** Of a settled shard: how long this node has run since then. */
  settledFor(key: ShardKey): Millis {
    const settled = this.#settled(key)
    return settled === undefined ? 0 : this.uptime.ms - settled.settledAt
  }

  /** Of a settled shard: differs from that of another keeper if the list or any outcome does. */
  print(key: ShardKey): number {
    const entry = this.shards.peek(key)
    if (entry === undefined) return 0
    return isPacked(entry) ? entry.print : printOf(entry.record, entry.acceptors)
  }

  /** Some shard is of this code. O(1). */
  needs(code: Digest): boolean {
    return this.shards.needs(code)
  }

  keys(): ShardKey[] {
    return [...this.shards.keys()]
  }

  /** May be gone on with later: what is kept since then comes at the end. */
  eachKey(): IterableIterator<ShardKey> {
    return this.shards.keys()
  }

  /** Shards kept. */
  get size(): number {
    return this.shards.size
  }

  /** Jobs of which anything is kept here; as `eachKey`. */
  eachJob(): Iterator<JobId> {
    return this.#jobs.jobs()
  }

  shardsOf(job: JobId): ReadonlySet<ShardKey> {
    return this.#jobs.of(job)
  }

  /** The newest epoch of a job's shard 0 that is kept here. */
  rootKey(job: JobId): ShardKey | undefined {
    const keys = [...this.shardsOf(job)].filter((key) => shardName(key).index === 0)
    keys.sort((a, b) => shardName(b).epoch - shardName(a).epoch)
    return keys[0]
  }

  root(job: JobId): ShardRecord | undefined {
    const key = this.rootKey(job)
    return key === undefined ? undefined : this.record(key)
  }

  /** The accepted outcome of each task with the highest ballot. */
  outcomes(key: ShardKey): Map<number, Accepted> {
    return outcomesOf(this.shards.read(key)?.acceptors ?? [])
  }

  /** True if every task has an outcome here, accepted in this list at this ballot or a later one. */
  isWhole(key: ShardKey, list: number, by: Ballot): boolean {
    const kept = this.shards.read(key)
    const acceptor = kept?.acceptors.find((one) => one.list === list)
    return kept !== undefined && acceptor !== undefined && isWhole(kept, acceptor, by)
  }

  protected put(key: ShardKey, kept: Kept): void {
    this.shards.set(key, kept)
    this.#jobs.add(key)
  }

  protected drop(key: ShardKey): void {
    this.shards.delete(key)
    this.#jobs.delete(key)
  }

  #settled(key: ShardKey): Packed | Acceptor | undefined {
    const entry = this.shards.peek(key)
    if (entry === undefined || isPacked(entry)) return entry
    const last = entry.acceptors.at(-1)
    return last?.isSettled ? last : undefined
  }
}
