/**
 * What a task is to wait for, as people say it: handles among its arguments, and the options `after` and `follow`.
 *
 * Not here: where these tasks are (places.ts), and the waiting, which is the mesh's (tasks/dependents.ts).
 * Arguments travel with gaps where handles were; the mesh puts the values in.
 */
import { explainError, ShoalError } from '../errors.ts'
import { type Batch, pack } from '../tasks/batch.ts'
import { encodeGaps, type Gap } from '../tasks/executor/gaps.ts'
import type { Needs, Placement } from '../tasks/messages.ts'
import { encodeNeeds, type Need, type NeedKind, needShardsMax, needsMax, type Terms } from '../tasks/needs.ts'
import { shown, truth } from './checks.ts'
import { type Found, isWaitable, type TaskAt, tasksOf, type Waitable } from './places.ts'
import { encodeArgs, placeOf } from './values.ts'

/** What people write: a handle, `job.task(index)`, or an id `<job>` or `<job>:<index>`. */
export type Before = Waitable | string

/** Conditions of `after` and `follow`. IPython's words. */
export interface Dependency {
  readonly tasks: Before | readonly Before[]
  /** All of them (default), or any. */
  readonly all?: boolean
  /** Ending with a value counts. Default true. */
  readonly success?: boolean
  /** Ending with an error or a cancellation counts. Default false. */
  readonly failure?: boolean
}

export type DependencyOption = Dependency | Before | readonly Before[]

/** Values of arguments in which handles are looked for; those beyond are taken for data. */
export const lookedAtMax = 10_000

export interface Asked extends Terms {
  readonly kind: NeedKind
  readonly tasks: readonly Before[]
}

/** One task's own: where among its arguments handles are. */
export interface Waits {
  readonly asked: readonly Asked[]
  readonly args: readonly unknown[]
  readonly paths: readonly { readonly path: readonly (string | number)[]; readonly of: Waitable }[]
}

/** A dependency as an option says it; throws SHOAL_BAD_OPTION. */
export function askedBy(kind: 'after' | 'follow', option: DependencyOption | undefined): Asked[] {
  if (option === undefined) return []
  const isPlain = typeof option === 'string' || isWaitable(option) || Array.isArray(option)
  const said = (isPlain ? { tasks: option } : (option ?? {})) as Dependency
  const { all = true, success = true, failure = false } = said
  for (const [name, value] of Object.entries({ all, success, failure })) truth(`${kind}.${name}`, value)
  const tasks = (Array.isArray(said.tasks) ? said.tasks : [said.tasks]) as Before[]
  if (!tasks.every((one) => typeof one === 'string' || isWaitable(one)))
    throw new ShoalError('SHOAL_BAD_OPTION', `\`${kind}\` names tasks: handles, job.task(index), or ids`)
  if (!success && !failure)
    throw new ShoalError('SHOAL_BAD_OPTION', `\`${kind}\` waits for neither success nor failure`)
  return tasks.length === 0 ? [] : [{ kind, tasks, all, success, failure }]
}

/** Throws SHOAL_BAD_VALUE if these are no list. */
export function checkArgs(args: unknown): void {
  if (!Array.isArray(args))
    throw new ShoalError(
      'SHOAL_BAD_VALUE',
      `arguments are a list, as in submit(fn, [1, 2]); these are ${shown(args)}`
    )
}

/** `undefined` if there is nothing to wait for. Throws SHOAL_BAD_VALUE if the arguments are no list, or cannot be read. */
export function waitsOf(args: readonly unknown[], asked: readonly Asked[]): Waits | undefined {
  checkArgs(args)
  const paths = handlesIn(args)
  return paths.length === 0 && asked.length === 0 ? undefined : { asked, args, paths }
}

interface Level {
  readonly of: Readonly<Record<string, unknown>>
  readonly keys: Iterator<string>
  /** Where it is looked into now. */
  step: string | number
}

/** In the order of the arguments, those behind a place that leads back up left out. */
function handlesIn(args: readonly unknown[]): Waits['paths'] {
  const found: Waits['paths'][number][] = []
  const levels: Level[] = []
  const within = new Set<unknown>()
  const place = (): string => placeOf('args', pathOf(levels))
  const enter = (of: object): void => {
    within.add(of)
    const keys = read(() => Object.keys(of), place)[Symbol.iterator]()
    levels.push({ of: of as Level['of'], keys, step: '' })
  }
  enter(args)
  for (let left = lookedAtMax; left > 0; ) {
    const level = levels.at(-1)
    if (level === undefined) break
    const { done, value: key } = level.keys.next()
    if (done) {
      within.delete(level.of)
      levels.pop()
      continue
    }
    left--
    level.step = Array.isArray(level.of) ? Number(key) : key
    const part = read(() => level.of[key], place)
    if (typeof part !== 'object' || part === null) continue
    if (read(() => isWaitable(part), place)) found.push({ path: pathOf(levels), of: part as Waitable })
    else if (!within.has(part) && read(() => isPlain(part), place)) enter(part)
  }
  return found
}

const pathOf = (levels: readonly Level[]): (string | number)[] => levels.map(({ step }) => step)

const isPlain = (value: object): boolean =>
  Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype

/** A getter or a proxy may throw anything. */
function read<T>(look: () => T, place: () => string): T {
  try {
    return look()
  } catch (cause) {
    throw new ShoalError('SHOAL_BAD_VALUE', `${place()} cannot be read: ${explainError(cause)}`, { cause })
  }
}

/** Asks the mesh where the tasks of this name are. */
export type Locate = (name: string) => Promise<readonly TaskAt[]>

/** The input of one task with gaps, and what is needed to fill and to begin it. */
export interface Prepared {
  readonly input: Uint8Array | undefined
  readonly needs: readonly { readonly terms: Omit<Need, 'task' | 'of'>; readonly of: readonly TaskAt[] }[]
}

/** Waits until everything that is named was accepted, as far as `find` does. Rejects with SHOAL_BAD_DEPENDENCY. */
export async function prepared(
  { asked, args, paths }: Waits,
  locate: Locate,
  find: (one: Waitable) => Promise<Found> = (one) => one[tasksOf]()
): Promise<Prepared> {
  const needs: Prepared['needs'][number][] = []
  const gaps: Gap[] = []
  const values: TaskAt[] = []
  for (const { path, of } of paths) {
    const { tasks, isList } = await find(of)
    gaps.push({ path, count: isList ? tasks.length : -1 })
    values.push(...tasks)
  }
  const always = { all: true, success: true, failure: false }
  if (values.length > 0) needs.push({ terms: { kind: 'value', ...always }, of: values })
  for (const { kind, tasks, ...terms } of asked) {
    const found = await Promise.all(
      tasks.map(async (one) => (typeof one === 'string' ? locate(one) : (await find(one)).tasks))
    )
    const of = found.flat()
    if (of.length > 0) needs.push({ terms: { kind, ...terms }, of })
  }
  return { input: gaps.length === 0 ? undefined : encodeGaps(args, gaps), needs }
}

/** A shard of one task with these arguments. */
export async function lonely(
  args: readonly unknown[],
  waits: Waits | undefined,
  { locate, shrink }: { readonly locate: Locate; readonly shrink: (value: Uint8Array) => Promise<Uint8Array> }
): Promise<{ inputs: Batch; needs: Needs[] }> {
  const ready = waits && (await prepared(waits, locate))
  const input = await shrink(ready?.input ?? encodeArgs(args))
  const needs = new NeedsOfShard()
  if (ready !== undefined) needs.add(0, ready)
  return { inputs: pack('', [0], [input]), needs: needs.build() }
}

/** Needs of the tasks of one shard, in order. `own`: tasks of the same shard, by their index. */
export class NeedsOfShard {
  readonly #shards = new Map<string, { number: number; placement: Placement }>()
  readonly #needs: Need[] = []
  #count = 0

  add(task: number, { needs }: Prepared, own: (at: TaskAt) => boolean = () => false): void {
    for (const { terms, of } of needs) {
      this.#count += of.length
      const refs = of.map((at) => [own(at) ? -1 : this.#numberOf(at.placement), at.index] as const)
      this.#needs.push({ ...terms, task, of: refs })
    }
    if (this.#count > needsMax || this.#shards.size > needShardsMax) {
      const text = `tasks that travel together wait for more than ${needsMax} others, or for some in more than ${needShardsMax} shards; gather in steps`
      throw new ShoalError('SHOAL_BAD_DEPENDENCY', text)
    }
  }

  /** True if so many more fit. */
  hasRoom(count: number): boolean {
    return this.#count + count <= needsMax && this.#shards.size + count <= needShardsMax
  }

  build(): Needs[] {
    if (this.#needs.length === 0) return []
    const shards = [...this.#shards.values()].map(({ placement }) => placement)
    const needs = this.#needs.map((need) => ({
      ...need,
      of: need.of.map(([shard, index]) => [shard < 0 ? shards.length : shard, index] as const)
    }))
    return [{ shards, words: encodeNeeds(needs) }]
  }

  #numberOf(placement: Placement): number {
    const known = this.#shards.get(placement.key)
    if (known !== undefined) return known.number
    const number = this.#shards.size
    this.#shards.set(placement.key, { number, placement })
    return number
  }
}
