/**
 * Parsing at the edge: a type says what a message holds, how much of it at most, and how it travels.
 *
 * Not here: which messages there are (routing/messages.ts, tasks/messages.ts, client/protocol.ts). CBOR (RFC 8949) is the
 * encoding, by a library; a record travels as the list of its fields, in the order of its type, which is append only.
 * Past `parse` nobody checks for missing fields: a value has the stated type, or SHOAL_BAD_MESSAGE was thrown.
 */
import { decode, encode, encodeInto } from 'cborg'
import { ShoalError } from './errors.ts'

export interface Type<T> {
  /** Returns the decoded value typed, or throws SHOAL_BAD_MESSAGE. With an empty `path` the error does not say where. */
  check(value: unknown, path: string): T
  /** What travels instead of the value. */
  plain(value: T): unknown
  /** What it is made of: the fields of a record, the type of a list's items. For tests, which make samples of it. */
  // biome-ignore lint/suspicious/noExplicitAny: a type used as both input and output cannot be widened to unknown.
  readonly parts?: Fields | Type<any>
}
// biome-ignore lint/suspicious/noExplicitAny: a type used as both input and output cannot be widened to unknown.
export type Fields = Readonly<Record<string, Type<any>>>
export type Of<C> = C extends Type<infer T> ? T : never
export type Shape<F extends Fields> = { readonly [K in keyof F]: Of<F[K]> }

function bad(path: string, expected: string): never {
  const message = `expected ${expected} at ${path}; the sender runs another version, or is broken`
  throw new ShoalError('SHOAL_BAD_MESSAGE', message)
}

function leaf<T>(expected: string, is: (value: unknown) => boolean): Type<T> {
  return {
    check: (value, path) => (is(value) ? (value as T) : bad(path, expected)),
    plain: (value) => value
  }
}

export function text<T extends string = string>(max: number, is?: (text: string) => text is T): Type<T> {
  return leaf(
    `a string of at most ${max}`,
    (v) => typeof v === 'string' && v.length <= max && (is?.(v) ?? true)
  )
}

export function uint(max = Number.MAX_SAFE_INTEGER): Type<number> {
  return leaf(
    `an integer from 0 to ${max}`,
    (v) => Number.isSafeInteger(v) && (v as number) >= 0 && (v as number) <= max
  )
}

export const finite: Type<number> = leaf('a number', (v) => Number.isFinite(v))
export const flag: Type<boolean> = leaf('a boolean', (v) => typeof v === 'boolean')

/** A field that older senders and older disks do not have: missing, it reads as `otherwise`. Last fields of a record only. */
export function added<T>(type: Type<T>, otherwise: T): Type<T> {
  return {
    check: (value, path) => (value === undefined ? otherwise : type.check(value, path)),
    plain: (value) => type.plain(value),
    ...(type.parts === undefined ? {} : { parts: type.parts })
  }
}

export function bytes(max: number): Type<Uint8Array> {
  return leaf(`at most ${max} bytes`, (v) => v instanceof Uint8Array && v.byteLength <= max)
}

export function list<T>(of: Type<T>, max: number): Type<readonly T[]> {
  return {
    check: (value, path) =>
      Array.isArray(value) && value.length <= max
        ? value.map((item, i) => of.check(item, path === '' ? '' : `${path}[${i}]`))
        : bad(path, `a list of at most ${max}`),
    plain: (values) => values.map((value) => of.plain(value)),
    parts: of
  }
}

export function record<F extends Fields>(fields: F): Type<Shape<F>> {
  const entries = Object.entries(fields)
  return {
    check: (value, path) => fill({}, entries, value, path) as Shape<F>,
    plain: (value) => entries.map(([name, type]) => type.plain(value[name as keyof F])),
    parts: fields
  }
}

/** Into `result`, which becomes a record of these fields. */
function fill(
  result: Record<string, unknown>,
  entries: readonly (readonly [string, Type<unknown>])[],
  value: unknown,
  path: string
): Record<string, unknown> {
  if (!Array.isArray(value)) return bad(path, 'a list of fields')
  for (let i = 0; i < entries.length; i++) {
    const [name, type] = entries[i] as [string, Type<unknown>]
    result[name] = type.check(value[i], path === '' ? '' : `${path}.${name}`)
  }
  return result
}

/** Numbers as unsigned 32 bit, little endian. */
export function indexes(max: number): Type<Uint32Array> {
  return {
    check: (value, path) =>
      value instanceof Uint8Array && value.byteLength % 4 === 0 && value.byteLength <= 4 * max
        ? new Uint32Array(value.slice().buffer)
        : bad(path, `at most ${max} packed numbers`),
    plain: (value) => new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  }
}

/** Bytes that are no message of ours, and what can be read of them all the same: whoever said it is told what it was. */
export class UnreadableError extends ShoalError {
  /** At most 32 characters; empty if not even that can be read. */
  readonly kind: string
  /** Fields of a known kind, and of the records in it, that are as they must be. Of two of one name the last. */
  readonly fields: Readonly<Record<string, unknown>>

  constructor(message: string, kind: unknown, fields: Readonly<Record<string, unknown>> = {}) {
    super('SHOAL_BAD_MESSAGE', message)
    this.kind = typeof kind === 'string' ? kind.slice(0, 32) : ''
    this.fields = fields
  }
}

function readable(fields: Fields, body: unknown, found: Record<string, unknown> = {}) {
  for (const [at, [name, type]] of Object.entries(fields).entries()) {
    const value = Array.isArray(body) ? body[at] : undefined
    if (type.parts === undefined) {
      try {
        found[name] = type.check(value, name)
      } catch {
        // Another one of this name may be sound.
      }
    } else if (typeof type.parts.check !== 'function') readable(type.parts as Fields, value, found)
  }
  return found
}

/** A union of messages: `kind`, and the fields of that kind. */
export interface Codec<M> {
  encode(message: M): Uint8Array
  /** Throws SHOAL_BAD_MESSAGE, as an `UnreadableError`, for any bytes that are no such message. */
  parse(bytes: Uint8Array): M
  readonly kinds: Kinds
}

export type Kinds = Readonly<Record<string, Fields>>
export type MessageOf<S extends Kinds> = { [K in keyof S]: { readonly kind: K } & Shape<S[K]> }[keyof S]

export function codec<S extends Kinds>(kinds: S): Codec<MessageOf<S>> {
  const types = new Map(
    Object.entries(kinds).map(([kind, fields]) => [
      kind,
      { kind, ...record(fields), entries: Object.entries(fields) }
    ])
  )
  return {
    kinds,
    encode: (message) => {
      const { kind } = message as { kind: string }
      const type = types.get(kind)
      if (type === undefined) throw new Error(`no type for ${kind}`)
      return bytesOf([kind, type.plain(message as never)])
    },
    parse: (input) => {
      const value = decoded(input)
      const [kind, body] = Array.isArray(value) ? value : []
      const type = typeof kind === 'string' ? types.get(kind) : undefined
      if (type === undefined) {
        const shown = typeof kind === 'string' ? kind.slice(0, 40) : typeof kind
        throw new UnreadableError(`unknown kind of message: ${shown}`, kind)
      }
      // With our own text for its kind, which is compared by identity wherever it goes.
      const read = (path: string): MessageOf<S> =>
        fill({ kind: type.kind }, type.entries, body, path) as MessageOf<S>
      try {
        return read('')
      } catch {
        // Only what is wrong is read again, to say where.
      }
      try {
        return read(kind)
      } catch (error) {
        const { message } = error as Error
        throw new UnreadableError(message, kind, readable(kinds[kind] as Fields, body))
      }
    }
  }
}

function decoded(input: Uint8Array): unknown {
  try {
    return decode(input)
  } catch {
    throw new UnreadableError('these bytes are no message of ours', '')
  }
}

/** Most messages are small: they are written here and copied, instead of being joined from pieces. */
const scratch = new Uint8Array(16 << 10)

function bytesOf(value: unknown): Uint8Array {
  try {
    return scratch.slice(0, encodeInto(value, scratch).written)
  } catch {
    return encode(value)
  }
}
