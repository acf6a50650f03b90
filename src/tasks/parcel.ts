/**
 * Arguments of a task together with the values of other tasks that belong into them, as one input.
 *
 * Not here: who puts them together (dependents.ts) and where the values go (executor/awaited.ts).
 * A byte that begins no other value, then each part behind its length, four bytes, little endian.
 */

/** First byte of a parcel. The codec and data use those below 32. */
export const PARCEL = 32
const LENGTH_BYTES = 4

/** The first part are the arguments, with gaps; the others go into these, in order. */
export function closeParcel(parts: readonly Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + LENGTH_BYTES + part.byteLength, 1)
  const parcel = new Uint8Array(size)
  const view = new DataView(parcel.buffer)
  parcel[0] = PARCEL
  let at = 1
  for (const part of parts) {
    view.setUint32(at, part.byteLength, true)
    parcel.set(part, at + LENGTH_BYTES)
    at += LENGTH_BYTES + part.byteLength
  }
  return parcel
}

/** `undefined` if it is no parcel. The parts share its memory. */
export function openParcel(input: Uint8Array): Uint8Array[] | undefined {
  if (input[0] !== PARCEL) return undefined
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  const parts: Uint8Array[] = []
  for (let at = 1; at < input.byteLength; ) {
    const from = at + LENGTH_BYTES
    if (from > input.byteLength) return undefined
    at = from + view.getUint32(from - LENGTH_BYTES, true)
    if (at > input.byteLength) return undefined
    parts.push(input.subarray(from, at))
  }
  return parts.length === 0 ? undefined : parts
}
