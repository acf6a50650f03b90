/**
 * Many small tasks that need each other, submitted as one job: who comes before whom, and which shard each goes into.
 *
 * Not here: functions as one module (functions.ts), and the waiting, which is the mesh's (tasks/dependents.ts).
 * Calls are put into an order in which each comes after what it needs, which shows a circle before anything is sent. A shard
 * names only shards before it, and leaves when those it names were accepted.
 */
import { ShoalError } from '../errors.ts'
import { pack } from '../tasks/batch.ts'
import { type Placement, shardTasksMax } from '../tasks/messages.ts'
import { shown } from './checks.ts'
import { shardBytesMax } from './feed.ts'
import type { Fed, Outlet } from './feeding.ts'
import type { ModuleFunction, PlainFunction } from './functions.ts'
import { type Found, type Places, tasksOf, type Waitable } from './places.ts'
import type { Given, ReceivedAll } from './stand-ins.ts'
import type { Result } from './types.ts'
import { encodeArgs } from './values.ts'
import {
  type Asked,
  askedBy,
  checkArgs,
  type DependencyOption,
  NeedsOfShard,
  type Prepared,
  prepared,
  type Waits,
  waitsOf
} from './waits.ts'

/** What else a call of a graph waits for. */
export interface CallOptions {
  /** See `TaskOptions`; calls of the same graph are named by `ref()`. */
  readonly after?: DependencyOption
  readonly follow?: DependencyOption
}

const callBrand: unique symbol = Symbol('call of a graph')

/** A task to be, in a graph. */
export interface Call<R = unknown> {
  readonly [callBrand]: true
  /** For types alone: what it gives. */
  readonly gives?: R
  readonly fn: PlainFunction | ModuleFunction
  readonly args: readonly unknown[]
  readonly options: CallOptions
}

/** A call that a graph consists of. Arguments may be `ref()`s to other nodes, and handles of earlier work. */
export function call<R = unknown>(
  fn: ModuleFunction,
  args?: readonly unknown[],
  options?: CallOptions
): Call<R>
export function call<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
  fn: (...args: P) => R,
  args?: readonly [...A],
  options?: CallOptions
): Call<Result<R>>
export function call<P extends readonly unknown[], R>(
  fn: (...args: P) => R,
  args?: Given<P>,
  options?: CallOptions
): Call<Result<R>>
export function call(
  fn: PlainFunction | ModuleFunction,
  args: readonly unknown[] = [],
  options: CallOptions = {}
): Call {
  return Object.freeze({ [callBrand]: true, fn, args, options } as const)
}

/** Made by `call()`. */
export const isCall = (value: unknown): value is Call =>
  typeof value === 'object' && value !== null && callBrand in value

export class CallRef<R> implements Waitable<R> {
  declare readonly gives?: R
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  [tasksOf](): Promise<Found> {
    const text = `ref(${JSON.stringify(this.name)}) means a call of a graph, and stands in none; use the handle of a task`
    return Promise.reject(new ShoalError('SHOAL_BAD_DEPENDENCY', text))
  }
}

/** another call of the same graph, by its name or its place in the list: stands for its value, or in `after` and `follow`. */
export const ref = <R = never>(name: string | number): Waitable<R> => new CallRef<R>(String(name))

export type Calls = Readonly<Record<string, Call>> | readonly Call[]
/** What calls give, in the places of the calls. */
export type CallValues<N extends Calls> = {
  -readonly [K in keyof N]: N[K] extends Call<infer R> ? R : never
}

interface Planned {
  readonly name: string
  /** Which of the functions. */
  readonly which: number
  readonly args: readonly unknown[]
  readonly waits: Waits | undefined
}

const isCalls = (nodes: unknown): nodes is Calls =>
  typeof nodes === 'object' && nodes !== null && !isCall(nodes)

/** A task of the shard that is being made. */
const own = { key: '', keepers: [], first: 0, count: 0 } as unknown as Placement

export class GraphPlan {
  readonly functions: readonly (PlainFunction | ModuleFunction)[]
  /** By name: the index of its task in the job. */
  readonly positions: ReadonlyMap<string, number>
  readonly #calls: readonly Planned[]

  /** `asked`: what all calls wait for. Throws SHOAL_BAD_DEPENDENCY for names that are no calls, and for circles. */
  constructor(nodes: Calls, asked: readonly Asked[]) {
    if (!isCalls(nodes))
      throw new ShoalError(
        'SHOAL_BAD_OPTION',
        `a graph is calls by their names, or a list of calls; this is ${shown(nodes)}`
      )
    const given = Object.entries(nodes) as [string, Call][]
    const functions = new Map<PlainFunction | ModuleFunction, number>()
    for (const [name, node] of given) {
      if (!isCall(node))
        throw new ShoalError(
          'SHOAL_BAD_OPTION',
          `${JSON.stringify(name)} is no call; make one by call(fn, args)`
        )
      if (!functions.has(node.fn)) functions.set(node.fn, functions.size)
    }
    this.functions = [...functions.keys()]
    const planned = new Map(
      given.map(([name, { fn, args, options }]): [string, Planned] => {
        const which = functions.get(fn) ?? 0
        checkArgs(args)
        const whole = functions.size > 1 ? [which, ...args] : args
        const own = [...askedBy('after', options.after), ...askedBy('follow', options.follow), ...asked]
        return [name, { name, which, args: whole, waits: waitsOf(whole, own) }]
      })
    )
    this.#calls = inOrder(planned)
    this.positions = new Map(this.#calls.map(({ name }, at) => [name, at]))
  }

  /** Hands all shards on, each when those that it names were accepted. */
  async feed(job: Fed & { readonly places: Places }, outlet: Outlet): Promise<void> {
    for (let first = 0; first < this.#calls.length; ) {
      const values: Uint8Array[] = []
      const needs = new NeedsOfShard()
      let bytes = 0
      const find = (of: Waitable): Promise<Found> => this.#find(of, first, job.places)
      while (
        values.length < shardTasksMax &&
        bytes < shardBytesMax &&
        first + values.length < this.#calls.length
      ) {
        const { args, waits } = this.#calls[first + values.length] as Planned
        const ready = waits && (await prepared(waits, outlet.locate, find))
        if (values.length > 0 && ready !== undefined && !needs.hasRoom(countOf(ready))) break
        if (ready !== undefined) needs.add(values.length, ready, ({ placement }) => placement === own)
        const value = await outlet.shrink(ready?.input ?? encodeArgs(args))
        values.push(value)
        bytes += value.byteLength
      }
      if (!job.takesInputs) return
      first += values.length
      job.submitted(values.length)
      const inputs = pack('', Uint32Array.from(values.keys()), values)
      outlet.add(inputs, first === this.#calls.length, needs.build())
    }
    if (this.#calls.length === 0) outlet.close()
  }

  async #find(of: Waitable, first: number, places: Places): Promise<Found> {
    if (!(of instanceof CallRef)) return of[tasksOf]()
    const position = this.positions.get(of.name) as number
    const at = position >= first ? { placement: own, index: position - first } : await places.at(position)
    return { tasks: [at], isList: false }
  }
}

const countOf = ({ needs }: Prepared): number => needs.reduce((sum, { of }) => sum + of.length, 0)

const refsOf = ({ waits }: Planned): string[] => {
  const all = [
    ...(waits?.paths ?? []).map(({ of }) => of),
    ...(waits?.asked ?? []).flatMap(({ tasks }) => tasks)
  ]
  return all.flatMap((one) => (one instanceof CallRef ? [one.name] : []))
}

/** Each node after those that it needs, otherwise in the given order. */
function inOrder(nodes: ReadonlyMap<string, Planned>): Planned[] {
  const order: Planned[] = []
  const state = new Map<string, 'open' | 'done'>()
  for (const [start, node] of nodes) {
    if (state.has(start)) continue
    // By hand, since a chain may be as long as the graph.
    const path = [{ node, refs: refsOf(node).values() }]
    state.set(start, 'open')
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.refs.next()
      if (next.done) {
        state.set(top.node.name, 'done')
        order.push(top.node)
        path.pop()
        continue
      }
      const name = next.value
      const needed = nodes.get(name)
      if (needed === undefined)
        throw new ShoalError(
          'SHOAL_BAD_DEPENDENCY',
          `${JSON.stringify(top.node.name)} needs ref(${JSON.stringify(name)}), and there is no such call`
        )
      if (state.get(name) === 'open') throw circle([...path.map((one) => one.node.name), name])
      if (state.get(name) === 'done') continue
      state.set(name, 'open')
      path.push({ node: needed, refs: refsOf(needed).values() })
    }
  }
  return order
}

function circle(path: readonly string[]): ShoalError {
  const names = path.slice(path.indexOf(path.at(-1) ?? ''))
  const shown = names.length > 12 ? [...names.slice(0, 6), '…', ...names.slice(-5)] : names
  return new ShoalError('SHOAL_BAD_DEPENDENCY', `calls need each other in a circle: ${shown.join(' needs ')}`)
}
