/**
 * Errors of AggregateErrors within values, which V8's format leaves behind.
 *
 * Not here: the format itself (codec.ts), copies between threads (client/sync/crossing.ts), and what is thrown (failure.ts).
 * They follow the value as a second one in the same bytes, in which the first one's objects are named and not repeated. Who
 * knows nothing of that reads the value alone.
 */
import { types } from 'node:util'
import type { DefaultDeserializer, DefaultSerializer } from 'node:v8'

/** The last bytes, if something follows. */
const mark = Buffer.from('shoalErrors')
/** Of an AggregateError, V8 writes the stack, which begins with this: in one byte for each character, or in two. */
const hint = 'AggregateError'

/** Whether a look through the value may be worth it. */
export const mayAggregate = (bytes: Buffer): boolean =>
  bytes.includes(hint, 0, 'latin1') || bytes.includes(hint, 0, 'utf16le')

/** Each with its errors. */
export type Aggregates = readonly (readonly [Error, readonly unknown[]])[]

/** All within a value. */
export function aggregatesWithin(value: unknown): Aggregates {
  const found: [Error, unknown[]][] = []
  const met = new Set<unknown>()
  const todo = [value]
  while (todo.length > 0) {
    const part = todo.pop()
    if (typeof part !== 'object' || part === null || ArrayBuffer.isView(part) || met.has(part)) continue
    met.add(part)
    if (part instanceof AggregateError && Array.isArray(part.errors)) found.push([part, part.errors])
    for (const inner of partsOf(part)) todo.push(inner)
  }
  return found
}

function partsOf(whole: object): Iterable<unknown> {
  // A long list of numbers is gone through quickly.
  if (Array.isArray(whole)) return whole.filter((part) => typeof part === 'object')
  if (whole instanceof Map) return [...whole].flat(1)
  if (whole instanceof Set) return whole
  if (types.isNativeError(whole)) return [whole.cause, (whole as Partial<AggregateError>).errors]
  return Object.values(whole)
}

export function writeAggregates(serializer: DefaultSerializer, found: Aggregates): void {
  serializer.writeValue(found)
  serializer.writeRawBytes(mark)
}

/** Gives the aggregates of a value that was just read their errors. Bytes of others may end in the same way. */
export function readAggregates(reader: DefaultDeserializer, bytes: Uint8Array): void {
  if (!mark.equals(bytes.subarray(-mark.byteLength))) return
  let found: unknown
  try {
    found = reader.readValue()
  } catch {
    return
  }
  if (Array.isArray(found)) restoreAggregates(found.filter((one) => Array.isArray(one)))
}

/** Makes what was copied without its errors what it was. What others wrote may be anything. */
export function restoreAggregates(found: Iterable<readonly unknown[]>): void {
  for (const [error, errors] of found) {
    if (!types.isNativeError(error) || !Array.isArray(errors)) continue
    Object.setPrototypeOf(error, AggregateError.prototype)
    Object.defineProperty(error, 'errors', { value: errors, writable: true, configurable: true })
  }
}
