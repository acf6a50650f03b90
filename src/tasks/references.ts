/**
 * Which data the records of this keeper name: inputs of shards that are not settled, what other tasks brought for these, and
 * outcomes.
 *
 * Not here: what follows from that (data/guard.ts). A value says in its first bytes which data it needs (data/envelope.ts),
 * so nothing is written down that is not in the records anyway.
 */
import { idsIn, namesData } from '../data/envelope.ts'
import { type DataId, isJobId, type ShardKey } from '../ids.ts'
import { type Batch, OUTCOME_HEADER_BYTES, valueAt } from './batch.ts'
import type { Keeper } from './keeper.ts'
import { shardTasksMax, type TaskMessage } from './messages.ts'
import { openParcel, PARCEL } from './parcel.ts'
import { ShardMap } from './shard-map.ts'

export interface Named {
  readonly fresh: readonly DataId[]
  readonly over: readonly DataId[]
  /** What is over is so because tasks or jobs are, which need nothing any more. */
  readonly isOver: boolean
  /** Copies that there should be of what is new. */
  readonly copies: number
}

const nothing: Named = { fresh: [], over: [], isOver: false, copies: 0 }

export class References {
  readonly #keeper: Keeper
  readonly #ofShard = new ShardMap<Set<DataId>>()
  readonly #counts = new Map<DataId, number>()
  /** Shards that are not settled, by those that their tasks wait for. */
  readonly #waiting = new Map<ShardKey, Set<ShardKey>>()
  /** What these wait for, and which data came from there. */
  readonly #brought = new ShardMap<{ readonly from: readonly ShardKey[]; readonly ids: Set<DataId> }>()

  constructor(keeper: Keeper) {
    this.#keeper = keeper
  }

  /** True if any record here names it. */
  has(id: DataId): boolean {
    return this.#counts.has(id)
  }

  /** What all records name that were read back from the disk. */
  restored(): Named[] {
    return this.#keeper.keys().map((key) => {
      if (this.#isOpen(key)) this.#waits(key)
      return this.#replace(key, this.#read(key))
    })
  }

  /** After the keeper has heard it. */
  heard(message: TaskMessage): Named {
    switch (message.kind) {
      case 'store':
        if (message.record.needs.length > 0 && this.#isOpen(message.record.key))
          this.#waits(message.record.key)
        return this.#add(message.record.key, inputsIn(message.record.inputs))
      case 'awaited':
        return this.#came(message.key, outcomesIn(message.outcomes))
      case 'accept':
        return this.#add(message.key, outcomesIn(message.outcomes))
      case 'settle':
      case 'moved': {
        if (!this.#isOpen(message.key)) this.#ended(message.key)
        if (!this.#ofShard.has(message.key)) return nothing
        return { ...this.#replace(message.key, this.#read(message.key)), isOver: message.kind === 'settle' }
      }
      case 'forget': {
        const gone = this.#ofShard.covered(message.name)
        for (const key of this.#brought.covered(message.name)) this.#ended(key)
        const over = gone.flatMap((key) => this.#replace(key, new Set()).over)
        // Of a shard under one name only, the client may be about to submit it under another.
        return { ...nothing, over, isOver: isJobId(message.name) }
      }
      default:
        return nothing
    }
  }

  /** Tasks of this shard may wait for others. */
  #waits(key: ShardKey): void {
    const [needs] = this.#keeper.record(key)?.needs ?? []
    if (needs === undefined || this.#brought.has(key)) return
    const from = needs.shards.map((shard) => shard.key)
    this.#brought.set(key, { from, ids: new Set() })
    for (const on of from) this.#waiting.set(on, (this.#waiting.get(on) ?? new Set()).add(key))
  }

  /** Their owner has it now, wherever it came from, and whether or not that is released meanwhile. */
  #came(on: ShardKey, ids: ReadonlySet<DataId>): Named {
    if (ids.size === 0) return nothing
    const named = [...(this.#waiting.get(on) ?? [])].map((key) => {
      for (const id of ids) this.#brought.get(key)?.ids.add(id)
      return this.#add(key, ids)
    })
    const copies = Math.max(0, ...named.map((one) => one.copies))
    return { ...nothing, fresh: named.flatMap(({ fresh }) => fresh), copies }
  }

  #isOpen(key: ShardKey): boolean {
    return !this.#keeper.isSettled(key) && this.#keeper.record(key) !== undefined
  }

  #ended(key: ShardKey): void {
    const { from } = this.#brought.get(key) ?? { from: [] }
    this.#brought.delete(key)
    for (const on of from) {
      const keys = this.#waiting.get(on)
      keys?.delete(key)
      if (keys?.size === 0) this.#waiting.delete(on)
    }
  }

  #add(key: ShardKey, ids: ReadonlySet<DataId>): Named {
    if (ids.size === 0) return nothing
    return this.#replace(key, new Set([...(this.#ofShard.get(key) ?? []), ...ids]))
  }

  #read(key: ShardKey): ReadonlySet<DataId> {
    // A settled shard has no inputs.
    const record = this.#keeper.isSettled(key) ? undefined : this.#keeper.record(key)
    const ids = new Set(record === undefined ? [] : inputsIn(record.inputs))
    for (const id of this.#brought.get(key)?.ids ?? []) ids.add(id)
    for (const [index, { batch, at }] of this.#keeper.outcomes(key))
      if (index < shardTasksMax) for (const id of idsIn(payloadAt(batch, at))) ids.add(id)
    return ids
  }

  #replace(key: ShardKey, wanted: ReadonlySet<DataId>): Named {
    const brief = this.#keeper.brief(key)
    // What the keeper refused, it does not name.
    const ids = brief === undefined ? new Set<DataId>() : wanted
    const before = this.#ofShard.get(key) ?? new Set()
    const fresh = [...ids].filter((id) => !before.has(id) && this.#count(id, 1) === 1)
    const over = [...before].filter((id) => !ids.has(id) && this.#count(id, -1) === 0)
    if (ids.size > 0) this.#ofShard.set(key, new Set(ids))
    else this.#ofShard.delete(key)
    return { fresh, over, isOver: false, copies: brief?.copies ?? 0 }
  }

  #count(id: DataId, by: 1 | -1): number {
    const count = (this.#counts.get(id) ?? 0) + by
    if (count > 0) this.#counts.set(id, count)
    else this.#counts.delete(id)
    return count
  }
}

/** What the inputs of these tasks need. */
export function inputsIn(inputs: Batch): ReadonlySet<DataId> {
  const all = new Set<DataId>()
  for (const [, ids] of needsIn(inputs)) for (const id of ids) all.add(id)
  return all
}

/** The tasks whose inputs need any, each with what it needs. */
export function* needsIn(inputs: Batch): Generator<[task: number, ids: readonly DataId[]]> {
  for (let at = 0; at < inputs.indexes.length; at++) {
    const ids = startsNaming(inputs, at, 0) ? idsInInput(valueAt(inputs, at)) : []
    if (ids.length > 0) yield [inputs.indexes[at] as number, ids]
  }
}

/** Also of what other tasks brought, once that is in its place. */
export const idsInInput = (input: Uint8Array): readonly DataId[] =>
  openParcel(input)?.flatMap(idsIn) ?? idsIn(input)

function outcomesIn(outcomes: Batch): ReadonlySet<DataId> {
  const ids = new Set<DataId>()
  for (let at = 0; at < outcomes.indexes.length; at++) {
    const isOfTask = (outcomes.indexes[at] as number) < shardTasksMax
    if (isOfTask && startsNaming(outcomes, at, OUTCOME_HEADER_BYTES))
      for (const id of idsIn(payloadAt(outcomes, at))) ids.add(id)
  }
  return ids
}

/** One look at one byte: most values name nothing. */
function startsNaming({ ends, body }: Batch, at: number, skip: number): boolean {
  const from = (at === 0 ? 0 : (ends[at - 1] as number)) + skip
  return from < (ends[at] as number) && (namesData(body[from]) || body[from] === PARCEL)
}

const payloadAt = (batch: Batch, at: number): Uint8Array => valueAt(batch, at).subarray(OUTCOME_HEADER_BYTES)
