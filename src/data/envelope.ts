/**
 * How an encoded value says which data it needs, so that nodes in between know it without reading the value.
 *
 * Not here: the value itself (tasks/executor/codec.ts), and what the names are good for (guard.ts).
 * A value that names data begins with one of two tags, then the names as text: the length in two bytes, little endian, and
 * the ids with blanks between them. Behind `naming` the value follows. After `far` nothing follows: the first name is where
 * the encoded value lies.
 */
import { fromString } from 'uint8arrays/from-string'
import { toString as toText } from 'uint8arrays/to-string'
import { type DataId, isDataId } from '../ids.ts'

/** First bytes of a value. The codec uses those below 16 for values that name nothing. */
export const NAMING = 16
export const FAR = 17

/** Refs in one value; more are refused with SHOAL_BAD_VALUE. */
export const refsMax = 512
/** An encoded value that takes more travels as data, and only its name with the task. */
export const inlineBytesMax = 64 * 1024
const lengthBytes = 2

export interface Envelope {
  readonly kind: 'naming' | 'far'
  /** What must be there to read the value; of a far value, the first is the value. */
  readonly ids: readonly DataId[]
  /** The encoded value; empty if it is far. */
  readonly inner: Uint8Array
}

export const namesData = (first: number | undefined): boolean => first === NAMING || first === FAR

/** `undefined` for values that name no data, and for what is malformed. */
export function openEnvelope(value: Uint8Array): Envelope | undefined {
  const tag = value[0]
  if (!namesData(tag) || value.byteLength < 1 + lengthBytes) return undefined
  const end = 1 + lengthBytes + ((value[1] as number) | ((value[2] as number) << 8))
  if (end > value.byteLength) return undefined
  const ids = toText(value.subarray(1 + lengthBytes, end), 'ascii').split(' ')
  if (!ids.every(isDataId)) return undefined
  return { kind: tag === FAR ? 'far' : 'naming', ids, inner: value.subarray(end) }
}

export function closeEnvelope({ kind, ids, inner }: Envelope): Uint8Array {
  const names = fromString(ids.join(' '), 'ascii')
  const value = new Uint8Array(1 + lengthBytes + names.byteLength + inner.byteLength)
  value[0] = kind === 'far' ? FAR : NAMING
  value[1] = names.byteLength & 0xff
  value[2] = names.byteLength >>> 8
  value.set(names, 1 + lengthBytes)
  value.set(inner, 1 + lengthBytes + names.byteLength)
  return value
}

/** What must be there to read the value. */
export const idsIn = (value: Uint8Array): readonly DataId[] => openEnvelope(value)?.ids ?? []
