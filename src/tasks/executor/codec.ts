/**
 * User values as bytes and back: arguments on their way to a task, results on their way home.
 *
 * Not here: failures (failure.ts), and how values are packed with others (batch.ts).
 * Most values of fine-grained work are one number or string, so these cost a tag and their bytes; the rest is V8's own format.
 */
import { Buffer } from 'node:buffer'
import { types } from 'node:util'
import { DefaultDeserializer, DefaultSerializer } from 'node:v8'
import { closeEnvelope, openEnvelope, refsMax } from '../../data/envelope.ts'
import { idOf, idsWithin, refMark, replaceRefs } from '../../data/ref.ts'
import { explainError, ShoalError } from '../../errors.ts'
import type { DataId } from '../../ids.ts'
import { areAlone, giveUp, takeMemory, worthBytes } from '../../spent.ts'
import {
  type Aggregates,
  aggregatesWithin,
  mayAggregate,
  readAggregates,
  writeAggregates
} from './aggregates.ts'
import { noteInstances } from './instances.ts'

/** Larger values are refused with SHOAL_BAD_VALUE. */
export const valueBytesMax = 64 * 1024 * 1024

/** The first byte. `none` occurs for arguments only; a lone argument of a plain kind is written as that value. */
const TAG = {
  undefined: 0,
  null: 1,
  true: 2,
  false: 3,
  number: 4,
  string: 5,
  bytes: 6,
  v8: 7,
  none: 8
} as const

const NUMBER_BYTES = 8
/** Nodes of a value that are looked at in search of the one that cannot travel. */
const suspectsMax = 100_000

const scratch = new DataView(new ArrayBuffer(NUMBER_BYTES))
const scratchBytes = new Uint8Array(scratch.buffer)
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Throws SHOAL_BAD_VALUE that names the place in the value, which begins with `path`. O(bytes). */
export function encodeValue(value: unknown, path = 'value'): Uint8Array {
  return limited(encodePlain(value) ?? serialize(value, path), path)
}

/** The bytes of data that a value names, in memory that is given up (spent.ts) once they are read. */
export type ReadData = (id: DataId) => Uint8Array

/**
 * Throws SHOAL_BAD_VALUE on bytes that are no value. Shares no memory with `bytes`. With `read`, refs inside become the bytes
 * that they name.
 */
export function decodeValue(bytes: Uint8Array, read?: ReadData): unknown {
  const envelope = openEnvelope(bytes)
  if (envelope === undefined) return decodePlain(bytes)
  if (envelope.kind === 'far') {
    if (read === undefined) throw malformed('it lies elsewhere')
    const inner = read(envelope.ids[0] as DataId)
    const value = openEnvelope(inner)?.kind === 'far' ? decodePlain(inner) : decodeValue(inner, read)
    giveUp(inner)
    return value
  }
  const value = decodePlain(envelope.inner)
  return read === undefined ? value : replaceRefs(value, (ref) => ownOf(read(idOf(ref))))
}

/** Users look at the memory of what they get, too. */
function ownOf(bytes: Uint8Array): Uint8Array {
  if (areAlone(bytes)) return new Uint8Array(bytes.buffer)
  const own = new Uint8Array(bytes)
  giveUp(bytes)
  return own
}

function decodePlain(bytes: Uint8Array): unknown {
  const tag = bytes[0]
  switch (tag) {
    case TAG.undefined:
      return undefined
    case TAG.null:
      return null
    case TAG.true:
      return true
    case TAG.false:
      return false
    case TAG.number:
      return decodeNumber(bytes)
    case TAG.string:
      return decodeString(bytes)
    case TAG.bytes:
      return new Uint8Array(bytes.subarray(1))
    case TAG.v8:
      return readV8(bytes.subarray(1))
    default:
      throw malformed(tag === undefined ? 'there are no bytes' : `the first byte is ${tag}`)
  }
}

/** The arguments of one call. Errors name places like `args[0].rows[2]`. */
export function encodeArgs(args: readonly unknown[], path = 'args'): Uint8Array {
  if (args.length === 0) return Uint8Array.of(TAG.none)
  const only = args.length === 1 ? encodePlain(args[0]) : undefined
  return limited(only ?? serialize(args, path), path)
}

/** Throws SHOAL_BAD_VALUE on bytes that are no arguments. Shares no memory with `bytes`. */
export function decodeArgs(bytes: Uint8Array, read?: ReadData): unknown[] {
  const envelope = openEnvelope(bytes)
  if (envelope?.kind === 'far' && read !== undefined) {
    const inner = read(envelope.ids[0] as DataId)
    if (openEnvelope(inner)?.kind !== 'far') {
      const args = decodeArgs(inner, read)
      giveUp(inner)
      return args
    }
  }
  const tag = envelope?.kind === 'naming' ? envelope.inner[0] : bytes[0]
  if (tag === TAG.none) return []
  const value = decodeValue(bytes, read)
  if (tag !== TAG.v8) return [value]
  if (!Array.isArray(value)) throw malformed('the arguments are no array')
  return value
}

/** `undefined` if the value has no short form. */
function encodePlain(value: unknown): Uint8Array | undefined {
  switch (typeof value) {
    case 'number':
      return encodeNumber(value)
    case 'string':
      // UTF-8 would turn half a surrogate pair into a question mark; V8's format keeps it.
      return value.isWellFormed() ? encodeString(value) : undefined
    case 'undefined':
      return Uint8Array.of(TAG.undefined)
    case 'boolean':
      return Uint8Array.of(value ? TAG.true : TAG.false)
    case 'object':
      if (value === null) return Uint8Array.of(TAG.null)
      // A Buffer is a Uint8Array too, and is to arrive as a Buffer.
      if (Object.getPrototypeOf(value) === Uint8Array.prototype) return encodeBytes(value as Uint8Array)
      return undefined
    default:
      return undefined
  }
}

function encodeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(1 + NUMBER_BYTES)
  bytes[0] = TAG.number
  scratch.setFloat64(0, value, true)
  // A loop, as a view on so small an array would first have to move it off the heap.
  for (let i = 0; i < NUMBER_BYTES; i++) bytes[1 + i] = scratchBytes[i] as number
  return bytes
}

function encodeString(value: string): Uint8Array {
  const text = encoder.encode(value)
  const bytes = new Uint8Array(1 + text.byteLength)
  bytes[0] = TAG.string
  bytes.set(text, 1)
  return bytes
}

function encodeBytes(value: Uint8Array): Uint8Array {
  const size = 1 + value.byteLength
  const bytes = size < worthBytes ? new Uint8Array(size) : takeMemory(size)
  bytes[0] = TAG.bytes
  bytes.set(value, 1)
  return bytes
}

function decodeNumber(bytes: Uint8Array): number {
  if (bytes.byteLength !== 1 + NUMBER_BYTES) throw malformed(`a number of ${bytes.byteLength} bytes`)
  for (let i = 0; i < NUMBER_BYTES; i++) scratchBytes[i] = bytes[1 + i] as number
  return scratch.getFloat64(0, true)
}

function decodeString(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes.subarray(1))
  } catch (cause) {
    throw malformed('the text is not UTF-8', cause)
  }
}

function serialize(value: unknown, path: string): Uint8Array {
  try {
    let bytes = written(value)
    if (mayAggregate(bytes)) bytes = written(value, aggregatesWithin(value))
    const ids = bytes.includes(refMark, 0, 'latin1') ? idsWithin(value) : []
    if (ids.length > 0) return naming(ids, bytes, path)
    noteInstances(value, path)
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  } catch (cause) {
    if (cause instanceof ShoalError) throw cause
    throw new ShoalError('SHOAL_BAD_VALUE', whyRefused(value, path, cause), { cause })
  }
}

function written(value: unknown, aggregates: Aggregates = []): Buffer {
  const serializer = new DefaultSerializer()
  serializer.writeRawBytes(Uint8Array.of(TAG.v8))
  serializer.writeHeader()
  serializer.writeValue(value)
  if (aggregates.length > 0) writeAggregates(serializer, aggregates)
  return serializer.releaseBuffer()
}

function naming(ids: readonly DataId[], inner: Uint8Array, path: string): Uint8Array {
  if (ids.length <= refsMax) return closeEnvelope({ kind: 'naming', ids, inner })
  const advice = 'put what belongs together into one'
  throw new ShoalError('SHOAL_BAD_VALUE', `${path} has ${ids.length} refs, ${refsMax} are allowed; ${advice}`)
}

/** What stands behind the tag of a value that has no shorter form. Throws SHOAL_BAD_VALUE. */
export function readV8(bytes: Uint8Array): unknown {
  try {
    const reader = new Reader(bytes)
    reader.readHeader()
    const value: unknown = reader.readValue()
    readAggregates(reader, bytes)
    return value
  } catch (cause) {
    throw malformed(isOfDepth(cause) ? 'it is nested too deeply' : 'V8 cannot read it', cause)
  }
}

type HostReader = { _readHostObject(this: DefaultDeserializer): NodeJS.ArrayBufferView }
const readView = (DefaultDeserializer.prototype as unknown as HostReader)._readHostObject

/** Node's reader returns typed arrays as windows on its input; a task would see its neighbours through `.buffer`. */
class Reader extends DefaultDeserializer {
  _readHostObject(): NodeJS.ArrayBufferView {
    const view = readView.call(this)
    if (Buffer.isBuffer(view)) return Buffer.from(view)
    if (!(view instanceof DataView)) return view.slice()
    return new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
  }
}

function limited(bytes: Uint8Array, path: string): Uint8Array {
  if (bytes.byteLength <= valueBytesMax) return bytes
  const message = `${path} takes ${bytes.byteLength} bytes, more than the limit of ${valueBytesMax}; put it as data, and send its Ref`
  throw new ShoalError('SHOAL_BAD_VALUE', message)
}

function malformed(why: string, cause?: unknown): ShoalError {
  return new ShoalError('SHOAL_BAD_VALUE', `these bytes are no value: ${why}`, { cause })
}

interface Suspect {
  readonly value: unknown
  readonly path: string
}

/** Finds the part that cannot travel. Runs after a failure only, so that success costs no walk. */
function whyRefused(value: unknown, path: string, cause: unknown): string {
  const suspects: Suspect[] = [{ value, path }]
  const seen = new Set<unknown>()
  try {
    for (let suspect = suspects.pop(); suspect && seen.size < suspectsMax; suspect = suspects.pop()) {
      const guilt = guiltOf(suspect)
      if (guilt) return `${suspect.path} is ${guilt} and cannot travel; send data only`
      if (typeof suspect.value !== 'object' || suspect.value === null || seen.has(suspect.value)) continue
      seen.add(suspect.value)
      // Reversed, so that the part named is the first one in the order of the value.
      suspects.push(...partsOf(suspect.value, suspect.path).reverse())
    }
  } catch (error) {
    if (error instanceof UnreadableError) return error.message
    // A proxy threw, or so: V8 met the same and says it in `cause`.
  }
  if (isOfDepth(cause)) return `${path} is nested too deeply to travel; send what it holds as a flat list`
  return `${path} cannot travel: ${cause instanceof Error ? cause.message : String(cause)}`
}

/** Of the stack: V8 goes down one call for each level. */
const isOfDepth = (cause: unknown): boolean => cause instanceof RangeError && /call stack/.test(cause.message)

function guiltOf({ value, path }: Suspect): string | undefined {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'symbol') return 'a symbol'
  if (types.isProxy(value)) return 'a Proxy'
  if (types.isArgumentsObject(value)) return 'an arguments object'
  if (typeof value !== 'object' || value === null || partsOf(value, path).length > 0) return undefined
  try {
    const serializer = new DefaultSerializer()
    serializer.writeHeader()
    serializer.writeValue(value)
    return undefined
  } catch {
    if (value instanceof ArrayBuffer && value.detached) return 'a detached ArrayBuffer'
    // Those of generators have no constructor with a name.
    const name = value.constructor?.name || Object.prototype.toString.call(value).slice('[object '.length, -1)
    return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`
  }
}

function partsOf(value: object, path: string): Suspect[] {
  if (ArrayBuffer.isView(value)) return []
  if (Array.isArray(value)) return value.map((item, i) => ({ value: item, path: `${path}[${i}]` }))
  if (value instanceof Set) return [...value].map((item, i) => ({ value: item, path: `[...${path}][${i}]` }))
  if (value instanceof Map) {
    return [...value].flatMap(([key, item], i) => [
      { value: key, path: `[...${path}.keys()][${i}]` },
      { value: item, path: `${path}.get(${typeof key === 'string' ? JSON.stringify(key) : String(key)})` }
    ])
  }
  // Of its fields, these are the only ones that an error takes along.
  const ofError = value instanceof AggregateError ? ['cause', 'errors'] : ['cause']
  const keys = types.isNativeError(value) ? ofError : Object.keys(value)
  return keys.map((key) => partOf(value as Record<string, unknown>, key, path + accessor(key)))
}

/** A getter may throw anything. */
class UnreadableError extends Error {}

function partOf(whole: Readonly<Record<string, unknown>>, key: string, path: string): Suspect {
  try {
    return { value: whole[key], path }
  } catch (error) {
    throw new UnreadableError(`${path} cannot be read: ${explainError(error)}`)
  }
}

/** A place as people write it, like `args[0].rows[2]`. */
export const placeOf = (of: string, path: readonly (string | number)[]): string =>
  of + path.map((step) => (typeof step === 'number' ? `[${step}]` : accessor(step))).join('')

function accessor(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}
