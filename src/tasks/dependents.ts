/**
 * What the tasks of one shard wait for, how much of it has come, and which of them may begin or never will.
 *
 * Not here: asking for it (dependencies.ts), granting and failing (lead.ts).
 * A need is met or unreachable by how many of its tasks ended well or not: IPython's table of any and all, success and
 * failure. Values stay here until the task that needs them has an outcome, for it may have to run again.
 */
import { type PeerId, type ShardKey, shardName, type TaskId, taskId } from '../ids.ts'
import { lacks, type Traits } from '../routing/match.ts'
import { type Batch, OUTCOME_HEADER_BYTES, pack, readOutcomeHeader, STATUS, valueAt } from './batch.ts'
import { type ShardRecord, startIndex } from './messages.ts'
import { decodeNeeds, type Need } from './needs.ts'
import { splitOutput } from './output.ts'
import { closeParcel } from './parcel.ts'
import { splitStory } from './story.ts'

/** Arguments of one task with the values in them, less than a frame; a task that would get more fails with TASK_DEPENDENCY. */
export const parcelBytesMax = 24 << 20

/** How a task ended for which others wait; `forgotten`: nobody knows it any more. */
interface End {
  readonly how: 'ok' | 'failed' | 'forgotten'
  /** `<node id>/<slot>`; empty if it never began. */
  readonly engine: string
  /** Its value or failure, if it was sent along. */
  readonly payload: Uint8Array
}

/** Why a task never will begin. */
export interface Hopeless {
  readonly why: 'ended otherwise' | 'forgotten' | 'several places' | 'unfit place' | 'too large'
  /** The task that it waited for. */
  readonly on: TaskId
  /** Of `on`, if it has failed, as bytes; empty if it was cancelled. */
  readonly failure: Uint8Array | undefined
}

/** Tasks that may begin, or never will. */
export interface News {
  readonly ready: readonly number[]
  readonly hopeless: ReadonlyMap<number, Hopeless>
}

interface Wait {
  readonly need: Need
  good: number
  bad: number
}

/** Of one task: its needs, and how many of them are not met. */
interface Waits {
  readonly all: Wait[]
  open: number
}

/** A task that waits for some other, by this need, which names that so often. */
interface Waiting {
  readonly task: number
  readonly wait: Wait
  times: number
}

/** A task of another shard or this one, as one number. */
const SHARD = 2 ** 32
const refOf = (shard: number, index: number): number => shard * SHARD + index

export class Dependents {
  readonly #record: ShardRecord
  readonly #member: (peer: PeerId) => Traits | undefined
  readonly #numbers = new Map<ShardKey, number>()
  readonly #waits = new Map<number, Waits>()
  /** By what is waited for. */
  readonly #waiting = new Map<number, Waiting[]>()
  readonly #ends = new Map<number, End>()
  readonly #hopeless = new Map<number, Hopeless>()

  /** `undefined` if no task of the shard waits for any. `member`: what a node that is up says of itself. */
  static of(record: ShardRecord, member: (peer: PeerId) => Traits | undefined): Dependents | undefined {
    const [some] = record.needs
    return some === undefined ? undefined : new Dependents(record, member)
  }

  private constructor(record: ShardRecord, member: (peer: PeerId) => Traits | undefined) {
    this.#record = record
    this.#member = member
    const [some] = record.needs
    const shards = some?.shards ?? []
    for (const [number, { key }] of shards.entries()) this.#numbers.set(key, number)
    this.#numbers.set(record.key, shards.length)
    const counts = shards.map(({ count }) => count)
    for (const need of decodeNeeds(some?.words ?? new Uint32Array(0), record.count, counts) ?? []) {
      const waits = this.#waits.get(need.task) ?? { all: [], open: 0 }
      this.#waits.set(need.task, waits)
      const wait = { need, good: 0, bad: 0 }
      waits.all.push(wait)
      waits.open++
      for (const [shard, index] of need.of) {
        const ref = refOf(shard, index)
        const waiting = this.#waiting.get(ref) ?? []
        this.#waiting.set(ref, waiting)
        const last = waiting.at(-1)
        if (last?.wait === wait) last.times++
        else waiting.push({ task: need.task, wait, times: 1 })
      }
    }
  }

  /** Shards with tasks that are waited for, and have not ended as far as is known here; of some the values are needed too. */
  *wanted(): Generator<{ readonly number: number; readonly index: number; readonly isValue: boolean }> {
    for (const [ref, waiting] of this.#waiting) {
      if (waiting.length === 0 || this.#ends.has(ref)) continue
      const number = Math.floor(ref / SHARD)
      const isValue = waiting.some(({ wait }) => wait.need.kind === 'value')
      yield { number, index: ref % SHARD, isValue }
    }
  }

  /** Tasks of this very shard have ended, for good. */
  committed(outcomes: Batch): News {
    for (const task of outcomes.indexes) this.#end(task)
    const news = this.learn(this.#record.key, outcomes)
    // What was heard before the shard might start counts from now on.
    return outcomes.indexes.includes(startIndex) ? this.news : news
  }

  /** All that is known by now. */
  get news(): News {
    const all = Array.from({ length: this.#record.count }, (_, task) => task)
    const met = all.filter((task) => (this.#waits.get(task)?.open ?? 0) === 0 && !this.#hopeless.has(task))
    // An engine that was away when this was heard may be back by now, and is no less unfit for it.
    for (const task of met) {
      const unfit = this.#waits.has(task) ? this.#unfit(task) : undefined
      if (unfit !== undefined) this.#hopeless.set(task, unfit)
    }
    return { ready: met.filter((task) => !this.#hopeless.has(task)), hopeless: this.#hopeless }
  }

  /** These have ended. */
  learn(key: ShardKey, outcomes: Batch): News {
    const number = this.#numbers.get(key)
    const ends = new Map<number, End>()
    for (const [at, index] of outcomes.indexes.entries()) {
      const ref = refOf(number ?? 0, index)
      const waiting = this.#waiting.get(ref)
      if (number === undefined || waiting === undefined || this.#ends.has(ref)) continue
      const isValue = waiting.some(({ wait }) => wait.need.kind === 'value')
      const value = valueAt(outcomes, at)
      // The answer to a question of before, when nobody here needed the value.
      if (isValue && isTrimmed(value)) continue
      ends.set(ref, endOf(outcomes.node, value, isValue))
    }
    return this.#hear(ends)
  }

  /** Nobody will ever know how the tasks of this shard ended that are still waited for. */
  forget(key: ShardKey): News {
    const number = this.#numbers.get(key)
    const open = [...this.#waiting.keys()].filter(
      (ref) => Math.floor(ref / SHARD) === number && !this.#ends.has(ref)
    )
    return this.#hear(new Map(open.map((ref) => [ref, unknown])))
  }

  /** It has an outcome: what it waited for is not needed for it any more. */
  #end(task: number): void {
    const waits = this.#waits.get(task)
    if (waits === undefined) return
    this.#waits.delete(task)
    this.#hopeless.delete(task)
    for (const { need } of waits.all) {
      for (const [shard, index] of need.of) {
        const ref = refOf(shard, index)
        const left = this.#waiting.get(ref)?.filter((one) => one.task !== task) ?? []
        if (left.length > 0) this.#waiting.set(ref, left)
        else {
          this.#waiting.delete(ref)
          this.#ends.delete(ref)
        }
      }
    }
  }

  /** The engine on which a task is to run, if it follows others, and that engine is there and does not wait for it. */
  place(task: number): string | undefined {
    for (const { need } of this.#waits.get(task)?.all ?? []) {
      if (need.kind !== 'follow') continue
      const [engine] = this.#engines(need)
      if (engine === undefined || this.#record.header.around.includes(engine)) continue
      if (isThere(engine, this.#member)) return engine
    }
    return undefined
  }

  /** True if this engine is there, and still is what the tasks require. */
  fits(engine: string): boolean {
    const { requires } = this.#record.header
    const member = this.#member(nodeOf(engine))
    if (member === undefined || !isThere(engine, this.#member)) return false
    return lacks(requires, member).length === 0 && isAllowed(engine, requires.targets)
  }

  /** Inputs as engines get them: with the values that belong into them. */
  fill(inputs: Batch): Batch {
    const values = Array.from(inputs.indexes, (task, at) => {
      const parts = this.#values(task)
      return parts.length === 0 ? valueAt(inputs, at) : closeParcel([valueAt(inputs, at), ...parts])
    })
    return pack(inputs.node, inputs.indexes, values)
  }

  /** What a task waits for now. */
  waitsFor(task: number): { readonly kind: Need['kind']; readonly open: readonly TaskId[] }[] {
    const all = this.#waits.get(task)?.all ?? []
    return all.flatMap((wait) => {
      const { need } = wait
      if (isMet(wait)) return []
      const refs = need.of.map(([shard, index]) => refOf(shard, index)).filter((ref) => !this.#ends.has(ref))
      return refs.length === 0 ? [] : [{ kind: need.kind, open: refs.map((ref) => this.#nameOf(ref)) }]
    })
  }

  #hear(ends: ReadonlyMap<number, End>): News {
    const hopeless = new Map<number, Hopeless>()
    const ready: number[] = []
    for (const [ref, end] of ends) {
      this.#ends.set(ref, end)
      for (const waiting of this.#waiting.get(ref) ?? []) {
        const { task } = waiting
        const waits = this.#waits.get(task)
        const verdict = waits === undefined || hopeless.has(task) ? 'open' : this.#count(waiting, end, ref)
        if (waits === undefined || verdict === 'open') continue
        if (verdict !== 'met') hopeless.set(task, verdict)
        else if (--waits.open === 0) {
          const unfit = this.#unfit(task)
          if (unfit === undefined) ready.push(task)
          else hopeless.set(task, unfit)
        }
      }
    }
    for (const [task, why] of hopeless) this.#hopeless.set(task, why)
    return { ready: ready.filter((task) => !hopeless.has(task)), hopeless }
  }

  #count({ wait, times }: Waiting, end: End, ref: number): 'open' | 'met' | Hopeless {
    const { need } = wait
    const wasMet = isMet(wait)
    if (counts(end, need)) wait.good += times
    else wait.bad += times
    if (wasMet) return 'open'
    const on = this.#nameOf(ref)
    if (need.all ? wait.bad > 0 : wait.bad === need.of.length) {
      if (end.how === 'forgotten') return { why: 'forgotten', on, failure: undefined }
      return { why: 'ended otherwise', on, failure: end.how === 'ok' ? undefined : end.payload }
    }
    if (need.kind === 'follow' && need.all && this.#engines(need).size > 1)
      return { why: 'several places', on, failure: undefined }
    return isMet(wait) ? 'met' : 'open'
  }

  /** Why a task cannot begin although everything it waited for has ended as it should. */
  #unfit(task: number): Hopeless | undefined {
    const { inputs } = this.#record
    const engine = this.place(task)
    const [first] = this.#waits.get(task)?.all ?? []
    const [[shard, index]] = (first?.need.of ?? [[0, 0]]) as [readonly [number, number]]
    const on = this.#nameOf(refOf(shard, index))
    if (engine !== undefined && !this.fits(engine)) return { why: 'unfit place', on, failure: undefined }
    const own = inputs.indexes.length > 0 ? valueAt(inputs, task).byteLength : 0
    const bytes = this.#values(task).reduce((sum, { byteLength }) => sum + byteLength, own)
    return bytes > parcelBytesMax ? { why: 'too large', on, failure: undefined } : undefined
  }

  #values(task: number): Uint8Array[] {
    const needs = (this.#waits.get(task)?.all ?? []).filter(({ need }) => need.kind === 'value')
    return needs.flatMap(({ need }) =>
      need.of.flatMap(([shard, index]) => this.#ends.get(refOf(shard, index))?.payload ?? [])
    )
  }

  /** Where tasks ended that count for this need, as far as is known. */
  #engines(need: Need): Set<string> {
    const ends = need.of.flatMap(([shard, index]) => this.#ends.get(refOf(shard, index)) ?? [])
    return new Set(ends.filter((end) => end.engine !== '' && counts(end, need)).map(({ engine }) => engine))
  }

  #nameOf(ref: number): TaskId {
    const [number, index] = [Math.floor(ref / SHARD), ref % SHARD]
    const { key, first } = this.#record.needs[0]?.shards[number] ?? this.#record
    return taskId(shardName(key).job, first + index)
  }
}

const isMet = ({ need, good }: Wait): boolean => (need.all ? good === need.of.length : good > 0)

export const nodeOf = (engine: string): PeerId => engine.slice(0, engine.indexOf('/')) as PeerId

/** True if this engine exists now. */
export function isThere(engine: string, member: (peer: PeerId) => Traits | undefined): boolean {
  const peer = nodeOf(engine)
  return Number(engine.slice(peer.length + 1)) < (member(peer)?.slots ?? 0)
}

const isAllowed = (engine: string, targets: readonly string[]): boolean =>
  targets.length === 0 || targets.includes(engine) || targets.includes(nodeOf(engine))

/** No value is without any bytes. */
const isTrimmed = (value: Uint8Array): boolean =>
  readOutcomeHeader(value).status === STATUS.ok && value.byteLength <= OUTCOME_HEADER_BYTES

const counts = ({ how }: End, { success, failure }: Need): boolean =>
  how === 'ok' ? success : how === 'failed' && failure

const unknown: End = { how: 'forgotten', engine: '', payload: new Uint8Array(0) }

function endOf(node: string, whole: Uint8Array, isValue: boolean): End {
  const { status, slot } = readOutcomeHeader(whole)
  const how = status === STATUS.ok ? 'ok' : 'failed'
  // What an owner stated itself ran nowhere.
  const engine = node === '' ? '' : `${node}/${slot}`
  if (how === 'ok' && !isValue) return { how, engine, payload: unknown.payload }
  const { outcome } = splitOutput(splitStory(whole).outcome)
  return { how, engine, payload: outcome.subarray(OUTCOME_HEADER_BYTES) }
}
