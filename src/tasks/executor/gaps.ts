/**
 * Arguments that are completed on the way: gaps where a client has handles, and the values that others brought.
 *
 * Not here: how the parts travel (tasks/parcel.ts), and the format of values (codec.ts).
 */
import { openParcel } from '../parcel.ts'
import { decodeArgs, decodeValue, encodeValue, type ReadData } from './codec.ts'

/** A place among arguments, and how many values make a list there; -1 for one value that is no list. */
export interface Gap {
  readonly path: readonly (string | number)[]
  readonly count: number
}

/** What stands at the gaps does not travel. Throws SHOAL_BAD_VALUE. */
export function encodeGaps(args: readonly unknown[], gaps: readonly Gap[]): Uint8Array {
  const plain = gaps.reduce<unknown>((value, { path }) => without(value, path), args)
  return encodeValue([plain, gaps.map(({ path, count }) => [path, count])], 'args')
}

/** Arguments as a task gets them, with the bytes of the data that they name. Throws SHOAL_BAD_VALUE. */
export function readArgs(input: Uint8Array, data?: ReadData): unknown[] {
  const [own, ...values] = openParcel(input) ?? []
  if (own === undefined) return decodeArgs(input, data)
  const [args, gaps] = decodeValue(own, data) as [unknown[], [Gap['path'], number][]]
  const read = values.map((value) => decodeValue(value, data))
  let next = 0
  for (const [path, count] of gaps) {
    const value = count < 0 ? read[next] : read.slice(next, next + count)
    next += Math.abs(count)
    let at = args as unknown as Record<string | number, unknown>
    for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>
    at[path.at(-1) ?? 0] = value
  }
  return args
}

/** The same with nothing at this place, the rest shared. */
function without(value: unknown, [step, ...rest]: readonly (string | number)[]): unknown {
  if (step === undefined) return null
  if (Array.isArray(value)) return value.with(Number(step), without(value[Number(step)], rest))
  const fields = value as Record<string, unknown>
  return { ...fields, [step]: without(fields[step], rest) }
}
