/**
 * Tasks that wait for others: what a seed draws of them, and the checker `depends`.
 *
 * Not here: how waiting is done (src/tasks/dependents.ts). Judged from what lies on disks: whatever a task waits for must be
 * on as many as it takes before it begins, with the values that it is given, and a task that is failed for it must have
 * waited in vain.
 */
import { type JobId, type ShardKey, shardName } from '../../src/ids.ts'
import type { Random } from '../../src/random.ts'
import { OUTCOME_HEADER_BYTES, readOutcomeHeader, STATUS, valueAt } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import type { Needs, Placement } from '../../src/tasks/messages.ts'
import { decodeNeeds, encodeNeeds, type Need, type NeedKind } from '../../src/tasks/needs.ts'
import { openParcel } from '../../src/tasks/parcel.ts'
import { splitStory } from '../../src/tasks/story.ts'
import { Violation } from './checkers.ts'
import { type Durable, text } from './durable.ts'

/** What a job's tasks wait for. */
export interface NeedsPlan {
  /** The part of the tasks that wait. */
  readonly share: number
  /** Tasks that one need names at most. */
  readonly most: number
  /** Of earlier tasks of the job, and of those of other jobs. */
  readonly others: number
  readonly follows: boolean
}

export const drawNeeds = (random: Random): NeedsPlan | undefined =>
  random.chance(0.35)
    ? {
        share: 0.2 + random.next() * 0.8,
        most: 1 + random.below(5),
        others: random.next(),
        follows: random.chance(0.3)
      }
    : undefined

/** Needs of a shard with `count` tasks, on its own and those that were placed before. */
export function drawnNeeds(
  random: Random,
  plan: NeedsPlan,
  count: number,
  { own, others }: { readonly own: readonly Placement[]; readonly others: readonly Placement[] }
): Needs[] {
  const shards: Placement[] = []
  const needs: Need[] = []
  const numberOf = (placement: Placement): number => {
    if (!shards.includes(placement)) shards.push(placement)
    return shards.indexOf(placement)
  }
  const ref = (task: number): [number, number] | undefined => {
    const isForeign = random.chance(plan.others)
    const placed = random.pick(isForeign ? others : own)
    if (placed !== undefined && (isForeign || random.chance(0.5)))
      return [numberOf(placed), random.below(placed.count)]
    // The own shard's number is not known before all others have theirs.
    return task > 0 ? [-1, random.below(task)] : undefined
  }
  for (let task = 0; task < count; task++) {
    if (!random.chance(plan.share)) continue
    const kind: NeedKind = random.chance(0.5)
      ? 'value'
      : plan.follows && random.chance(0.5)
        ? 'follow'
        : 'after'
    const length = kind === 'follow' ? 1 : 1 + random.below(plan.most)
    const of = Array.from({ length }, () => ref(task)).flatMap((one) => (one === undefined ? [] : [one]))
    const failure = kind !== 'value' && random.chance(0.5)
    const success = !failure || random.chance(0.5)
    const all = kind === 'value' || random.chance(0.5)
    if (of.length > 0) needs.push({ task, kind, all, success, failure, of })
  }
  const numbered = needs.map((need) => ({
    ...need,
    of: need.of.map(([shard, index]) => [shard < 0 ? shards.length : shard, index] as const)
  }))
  return numbered.length === 0 ? [] : [{ shards, words: encodeNeeds(numbered) }]
}

interface Shard {
  readonly needs: readonly Need[]
  readonly shards: readonly Placement[]
}

export class Graph {
  readonly #durable: Durable
  readonly #shards = new Map<string, Shard>()
  /** Jobs whose outcomes may be forgotten before all who wait have heard of them. */
  readonly #mayBeGone = new Set<JobId>()
  waited = 0
  failed = 0

  constructor(durable: Durable) {
    this.#durable = durable
  }

  mayBeGone(job: JobId): void {
    this.#mayBeGone.add(job)
  }

  submitted(job: JobId, first: number, count: number, [needs]: readonly Needs[]): void {
    if (needs === undefined) return
    const { shards, words } = needs
    const counts = shards.map((one) => one.count)
    this.#shards.set(`${job}:${first}`, { shards, needs: decodeNeeds(words, count, counts) ?? [] })
  }

  began({ key, header, first, inputs }: Run, index: number): void {
    const shard = this.#shards.get(`${header.job}:${first}`)
    const needs = shard?.needs.filter(({ task }) => task === index) ?? []
    if (shard === undefined || needs.length === 0 || this.#isVague(key, shard)) return
    this.waited++
    const task = `${header.job}:${first + index}`
    for (const need of needs) {
      if ([...this.#states(need, key, shard)].includes('met')) continue
      throw new Violation(
        'depends',
        `${task} begins, and not all is committed that it waits for: ${said(need)}`
      )
    }
    const given = openParcel(valueAt(inputs, inputs.indexes.indexOf(index)))?.slice(1) ?? []
    const wanted = needs.filter(({ kind }) => kind === 'value').flatMap(({ of }) => of)
    const same = wanted.every(([number, at], position) => {
      const values = this.#durable.outcomes(shard.shards[number]?.key ?? key, at)
      return values.some((value) => text(payloadOf(value)) === text(given[position] ?? value))
    })
    if (given.length !== wanted.length || !same)
      throw new Violation('depends', `${task} begins with other values than those that were committed`)
  }

  /** True if it is right that a task was failed for what it waited for. */
  isHopeless(job: JobId, task: number): boolean {
    this.failed++
    for (const [name, shard] of this.#shards) {
      const [of, first] = name.split(':') as [JobId, string]
      const needs = of === job ? shard.needs.filter((need) => need.task === task - Number(first)) : []
      if (needs.length === 0) continue
      const keys = this.#durable.keysOf(job, Number(first))
      if (keys.some((key) => this.#isVague(key, shard))) return true
      return keys.some((key) => needs.some((need) => this.#mayFail(need, key, shard)))
    }
    return false
  }

  #mayFail(need: Need, key: ShardKey, shard: Shard): boolean {
    // Where others ran, and whether that is allowed, is judged by unit tests.
    if (need.kind === 'follow' || [...this.#states(need, key, shard)].includes('unreachable')) return true
    return need.of.some(([number]) => this.#mayBeGone.has(shardName(shard.shards[number]?.key ?? key).job))
  }

  /** Of two keepers each may have another truth. */
  #isVague(key: ShardKey, { shards }: Shard): boolean {
    return [key, ...shards.map((one) => one.key)].some((one) => this.#durable.hasPair(shardName(one).job))
  }

  *#states(
    { of, all, success, failure }: Need,
    key: ShardKey,
    { shards }: Shard
  ): Generator<'met' | 'unreachable'> {
    const ends = of.map(([number, index]) => {
      const values = this.#durable.outcomes(shards[number]?.key ?? key, index)
      const ways = values.map((value) => (readOutcomeHeader(value).status === STATUS.ok ? success : failure))
      return { mayBeGood: ways.includes(true), mayBeBad: ways.includes(false) }
    })
    const isGood = ends.map(({ mayBeGood }) => mayBeGood)
    if (all ? !isGood.includes(false) : isGood.includes(true)) yield 'met'
    const isBad = ends.map(({ mayBeBad }) => mayBeBad)
    if (all ? isBad.includes(true) : !isBad.includes(false)) yield 'unreachable'
  }
}

const payloadOf = (value: Uint8Array): Uint8Array => splitStory(value).outcome.subarray(OUTCOME_HEADER_BYTES)
const said = ({ kind, all, success, failure, of }: Need): string =>
  JSON.stringify({ kind, all, success, failure, of })
