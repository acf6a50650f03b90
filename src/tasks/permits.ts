/**
 * What lets a task run at most once: nobody begins it before a majority of its keepers knows who may.
 *
 * Not here: proposing (register.ts), and what becomes of a task whose holder is lost (lead.ts).
 * A permit is a value of the shard's register: this attempt of this task, by this node, and never by another. A further
 * attempt gets a permit only when the holder of the one before gave the task back and had not begun it.
 */
import { fromString } from 'uint8arrays/from-string'
import { toString as toText } from 'uint8arrays/to-string'
import { type Attempt, isPeerId, type PeerId, type ShardKey } from '../ids.ts'
import { type Batch, pack, valueAt } from './batch.ts'
import { permitBase, permitsEnd, shardTasksMax } from './messages.ts'
import type { Picked } from './queue.ts'

/** Attempts of a task that may get a permit; after that it ends as TASK_UNKNOWN. */
export const permitsMax = Math.floor((permitsEnd - permitBase) / shardTasksMax)
/** Permits that a node remembers to have used; the oldest are forgotten, for what repeats a grant repeats it soon. */
const usedMax = 65_536

export interface Permit {
  readonly index: number
  readonly attempt: Attempt
  readonly holder: PeerId
}

/** Values to be proposed before these tasks are granted. */
export function permitsFor(holder: PeerId, indexes: readonly number[], attempt: Attempt): Batch {
  const value = fromString(holder)
  const keys = indexes.map((index) => permitKey(index, attempt))
  return pack('', keys, new Array(indexes.length).fill(value))
}

export const permitKey = (index: number, attempt: Attempt): number =>
  permitBase + (attempt - 1) * shardTasksMax + index

export const isPermit = (key: number): boolean => key >= permitBase && key < permitsEnd

/** `undefined` if the value at this position is no permit. */
export function permitAt(batch: Batch, at: number): Permit | undefined {
  const key = batch.indexes[at] as number
  if (!isPermit(key)) return undefined
  const holder = toText(valueAt(batch, at))
  const number = key - permitBase
  const [index, attempt] = [number % shardTasksMax, Math.floor(number / shardTasksMax) + 1]
  return isPeerId(holder) ? { index, attempt, holder } : undefined
}

export const permitsIn = (batches: Iterable<Batch>): Permit[] =>
  [...batches].flatMap((batch) => [...batch.indexes.keys()].flatMap((at) => permitAt(batch, at) ?? []))

/** The permits of these that go together: one holder, one attempt, and the same engine or any. */
export function grouped(
  permits: readonly Permit[],
  engines: ReadonlyMap<number, string>
): (Picked & { readonly holder: PeerId })[] {
  const groups = new Map<string, Picked & { readonly holder: PeerId }>()
  for (const { index, attempt, holder } of permits) {
    const engine = engines.get(index)
    const name = `${holder} ${attempt} ${engine ?? ''}`
    const group = groups.get(name) ?? { holder, attempt, engine, indexes: [] }
    group.indexes.push(index)
    groups.set(name, group)
  }
  return [...groups.values()]
}

/** At the holder: a grant that comes twice begins once. */
export class UsedPermits {
  readonly #used = new Set<string>()

  /** False if it was used before. */
  use(key: ShardKey, index: number, attempt: Attempt): boolean {
    const name = `${key} ${index} ${attempt}`
    if (this.#used.has(name)) return false
    this.#used.add(name)
    if (this.#used.size > usedMax) {
      const [oldest] = this.#used
      if (oldest !== undefined) this.#used.delete(oldest)
    }
    return true
  }
}
