/**
 * The name of data that lies in the mesh, as people and programs hold it.
 *
 * Not here: how it gets there and back (client/data.ts). A Ref is plain data, so it survives every format; its last field is
 * read when it is encoded, which is how a value is known to have one inside without being searched.
 */
import { type DataId, dataId, isDataId } from '../ids.ts'

/** Data in the mesh. Anywhere in arguments or inputs, it arrives in the task as its bytes. */
export interface Ref {
  /** SHA-256, base64url: of the bytes, or of the list of hashes of their chunks if they are more than one MiB. */
  readonly hash: string
  /** Bytes. */
  readonly size: number
  /** What the bytes are, for people and programs; by default `application/octet-stream`. */
  readonly type: string
  readonly shoalRef: 1
}

export const typeDefault = 'application/octet-stream'
let seen: Set<DataId> | undefined

export function makeRef(id: DataId, type = typeDefault): Ref {
  const ref = { hash: id.slice(0, 43), size: Number(id.slice(44)), type }
  Object.defineProperty(ref, 'shoalRef', {
    enumerable: true,
    get: () => {
      seen?.add(id)
      return 1
    }
  })
  return Object.freeze(ref) as Ref
}

export function isRef(value: unknown): value is Ref {
  if (typeof value !== 'object' || value === null) return false
  const { hash, size, type, shoalRef } = value as Partial<Ref>
  return shoalRef === 1 && typeof type === 'string' && isDataId(`${hash}.${size}`)
}

export const idOf = ({ hash, size }: Ref): DataId => dataId(hash, size)

/** All refs that were read while `work` did its work. */
export function refsRead<T>(work: () => T): { result: T; ids: readonly DataId[] } {
  const outer = seen
  const ids = new Set<DataId>()
  seen = ids
  try {
    return { result: work(), ids: [...ids] }
  } finally {
    seen = outer
  }
}

/** The value with `instead` of every ref that it has inside; in place, where that can be. */
export function replaceRefs(value: unknown, instead: (ref: Ref) => unknown): unknown {
  if (isRef(value)) return instead(value)
  const todo: unknown[] = [value]
  const met = new Set<unknown>(todo)
  const swap = (part: unknown): unknown => {
    if (isRef(part)) return instead(part)
    if (typeof part === 'object' && part !== null && !ArrayBuffer.isView(part) && !met.has(part)) {
      met.add(part)
      todo.push(part)
    }
    return part
  }
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) swapWithin(part as object, swap)
  return value
}

function swapWithin(part: object, swap: (part: unknown) => unknown): void {
  if (part instanceof Map) {
    const entries = [...part].map(([key, item]) => [swap(key), swap(item)] as const)
    part.clear()
    for (const [key, item] of entries) part.set(key, item)
  } else if (part instanceof Set) {
    const items = [...part].map(swap)
    part.clear()
    for (const item of items) part.add(item)
  } else {
    const fields = part as Record<string, unknown>
    for (const name of Object.keys(fields)) {
      const item = fields[name]
      const other = swap(item)
      if (other !== item) fields[name] = other
    }
  }
}
