/**
 * What the disks of all nodes hold for certain: told of every record at the instant of its sync.
 *
 * Not here: the disks (disk.ts). It reads the records themselves and uses nothing of src that decides, so that it does not
 * share its mistakes.
 * Whatever is acknowledged must be here already: then everybody may crash in that very instant.
 */
import { type JobId, type PeerId, type ShardKey, shardName } from '../../src/ids.ts'
import type { DiskRecord } from '../../src/node/effects.ts'
import { type Batch, valueAt } from '../../src/tasks/batch.ts'
import { permitsIn } from '../../src/tasks/permits.ts'

/** One value of a task, and whose disks have it. */
interface Copy {
  readonly value: Uint8Array
  readonly peers: Set<PeerId>
}

export class Durable {
  /** Keepers that have synced the shard, ever: what is destroyed later was durable when it counted. */
  readonly #shards = new Map<ShardKey, Set<PeerId>>()
  /** Smallest list that the shard was stored with. */
  readonly #keepers = new Map<ShardKey, number>()
  /** By shard and index. A task has more than one value only if an owner was lost. */
  readonly #values = new Map<ShardKey, Map<number, Copy[]>>()
  /** Of each shard, outcomes that are on as many disks as it takes. */
  readonly #decided = new Map<ShardKey, Map<number, Uint8Array[]>>()
  readonly #lists = new Map<string, readonly PeerId[]>()
  readonly #forgotten = new Set<string>()
  /** What any disk has forgotten: jobs, and shards. */
  readonly #gone = new Set<string>()
  readonly #first = new Map<ShardKey, number>()
  readonly #counts = new Map<ShardKey, number>()
  readonly #permits = new Set<string>()
  readonly #pairs = new Set<JobId>()

  synced(peer: PeerId, message: DiskRecord): void {
    if (message.kind === 'store') {
      const { key, keepers } = message.record
      add(this.#shards, key, peer)
      this.#first.set(key, message.record.first)
      this.#counts.set(key, message.record.count)
      this.#keepers.set(key, Math.min(this.#keepers.get(key) ?? 99, keepers.length))
      if (keepers.length === 2) this.#pairs.add(shardName(key).job)
      this.#lists.set(keepers.join(), keepers)
    } else if (message.kind === 'accept') {
      const { key, outcomes } = message
      const first = this.#first.get(key) ?? 0
      for (const { index } of permitsIn([outcomes]))
        this.#permits.add(`${shardName(key).job}:${first + index}`)
      for (let at = 0; at < outcomes.indexes.length; at++) {
        const { value, peers } = this.#copy(key, outcomes, at)
        peers.add(peer)
        if (peers.size <= this.keepers(key) / 2) continue
        const index = outcomes.indexes[at] as number
        const decided = this.#decided.get(key) ?? new Map<number, Uint8Array[]>()
        this.#decided.set(key, decided)
        const values = decided.get(index) ?? []
        if (!values.includes(value)) decided.set(index, [...values, value])
      }
    } else if (message.kind === 'forget') {
      this.#forgotten.add(`${peer} ${message.name}`)
      this.#gone.add(message.name)
    }
  }

  /** True if some disk says that nothing of this shard counts: by its own name, its job's, or a later one's. */
  isForgotten(key: ShardKey): boolean {
    const { job, index, epoch } = shardName(key)
    if (this.#gone.has(key) || this.#gone.has(job)) return true
    const isLater = (name: string): boolean => shardName(name as ShardKey).epoch > epoch
    return index === 0 && [...this.#gone].some((name) => name.startsWith(`${job}/0/`) && isLater(name))
  }

  /** True if this node's disk says that nothing of the job is to be done again. */
  hasForgotten(peer: PeerId, job: JobId): boolean {
    return this.#forgotten.has(`${peer} ${job}`)
  }

  /** True if some keeper has it on disk that this task may begin. */
  hasPermit(job: JobId, index: number): boolean {
    return this.#permits.has(`${job}:${index}`)
  }

  /** Keepers of the smallest list that this shard ever had. */
  keepers(key: ShardKey): number {
    return this.#keepers.get(key) ?? 0
  }

  /** True if a shard of this job had two keepers: then a split may commit two outcomes (DESIGN 3). */
  hasPair(job: JobId): boolean {
    return this.#pairs.has(job)
  }

  /** A next list is being proposed: from now on it may come to count. */
  proposed(keepers: readonly PeerId[]): void {
    this.#lists.set(keepers.join(), keepers)
  }

  /** All keeper lists that any disk has seen. */
  lists(): Iterable<readonly PeerId[]> {
    return this.#lists.values()
  }

  /** True if none of its tasks is without an outcome for good. */
  isWhole(key: ShardKey): boolean {
    const decided = this.#decided.get(key)
    for (let index = 0; index < (this.#counts.get(key) ?? 0); index++) if (!decided?.has(index)) return false
    return true
  }

  /** What is on as many disks as it takes; more than one if an owner was lost before it knew of one. */
  outcomes(key: ShardKey, index: number): readonly Uint8Array[] {
    return this.#decided.get(key)?.get(index) ?? []
  }

  /** Every epoch of the shard that begins with this task. */
  keysOf(job: JobId, first: number): ShardKey[] {
    return [...this.#first].flatMap(([key, one]) =>
      one === first && shardName(key).job === job ? [key] : []
    )
  }

  copies(key: ShardKey): number {
    return this.#shards.get(key)?.size ?? 0
  }

  /** Keepers that have this very value. */
  holders(key: ShardKey, outcomes: Batch, at: number): number {
    return this.#find(key, outcomes, at)?.peers.size ?? 0
  }

  #find(key: ShardKey, outcomes: Batch, at: number): Copy | undefined {
    const copies = this.#values.get(key)?.get(outcomes.indexes[at] as number)
    return copies?.find(({ value }) => isSame(value, outcomes, at))
  }

  #copy(key: ShardKey, outcomes: Batch, at: number): Copy {
    const found = this.#find(key, outcomes, at)
    if (found !== undefined) return found
    const copy = { value: valueAt(outcomes, at), peers: new Set<PeerId>() }
    const ofShard = this.#values.get(key) ?? new Map<number, Copy[]>()
    this.#values.set(key, ofShard)
    const index = outcomes.indexes[at] as number
    ofShard.set(index, [...(ofShard.get(index) ?? []), copy])
    return copy
  }
}

function isSame(value: Uint8Array, { ends, body }: Batch, at: number): boolean {
  const from = at === 0 ? 0 : (ends[at - 1] as number)
  if (value.length !== (ends[at] as number) - from) return false
  for (let i = 0; i < value.length; i++) if (value[i] !== body[from + i]) return false
  return true
}

/** Bytes as a text, to compare and to name by. */
export const text = ({ buffer, byteOffset, byteLength }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('latin1')

function add<K>(map: Map<K, Set<PeerId>>, key: K, peer: PeerId): void {
  const all = map.get(key)
  if (all === undefined) map.set(key, new Set([peer]))
  else all.add(peer)
}
