/**
 * Objects of the asynchronous client that a blocked caller holds: each has a number there, and a description of what it can do.
 *
 * Not here: what the caller makes of a description (stubs.ts), and the calls (host.ts).
 * Nothing names a verb: what an object can do is read off the object, so that no verb can be forgotten.
 */
import { CompositeError, ShoalError, TaskError } from '../../errors.ts'
import type { Search } from '../gaps.ts'
import { packError } from './failures.ts'
import type { Shape, Special } from './protocol.ts'

/** Read once, since they never change and are wanted after the client was closed, too. */
const constantNames = ['id', 'name'] as const
/** A blocked caller has no use for these. */
const hidden = ['constructor', 'then', 'catch', 'finally']

interface Held {
  readonly object: object
  /** How often it was handed out: a caller that lets go of it may not have met the last time yet. */
  times: number
}

export class Objects {
  readonly #held = new Map<number, Held>()
  readonly #ids = new Map<object, number>()
  /** By what their objects inherit from, or by themselves if that is nothing. */
  readonly #shapes = new Map<object | string, number>()
  #lastId = -1

  /** How answers are packed: lists and objects that the client makes of objects are at most so deep. */
  readonly search: Search<Special> = {
    specialOf: (value) => this.#specialOf(value as object),
    depthMax: 3,
    partsMax: Number.POSITIVE_INFINITY
  }

  at(id: number): object {
    const one = this.#held.get(id)
    if (one === undefined) throw new ShoalError('SHOAL_CLOSED', 'this handle was let go')
    return one.object
  }

  drop(id: number, times: number): void {
    const one = this.#held.get(id)
    if (one === undefined || one.times > times) return
    this.#held.delete(id)
    this.#ids.delete(one.object)
  }

  #specialOf(value: object): Special | undefined {
    if (value instanceof ShoalError || value instanceof TaskError || value instanceof CompositeError)
      return { kind: 'error', error: packError(value) }
    return isOwn(value) ? this.#hand(value) : undefined
  }

  #hand(object: object): Special {
    const id = this.#ids.get(object) ?? ++this.#lastId
    const one = this.#held.get(id) ?? { object, times: 0 }
    one.times++
    this.#ids.set(object, id)
    this.#held.set(id, one)
    const prototype = Object.getPrototypeOf(object) as object
    const kind = prototype === Object.prototype ? JSON.stringify(shapeOf(object)) : prototype
    const known = this.#shapes.get(kind)
    const shape = known ?? this.#shapes.size
    this.#shapes.set(kind, shape)
    const fields = object as Record<string, unknown>
    const constants = Object.fromEntries(
      constantNames.flatMap((name) => (typeof fields[name] === 'string' ? [[name, fields[name]]] : []))
    )
    return {
      kind: 'handed',
      id,
      shape,
      described: known === undefined ? shapeOf(object) : undefined,
      constants
    }
  }
}

/** Everything else than what v8 makes by itself: values of users come from its codec, so none of them is. */
function isOwn(value: object): boolean {
  if (typeof value === 'function') return true
  const kind = Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null
  const name = kind?.constructor?.name
  if (kind === null || name === undefined) return kind !== null
  const isBuiltIn = (globalThis as Record<string, unknown>)[name] === kind.constructor
  // An iterator may be written as an object.
  return !isBuiltIn || Symbol.asyncIterator in value
}

export function shapeOf(object: object): Shape {
  const isFunction = typeof object === 'function'
  const methods = new Set<string>()
  const fields = new Set<string>()
  for (let at = object; !isFunction && isDescribed(at); at = Object.getPrototypeOf(at) as object) {
    for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (hidden.includes(name) || methods.has(name) || fields.has(name)) continue
      if (get === undefined && typeof value === 'function') methods.add(name)
      else fields.add(name)
    }
  }
  return {
    name: object.constructor.name,
    methods: [...methods],
    fields: [...fields],
    isIterable: Symbol.asyncIterator in object,
    isFunction
  }
}

const isDescribed = (object: object | null): boolean => object !== null && object !== Object.prototype
