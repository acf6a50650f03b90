/**
 * The name of data that lies in the mesh, as people and programs hold it.
 *
 * Not here: how it gets there and back (client/data.ts). A Ref is plain data, so it survives every format, JSON included; the
 * odd name of its last field shows in whatever a value is encoded to, so values without any are not searched.
 */
import { type DataId, dataId, isDataId } from '../ids.ts'

/** Data in the mesh. Anywhere in arguments or inputs, it arrives in the task as its bytes. */
export interface Ref {
  /** SHA-256, base64url: of the bytes, or of the list of hashes of their chunks if they are more than one (1,088 KiB). */
  readonly hash: string
  /** Bytes. */
  readonly size: number
  /** What the bytes are, for people and programs; by default `application/octet-stream`. */
  readonly type: string
  readonly shoalRef: 1
}

export const typeDefault = 'application/octet-stream'
/** Whatever was encoded with a Ref inside has this in it. */
export const refMark = 'shoalRef'

export function makeRef(id: DataId, type = typeDefault): Ref {
  return Object.freeze({ hash: id.slice(0, 43), size: Number(id.slice(44)), type, shoalRef: 1 })
}

export function isRef(value: unknown): value is Ref {
  if (typeof value !== 'object' || value === null) return false
  const { hash, size, type, shoalRef } = value as Partial<Ref>
  return shoalRef === 1 && typeof type === 'string' && isDataId(`${hash}.${size}`)
}

export const idOf = ({ hash, size }: Ref): DataId => dataId(hash, size)

/** What all refs inside of a value name. */
export function idsWithin(value: unknown): DataId[] {
  const ids = new Set<DataId>()
  replaceRefs(value, (ref) => {
    ids.add(idOf(ref))
    return ref
  })
  return [...ids]
}

/**
 * The value with `instead` of every ref that it has inside, asked once for each object; in place, and only where that is
 * something else.
 */
export function replaceRefs(value: unknown, instead: (ref: Ref) => unknown): unknown {
  const todo: object[] = []
  const met = new Set<object>()
  const swapped = new Map<Ref, unknown>()
  const swap = (part: unknown): unknown => {
    if (isRef(part)) {
      if (!swapped.has(part)) swapped.set(part, instead(part))
      return swapped.get(part)
    }
    if (typeof part === 'object' && part !== null && !ArrayBuffer.isView(part) && !met.has(part)) {
      met.add(part)
      todo.push(part)
    }
    return part
  }
  const whole = swap(value)
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) swapWithin(part, swap)
  return whole
}

function swapWithin(part: object, swap: (part: unknown) => unknown): void {
  if (part instanceof Map) {
    const before = [...part]
    const after = before.map(([key, item]) => [swap(key), swap(item)] as const)
    if (after.every(([key, item], at) => key === before[at]?.[0] && item === before[at]?.[1])) return
    part.clear()
    for (const [key, item] of after) part.set(key, item)
  } else if (part instanceof Set) {
    const before = [...part]
    const after = before.map(swap)
    if (after.every((item, at) => item === before[at])) return
    part.clear()
    for (const item of after) part.add(item)
  } else {
    const fields = part as Record<string, unknown>
    // That of an error shows in no list of keys.
    const names = part instanceof Error ? ['cause'] : Object.keys(fields)
    for (const name of names) {
      const item = fields[name]
      const other = swap(item)
      if (other !== item) fields[name] = other
    }
  }
}
