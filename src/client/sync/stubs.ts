/**
 * What a blocked caller holds of the asynchronous client's objects: stubs that have their methods and fields, and wait.
 *
 * Not here: how a thread sleeps (channel.ts), types (sync.ts), and how objects are described (objects.ts).
 * A stub is made from a description that comes with the first object of a class, so it can all that the object can. Promises
 * become their values, asynchronous iterables plain ones; functions of the caller travel as their text, or are called here
 * while a call waits.
 */
import { ShoalError } from '../../errors.ts'
import { truth } from '../checks.ts'
import { isModuleFunction } from '../functions.ts'
import type { Search } from '../gaps.ts'
import { CallRef, isCall } from '../graph.ts'
import { encodeArgs } from '../values.ts'
import { Reference } from '../views/reference.ts'
import { lookedAtMax } from '../waits.ts'
import { type Border, type Caller, type Channel, uncopied } from './channel.ts'
import { pack, unpack } from './crossing.ts'
import { unpackError } from './failures.ts'
import { type Ask, type Packed, root, type SentPage, type Shape, type Special } from './protocol.ts'

/** Results that are fetched at a time while they are iterated. */
const pageMost = 256
/** Inputs that are pulled and copied to the host at a time, unless they are to be pulled one by one. */
const pullMost = 512
/** Objects within each other that are searched for handles and functions. */
const depthMax = 32

type Method = (...args: unknown[]) => unknown

interface State {
  readonly stubs: Stubs
  readonly id: number
  /** Its calls wait for the work that they begin. */
  waits: boolean
  /** Items of it that are fetched at a time: one, if somebody counts those that were taken. */
  most: number
}

const states = new WeakMap<object, State>()
const stateOf = (stub: object): State => {
  const state = states.get(stub)
  if (state === undefined) throw new TypeError('a method of a blocking client was taken off its object')
  return state
}

class Stub {}

/** Verbs whose function says which, makes a new value, or works while something is held. */
const answering = ['view', 'update', 'with']

export class Stubs implements Border {
  readonly #channel: Channel
  readonly #classes = new Map<number, new () => object>()
  readonly #shapes = new Map<number, Shape>()
  readonly #held = new Map<number, { readonly stub: WeakRef<object>; times: number }>()
  readonly #callbacks = new Map<number, Method>()
  #lastCallback = 0
  readonly #untold: (() => void)[] = []
  #isTelling = false
  /** Lets the host forget objects that nobody holds any more. */
  readonly #forgotten = new FinalizationRegistry<number>((id) => {
    const one = this.#held.get(id)
    if (one === undefined || one.stub.deref() !== undefined) return
    this.#held.delete(id)
    this.#channel.tell({ verb: 'drop', id, times: one.times })
  })
  readonly #search: Search<Special> = {
    specialOf: (value) => this.#specialOf(value),
    depthMax,
    partsMax: lookedAtMax
  }

  constructor(channel: Channel) {
    this.#channel = channel
  }

  /** Blocks. The stub of whatever the host answers with. */
  ask(ask: Ask, caller: Caller): unknown {
    return this.#channel.call(ask, this, caller)
  }

  pack(value: unknown): Packed {
    return pack(value, this.#search)
  }

  unpack(value: Packed): unknown {
    return unpack(value, (special) => this.#valueOf(special))
  }

  callback(number: number): Method | undefined {
    return this.#callbacks.get(number)
  }

  uncalled(callback: number): void {
    this.#callbacks.delete(callback)
  }

  call(stub: object, name: string, given: readonly unknown[], caller: Caller): unknown {
    const state = stateOf(stub)
    const { args, block, isExact } = read(state.id, name, given)
    const waits = block ?? state.waits
    const packed = this.#packArgs(state.id, name, args, isExact ? 1 : pullMost)
    const result = this.#told({ verb: 'call', on: state.id, name, args: packed, waits }, args, caller)
    const made = typeof result === 'object' && result !== null ? states.get(result) : undefined
    if (made !== undefined) Object.assign(made, { waits, most: isExact ? 1 : pageMost })
    return result
  }

  *iterate(stub: object, caller: Caller): Generator<unknown> {
    const { id, most } = stateOf(stub)
    const iteration = this.ask({ verb: 'iterate', on: id }, caller) as number
    let isAtEnd = false
    try {
      while (!isAtEnd) {
        const page = this.ask({ verb: 'next', iteration, most }, caller) as SentPage
        for (const value of page.values) yield this.unpack(value)
        isAtEnd = page.isDone
        if (page.error !== undefined) throw this.#channel.failure(page.error, caller)
      }
    } finally {
      if (!isAtEnd) this.ask({ verb: 'leave', iteration }, caller)
    }
  }

  /** What cannot be copied is named by the codec, which knows the path to it. */
  #told(ask: Ask, args: readonly unknown[], caller: Caller): unknown {
    try {
      return this.ask(ask, caller)
    } catch (error) {
      const refused = uncopied(error)
      if (refused === error) throw error
      for (const list of args.filter((arg) => Array.isArray(arg))) encodeArgs(list)
      throw refused
    }
  }

  #packArgs(id: number, name: string, args: readonly unknown[], pullMost: number): Packed {
    // These are told something, or give something back; all other functions are for engines.
    const isCalled = name.startsWith('on') || answering.includes(name)
    const takesInputs = id === root || name === 'map' || name === 'imap'
    const takesHandles = id === root && (name === 'wait' || name === 'asCompleted')
    const search: Search<Special> = {
      ...this.#search,
      specialOf: (value) => {
        if (!args.includes(value)) return this.#specialOf(value, pullMost)
        if (isCalled && typeof value === 'function' && !states.has(value))
          return this.#called(value as Method, name)
        if (takesInputs && (value instanceof Set || value instanceof Map))
          return this.#offered(value, pullMost)
        return this.#specialOf(value, pullMost)
      }
    }
    return pack(takesHandles ? args.map(listed) : args, search)
  }

  #called(fn: Method, name: string): Special {
    const callback = ++this.#lastCallback
    const answer: Method = name === 'view' ? (...args) => Boolean(fn(...args)) : fn
    const called: Method = answering.includes(name) ? answer : (...args) => this.#heard(() => fn(...args))
    this.#callbacks.set(callback, called)
    return { kind: 'function', name: fn.name, text: '', callback }
  }

  /** One after another, though a listener calls the mesh; and no call has to do with what a listener throws. */
  #heard(tell: () => void): void {
    this.#untold.push(tell)
    if (this.#isTelling) return
    this.#isTelling = true
    for (let next = this.#untold.shift(); next; next = this.#untold.shift()) {
      try {
        next()
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
    this.#isTelling = false
  }

  #offered(values: Iterable<unknown>, most: number): Special {
    return { kind: 'source', source: this.#channel.offer(values[Symbol.iterator]()), most }
  }

  #specialOf(value: unknown, most = pullMost): Special | undefined {
    const state = states.get(value as object)
    if (state !== undefined) return { kind: 'object', id: state.id }
    if (typeof value === 'function')
      return { kind: 'function', name: value.name, text: value.toString(), callback: undefined }
    if (isModuleFunction(value)) return { kind: 'module', file: value.file, exportName: value.exportName }
    if (isCall(value)) return { kind: 'call', parts: this.pack([value.fn, value.args, value.options]) }
    if (value instanceof CallRef) return { kind: 'ref', name: value.name }
    if (value instanceof Reference) return { kind: 'reference', name: value.name }
    if (value instanceof URL) return { kind: 'url', text: value.href }
    if (value instanceof AbortSignal) throw noSignal()
    if (typeof value !== 'object' || value === null || !isSource(value)) return undefined
    return this.#offered(value, most)
  }

  #valueOf(special: Special): unknown {
    switch (special.kind) {
      case 'handed':
        return this.#stub(special)
      case 'error':
        return unpackError(special.error)
      default:
        throw new Error(`the host sent a ${special.kind}`)
    }
  }

  #stub({ id, shape: number, described, constants }: Extract<Special, { kind: 'handed' }>): object {
    if (described !== undefined) this.#shapes.set(number, described)
    const known = this.#held.get(id)
    const before = known?.stub.deref()
    const times = (known?.times ?? 0) + 1
    const stub = before ?? this.#make(id, number, constants)
    this.#held.set(id, {
      stub: before === undefined ? new WeakRef(stub) : (known?.stub as WeakRef<object>),
      times
    })
    return stub
  }

  #make(id: number, number: number, constants: object): object {
    const shape = this.#shapes.get(number) as Shape
    const kind = this.#classes.get(number) ?? classOf(shape)
    this.#classes.set(number, kind)
    const stub: object = shape.isFunction ? functionStub(this) : Object.assign(new kind(), constants)
    states.set(stub, { stubs: this, id, waits: true, most: pageMost })
    this.#forgotten.register(stub, id)
    return stub
  }
}

function functionStub(stubs: Stubs): Method {
  const stub: Method = (...args) => stubs.call(stub, '', args, stub)
  return stub
}

function classOf({ name, methods, fields, isIterable }: Shape): new () => object {
  const made = class extends Stub {}
  Object.defineProperty(made, 'name', { value: name })
  const define = (key: string | symbol, property: PropertyDescriptor): unknown =>
    Object.defineProperty(made.prototype, key, { configurable: true, ...property })
  for (const method of methods) {
    const value = {
      [method](this: object, ...args: unknown[]): unknown {
        return stateOf(this).stubs.call(this, method, args, value as Caller)
      }
    }[method]
    define(method, { value, writable: true })
  }
  for (const field of fields) {
    const get = function (this: object): unknown {
      const { stubs, id } = stateOf(this)
      return stubs.ask({ verb: 'read', on: id, name: field }, get)
    }
    // A constant is put in its place.
    const set = function (this: object, value: unknown): void {
      Object.defineProperty(this, field, { value, enumerable: true })
    }
    define(field, { get, set })
  }
  if (isIterable) {
    const value = function (this: object): Iterator<unknown> {
      return stateOf(this).stubs.iterate(this, value)
    }
    define(Symbol.iterator, { value })
  }
  return made
}

interface Given {
  readonly args: readonly unknown[]
  readonly block: boolean | undefined
  readonly isExact: boolean
}

/** Of the verbs of the client, the last argument may say `block`; of the calls of a graph, one may be called so. */
function read(id: number, name: string, args: readonly unknown[]): Given {
  const last = args.at(-1)
  const options = (typeof last === 'object' && last !== null ? last : {}) as Record<string, unknown>
  const isExact = options.inFlightMax !== undefined || name === 'imap'
  const isData = name === 'graph' && args.length === 1
  if (id !== root || isData || !('block' in options)) return { args, block: undefined, isExact }
  const { block, ...rest } = options as { readonly block: boolean | undefined }
  if (block !== undefined) truth('block', block)
  return { args: [...args.slice(0, -1), rest], block, isExact }
}

const listed = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && Symbol.iterator in value
    ? [...(value as Iterable<unknown>)]
    : value

/** Iterables that are no data. */
function isSource(value: object): value is Iterable<unknown> {
  if (Symbol.asyncIterator in value) throw badOption('an async iterable needs the asynchronous client')
  if (!(Symbol.iterator in value)) return false
  const isData =
    Array.isArray(value) || ArrayBuffer.isView(value) || value instanceof Set || value instanceof Map
  return !isData
}

export const noSignal = (): ShoalError =>
  badOption('`signal` cannot end a call that blocks; use `timeout`, or `block: false`')

function badOption(text: string): ShoalError {
  return new ShoalError('SHOAL_BAD_OPTION', text)
}
