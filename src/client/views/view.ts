/**
 * A view of particular engines, each with a namespace of its own that lives as long as the engine.
 *
 * Not here: what happens on the engine (namespace.ts), and balanced work (balanced.ts).
 * Each call is one task for each engine, which may run there and nowhere else, and at most once: state that was changed twice, or
 * on another engine, would be worse than an error. So a call whose engine is lost fails with ENGINE_LOST, and never hangs.
 */
import { readFile } from 'node:fs/promises'
import { type Expression, parseExpressionAt } from 'acorn'
import { CompositeError, ShoalError, TaskError } from '../../errors.ts'
import { capturesOf } from '../captures.ts'
import { isRecord, onlyKnown, refuse, shown } from '../checks.ts'
import type { Inputs } from '../feed.ts'
import { isModuleFunction, type ModuleFunction, moduleFunction } from '../functions.ts'
import { inspectedBy, type Look, looksLike } from '../looks.ts'
import type { Filling, Given, Received, ReceivedAll } from '../stand-ins.ts'
import type { Result, TaskHandle, TaskOptions, Zipped } from '../types.ts'
import { collected, plainInputs, zipped } from '../zip.ts'
import type { EngineInfo, Presence } from './engines.ts'
import { checkName, located } from './reference.ts'
import { AsyncResult, type Calls } from './result.ts'
import { prepare } from './statements.ts'
import { withQuietTypeof } from './typeof.ts'

/** Which engines: all that there are at each call, one or several by id or place in the order of `engines()`, or those of which it gives, or promises, what counts as true. */
export type Targets =
  | 'all'
  | string
  | number
  | readonly (string | number)[]
  | ((engine: EngineInfo) => unknown)

/** Results of calls are of no use once they were taken. */
const retention = 60_000

/** `sharers`: so many tasks get this very list of arguments. */
export interface Submitter {
  submit(
    fn: ModuleFunction,
    args: readonly unknown[],
    options: TaskOptions,
    sharers: number
  ): TaskHandle<unknown>
}

type Operation = 'execute' | 'apply' | 'applyEach' | 'push' | 'pull' | 'clear'

const namespace = new URL(
  import.meta.url.endsWith('.ts') ? './namespace.ts' : './namespace.js',
  import.meta.url
)
const operations = new Map<Operation, ModuleFunction>()

function operation(name: Operation): ModuleFunction {
  const fn = operations.get(name) ?? moduleFunction(namespace, name)
  operations.set(name, fn)
  return fn
}

// biome-ignore lint/suspicious/noExplicitAny: user functions take and give what they like.
type AnyFunction = (...args: any[]) => any

/**
 * With one target (an id, a number) calls give a bare value, else a list in the order of the engines. One failure of several
 * makes a CompositeError. Every call gives an AsyncResult, which can be awaited.
 */
export class DirectView {
  readonly #client: Submitter
  readonly #presence: Presence
  readonly #targets: Targets

  constructor(client: Submitter, presence: Presence, targets: Targets) {
    this.#client = client
    this.#presence = presence
    this.#targets = targets
  }

  get [inspectedBy](): Look {
    return looksLike('DirectView', () => ({ targets: this.#targets }))
  }

  /** The engines of a call that were made now. Rejects with SHOAL_NOT_FOUND if one is not there, or none at all. */
  async engines(): Promise<EngineInfo[]> {
    return await chosen(this.#targets, await this.#presence.engines())
  }

  /**
   * Ctrl-C on these engines: what runs there now, whoever called it, fails with TASK_INTERRUPTED. What waits for something ends
   * at once, and its engine keeps its names; what computes without a pause ends with its engine after a second, and the next one
   * begins without names. What is in line behind it runs. Programs are not touched. Resolves when it was asked for; rejects
   * with SHOAL_NOT_FOUND.
   */
  async interrupt(): Promise<void> {
    await this.#presence.order('interrupt', await this.engines())
  }

  /**
   * New engines in the place of these, without any names. What runs there is lost like with any engine: a call of a view fails
   * with ENGINE_LOST, a task runs again elsewhere. Resolves when it was asked for; rejects with SHOAL_NOT_FOUND.
   */
  async restart(): Promise<void> {
    await this.#presence.order('restart', await this.engines())
  }

  /** Runs statements; `await` at the top level works. Gives the value of the last one, if it is an expression. */
  execute(statements: string): AsyncResult<unknown> {
    if (typeof statements !== 'string') refuse(`statements are a text; this is ${shown(statements)}`)
    const prepared = prepare(statements)
    const args = [prepared]
    return this.#call('execute', () => args)
  }

  /** Runs the statements of a file of this machine. Rejects with SHOAL_BAD_OPTION if it cannot be read. */
  run(file: string | URL): AsyncResult<unknown> {
    const prepared = readFile(file, 'utf8').then(prepare, (cause: Error) => {
      throw new ShoalError('SHOAL_BAD_OPTION', `the file ${shown(file)} cannot be read: ${cause.message}`, {
        cause
      })
    })
    return this.#begin('execute', async () => {
      const args = [await prepared]
      return () => args
    })
  }

  /** Gives names of the engines these values. */
  push(values: Readonly<Record<string, unknown>>): AsyncResult<unknown> {
    if (!isRecord(values)) refuse(`push() takes an object, values by their names; this is ${shown(values)}`)
    const args = [{ ...values }]
    return this.#call('push', () => args)
  }

  /** The value of a name; of a list of names, a list. */
  pull(name: string): AsyncResult<unknown>
  pull(names: readonly string[]): AsyncResult<unknown>
  pull(names: string | readonly string[]): AsyncResult<unknown> {
    const wanted = typeof names === 'string' ? [names] : names
    if (!Array.isArray(wanted)) refuse(`pull() takes a name, or a list of names; this is ${shown(names)}`)
    for (const name of wanted) checkName(name)
    const pick = typeof names === 'string' ? ([value]: unknown[]) => value : (all: unknown[]) => all
    return this.#call(
      'pull',
      () => [[...wanted]],
      (value) => pick(value as unknown[])
    )
  }

  /** Calls a function on each engine. Its free names are those of the engine; a `Reference` in `args`, or in lists and plain objects there, is replaced. */
  apply<R>(
    fn: ((...args: never[]) => R) | ModuleFunction,
    ...args: readonly unknown[]
  ): AsyncResult<unknown> {
    const { value, gaps } = located(args)
    if (!isModuleFunction(fn)) {
      const sent = [textOf(fn), value, gaps]
      return this.#call('apply', () => sent)
    }
    if (gaps[0] !== undefined)
      refuse(`a Reference is a name of an engine (${gaps[0].special}), which functions of modules do not see`)
    return this.#begin(fn, async () => () => args)
  }

  /**
   * Cuts the inputs into one part for each engine, in order, and calls a function for each input; with `zip`, for each row of
   * several sources, of which the shortest ends it. Gives all results in order.
   */
  map<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    inputs: Zipped<A>,
    options: { readonly zip: true }
  ): AsyncResult<Result<R>[]>
  map<I extends Filling<P>, R, P = Received<I>>(
    fn: ((input: P) => R) | ModuleFunction,
    inputs: Iterable<I> | AsyncIterable<I>
  ): AsyncResult<Result<R>[]>
  map(
    fn: AnyFunction | ModuleFunction,
    inputs: Inputs,
    options: { readonly zip?: boolean } = {}
  ): AsyncResult<unknown[]> {
    onlyKnown(options, ['zip'])
    const { zip = false } = options
    // A module's goes through its part by a function that is added to it; a plain one's text does by one of the namespace.
    const what = isModuleFunction(fn)
      ? Object.freeze({ ...fn, each: zip ? 'row' : 'input' } as const)
      : 'applyEach'
    const text = isModuleFunction(fn) ? undefined : textOf(fn)
    const join = (parts: unknown): unknown[] => (parts as unknown[][]).flat(1)
    const plan = async (): Promise<(at: number, of: number) => readonly unknown[]> => {
      const all = await collected((zip ? zipped(inputs) : plainInputs(inputs)).inputs)
      const argsOf = (mine: unknown): unknown[] => (text === undefined ? [mine] : [text, mine, zip])
      return (at, of) => argsOf(part(all, at, of))
    }
    return this.#begin(what, plan, undefined, join) as AsyncResult<unknown[]>
  }

  /** Gives each engine a contiguous part under this name, the first ones one longer if it does not come out even. */
  scatter(name: string, values: Sliceable): AsyncResult<unknown> {
    checkName(name)
    if (typeof values?.slice !== 'function' || typeof values.length !== 'number')
      refuse(`scatter() takes a list, a typed array or a text; this is ${shown(values)}`)
    return this.#call('push', (at, of) => [{ [name]: part(values, at, of) }])
  }

  /** The parts under this name, put together again in the order of the engines. */
  gather(name: string): AsyncResult<unknown> {
    checkName(name)
    return this.#call(
      'pull',
      () => [[name]],
      (value) => (value as unknown[])[0],
      joined
    )
  }

  /** Forgets all names. */
  clear(): AsyncResult<unknown> {
    return this.#call('clear', () => [])
  }

  #call(
    name: Operation,
    argsOf: (at: number, of: number) => readonly unknown[],
    each?: (value: unknown) => unknown,
    join?: (values: unknown[]) => unknown
  ): AsyncResult<unknown> {
    return this.#begin(name, async () => argsOf, each, join)
  }

  #begin(
    what: Operation | ModuleFunction,
    plan: () => Promise<(at: number, of: number) => readonly unknown[]>,
    each: (value: unknown) => unknown = (value) => value,
    join?: (values: unknown[]) => unknown
  ): AsyncResult<unknown> {
    const fn = typeof what === 'string' ? operation(what) : what
    const begin = async (): Promise<Calls<unknown>> => {
      const [argsOf, engines] = await Promise.all([plan(), this.engines()])
      this.#presence.refuseAround(engines)
      const args = engines.map((_, at) => argsOf(at, engines.length))
      // What all get is sent to the mesh once, however many they are.
      const sharers = args.every((one) => one === args[0]) ? args.length : 1
      const handles = engines.map(({ id }, at) => {
        const options: TaskOptions = { targets: [id], atMostOnce: true, retention }
        return this.#client.submit(fn, args[at] as readonly unknown[], options, sharers)
      })
      const guarded = handles.map((handle, at) => this.#guard(handle, engines[at] as EngineInfo).then(each))
      return { value: this.#together(guarded, join), handles, each: guarded, areParts: join !== undefined }
    }
    return AsyncResult.ofTasks(begin())
  }

  async #together(
    calls: readonly Promise<unknown>[],
    join?: (values: unknown[]) => unknown
  ): Promise<unknown> {
    const ends = await Promise.allSettled(calls)
    const errors = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as TaskError] : []))
    if (errors.length > 1) throw new CompositeError(errors)
    if (errors.length === 1) throw errors[0]
    const values = ends.map((end) => (end as PromiseFulfilledResult<unknown>).value)
    if (join !== undefined) return join(values)
    return isOne(this.#targets) ? values[0] : values
  }

  /** Ends the waiting for an engine that is gone. */
  async #guard(handle: TaskHandle<unknown>, engine: EngineInfo): Promise<unknown> {
    const loss = this.#presence.watch(engine)
    const lost = (): TaskError => {
      const message = `engine ${engine.id} was lost, and its namespace with it; nobody knows how far the call had come`
      const failure = { code: 'ENGINE_LOST', name: 'EngineLost', message, stack: '' } as const
      return new TaskError(`${handle.id}:0`, failure, { attempt: 1, engine: engine.id })
    }
    try {
      return await Promise.race([
        handle,
        loss.promise.then(() => {
          handle.cancel().catch(() => {})
          throw lost()
        })
      ])
    } catch (error) {
      throw error instanceof TaskError && error.code === 'TASK_UNKNOWN' ? lost() : error
    } finally {
      loss.end()
    }
  }
}

const isOne = (targets: Targets): boolean =>
  typeof targets === 'number' || (typeof targets === 'string' && targets !== 'all')

async function chosen(targets: Targets, engines: readonly EngineInfo[]): Promise<EngineInfo[]> {
  const none = (what: string): never => {
    throw new ShoalError('SHOAL_NOT_FOUND', `${what}; there are ${engines.length} engines, see engines()`)
  }
  const one = (target: string | number): EngineInfo => {
    const isPlace = typeof target === 'number' && Number.isInteger(target)
    const found = isPlace ? engines.at(target) : engines.find(({ id }) => id === target)
    return found ?? none(`there is no engine ${typeof target === 'string' ? target : shown(target)}`)
  }
  const list =
    targets === 'all'
      ? [...engines]
      : typeof targets === 'function'
        ? await filtered(engines, targets)
        : [targets].flat().map((target) => one(target as string | number))
  return list.length > 0 ? list : none('no engine fits this view')
}

async function filtered<T>(all: readonly T[], isWanted: (one: T) => unknown): Promise<T[]> {
  const wanted = await Promise.all(all.map(isWanted))
  return all.filter((_, at) => wanted[at])
}

function textOf(fn: AnyFunction | ((...args: never[]) => unknown)): string {
  if (typeof fn !== 'function')
    throw new ShoalError('SHOAL_BAD_FUNCTION', `expected a function, got ${shown(fn)}`)
  const text = fn.toString()
  const captures = capturesOf(text)
  if (captures.kind === 'function') return withQuietTypeof(text, readFunction)
  const reason = `${fn.name || 'the function'} is no function that can travel: ${captures.reason}`
  throw new ShoalError('SHOAL_BAD_FUNCTION', `${reason}; write it as a function or an arrow function`)
}

const readFunction = (text: string): Expression =>
  parseExpressionAt(text, 0, { ecmaVersion: 'latest', sourceType: 'module' })

interface Sliceable {
  readonly length: number
  slice(from: number, to: number): unknown
}

/** Typed arrays are cut without a copy. */
function part(values: Sliceable, at: number, of: number): unknown {
  const least = Math.floor(values.length / of)
  const longer = values.length % of
  const from = at * least + Math.min(at, longer)
  const to = from + least + (at < longer ? 1 : 0)
  return ArrayBuffer.isView(values) && 'subarray' in values
    ? (values as unknown as Uint8Array).subarray(from, to)
    : values.slice(from, to)
}

function joined(parts: readonly unknown[]): unknown {
  const [first] = parts
  if (!ArrayBuffer.isView(first)) return typeof first === 'string' ? parts.join('') : parts.flat(1)
  const arrays = parts as Uint8Array[]
  const whole = new (first.constructor as Uint8ArrayConstructor)(
    arrays.reduce((sum, { length }) => sum + length, 0)
  )
  let at = 0
  for (const one of arrays) {
    whole.set(one, at)
    at += one.length
  }
  return whole
}
