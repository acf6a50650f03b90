/**
 * What tasks of a shard wait for, as it is written into the shard: which tasks, and what must have become of them.
 *
 * Not here: who watches that (dependencies.ts), and what follows when it is known (dependents.ts).
 * A need names tasks by their place: a shard of `shards` by its number, and an index in it. The number after the last is
 * the own shard, and there only tasks before it can be meant: what is written like this has no cycles.
 */

/** Tasks that those of one shard wait for, counted each time they are named; a client that would need more is refused. */
export const needsMax = 65_536
/** Other shards that those of one shard wait for. */
export const needShardsMax = 4_096
/** Numbers in all needs of a shard: three before the two for each task. */
export const needWordsMax = 5 * needsMax

/**
 * `value`: the values of these tasks are arguments, in order, and all must have succeeded. `after`: it may begin then.
 * `follow`: the same, and on the engine where they ran.
 */
export const NEED = { value: 0, after: 1, follow: 2 } as const
export type NeedKind = keyof typeof NEED
const kinds = Object.keys(NEED) as NeedKind[]

/** Met if all of the tasks ended in one of these ways, or any of them did. */
export interface Terms {
  readonly all: boolean
  readonly success: boolean
  readonly failure: boolean
}

export interface Need extends Terms {
  /** Index of the task in its shard. */
  readonly task: number
  readonly kind: NeedKind
  /** Number of the shard, and index in it. */
  readonly of: readonly (readonly [shard: number, index: number])[]
}

const KIND_BITS = 3
const [ALL, SUCCESS, FAILURE] = [4, 8, 16]

export function encodeNeeds(needs: readonly Need[]): Uint32Array {
  const words: number[] = []
  for (const { task, kind, all, success, failure, of } of needs) {
    const terms = (all ? ALL : 0) | (success ? SUCCESS : 0) | (failure ? FAILURE : 0)
    words.push(task, NEED[kind] | terms, of.length, ...of.flat())
  }
  return Uint32Array.from(words)
}

/** `undefined` if these are no needs of a shard of `count` tasks, with `counts` tasks in the shards that it names. */
export function decodeNeeds(
  words: Uint32Array,
  count: number,
  counts: readonly number[]
): Need[] | undefined {
  const needs: Need[] = []
  let left = needsMax
  for (let at = 0; at < words.length; ) {
    const [task = 0, how = 0, length = 0] = words.subarray(at, at + 3)
    at += 3
    const kind = kinds[how & KIND_BITS]
    left -= length
    if (task >= count || kind === undefined || length === 0 || left < 0 || at + 2 * length > words.length)
      return undefined
    const of: [number, number][] = []
    for (let end = at + 2 * length; at < end; at += 2) {
      const [shard = 0, index = 0] = words.subarray(at, at + 2)
      if (shard > counts.length || index >= (counts[shard] ?? task)) return undefined
      of.push([shard, index])
    }
    const [all, success, failure] = [ALL, SUCCESS, FAILURE].map((bit) => (how & bit) !== 0)
    needs.push({ task, kind, all: all === true, success: success === true, failure: failure === true, of })
  }
  return needs
}
