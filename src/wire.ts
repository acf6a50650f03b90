/**
 * Parsing at the edge: a schema says what a message holds, how much of it at most, and gives its type.
 *
 * Not here: which messages there are (tasks/messages.ts). CBOR (RFC 8949) is the encoding, by a library.
 * Past `parse` nobody checks for missing fields: a value is either of the schema's type, or SHOAL_BAD_MESSAGE was thrown.
 */
import { decode, encode } from 'cborg'
import { ShoalError } from './errors.ts'
import { isSound, type Batch } from './tasks/batch.ts'

/** Checks one decoded value and returns it typed, or throws SHOAL_BAD_MESSAGE. */
export type Check<T> = (value: unknown, path: string) => T
export type Checked<C> = C extends Check<infer T> ? T : never
export type Fields = Readonly<Record<string, Check<unknown>>>
export type Shape<F extends Fields> = { readonly [K in keyof F]: Checked<F[K]> }

function bad(path: string, expected: string): never {
  throw new ShoalError('SHOAL_BAD_MESSAGE', `expected ${expected} at ${path}; the sender runs another version, or is broken`)
}

export const text =
  <T extends string = string>(max: number, is?: (text: string) => text is T): Check<T> =>
  (value, path) =>
    typeof value === 'string' && value.length <= max && (is === undefined || is(value)) ? (value as T) : bad(path, `a string of at most ${max}`)

export const uint =
  (max = Number.MAX_SAFE_INTEGER): Check<number> =>
  (value, path) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : bad(path, `an integer from 0 to ${max}`)

export const finite: Check<number> = (value, path) => (typeof value === 'number' && Number.isFinite(value) ? value : bad(path, 'a number'))

export const bytes =
  (max: number): Check<Uint8Array> =>
  (value, path) =>
    value instanceof Uint8Array && value.byteLength <= max ? value : bad(path, `at most ${max} bytes`)

export const list =
  <T>(of: Check<T>, max: number): Check<readonly T[]> =>
  (value, path) =>
    Array.isArray(value) && value.length <= max ? value.map((item, i) => of(item, `${path}[${i}]`)) : bad(path, `a list of at most ${max}`)

/** Fields travel as an array in the order of the schema: append new ones at the end, as `optional`. */
export function record<F extends Fields>(fields: F): Check<Shape<F>> {
  const entries = Object.entries(fields)
  return (value, path) => {
    if (!Array.isArray(value)) return bad(path, 'a list of fields')
    const result: Record<string, unknown> = {}
    for (let i = 0; i < entries.length; i++) {
      const [name, check] = entries[i] as [string, Check<unknown>]
      result[name] = check(value[i], `${path}.${name}`)
    }
    return result as Shape<F>
  }
}

/** Numbers as unsigned 32 bit, little endian. */
export const indexes =
  (max: number): Check<Uint32Array> =>
  (value, path) =>
    value instanceof Uint8Array && value.byteLength % 4 === 0 && value.byteLength <= 4 * max
      ? new Uint32Array(value.slice().buffer)
      : bad(path, `at most ${max} packed numbers`)

const batchParts = record({ node: text(128), indexes: indexes(65_536), ends: indexes(65_536), body: bytes(64 << 20) })
export const batch: Check<Batch> = (value, path) => {
  const parts = batchParts(value, path) as Batch
  return isSound(parts, 65_536) ? parts : bad(path, 'a sound batch')
}

/** Turns a value into what `encode` takes: records to lists in the order of their own fields, number arrays to bytes. */
export function flatten(value: unknown): unknown {
  if (value === undefined) return null
  if (value instanceof Uint32Array) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value
  return Array.isArray(value) ? value.map(flatten) : Object.values(value).map(flatten)
}

/** A union of messages: `kind` and the schema of its fields. */
export interface Codec<M> {
  encode(message: M): Uint8Array
  /** Throws SHOAL_BAD_MESSAGE for any bytes that are no such message. */
  parse(bytes: Uint8Array): M
}

export type MessageOf<S extends Readonly<Record<string, Fields>>> = { [K in keyof S]: { readonly kind: K } & Shape<S[K]> }[keyof S]

export function codec<S extends Readonly<Record<string, Fields>>>(schemas: S): Codec<MessageOf<S>> {
  const names = new Map(Object.entries(schemas).map(([kind, fields]) => [kind, { fields: Object.keys(fields), check: record(fields) }]))
  return {
    encode: (message) => {
      const { kind, ...body } = message as { kind: string } & Record<string, unknown>
      const schema = names.get(kind)
      if (schema === undefined) throw new Error(`no schema for ${kind}`)
      return encode([kind, ...schema.fields.map((name) => flatten(body[name]))])
    },
    parse: (input) => {
      let value: unknown
      try {
        value = decode(input)
      } catch (cause) {
        throw new ShoalError('SHOAL_BAD_MESSAGE', 'these bytes are no message of ours', { cause })
      }
      const [kind, ...body] = Array.isArray(value) ? value : []
      const schema = typeof kind === 'string' ? names.get(kind) : undefined
      if (schema === undefined) throw new ShoalError('SHOAL_BAD_MESSAGE', `unknown kind of message: ${String(kind).slice(0, 40)}`)
      return { kind, ...schema.check(body, String(kind)) } as MessageOf<S>
    }
  }
}
