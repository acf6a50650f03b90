/**
 * Arguments that are completed on the way: gaps where a client has handles, and the values that others brought.
 *
 * Not here: how the parts travel (tasks/parcel.ts), and the format of values (codec.ts).
 */
import { ShoalError } from '../../errors.ts'
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
  try {
    return encodeValue([plain, gaps.map(({ path, count }) => [path, count])], 'args')
  } catch (error) {
    // Places are to be named as they are in the arguments.
    encodeValue(plain, 'args')
    throw error
  }
}

/** Arguments as a task gets them, with the bytes of the data that they name. Throws SHOAL_BAD_VALUE. */
export function readArgs(input: Uint8Array, data?: ReadData): unknown[] {
  const [own, ...values] = openParcel(input) ?? []
  if (own === undefined) return decodeArgs(input, data)
  const whole = decodeValue(own, data)
  if (!isOpen(whole)) throw malformed()
  const [args, gaps] = whole
  const read = values.map((value) => decodeValue(value, data))
  let next = 0
  for (const [path, count] of gaps) {
    fill(args, path, count < 0 ? read[next] : read.slice(next, next + count))
    next += Math.abs(count)
  }
  return args
}

type Open = readonly [args: unknown[], gaps: readonly (readonly [Gap['path'], number])[]]

function isOpen(value: unknown): value is Open {
  const isGap = (gap: unknown): boolean =>
    Array.isArray(gap) && Array.isArray(gap[0]) && Number.isInteger(gap[1]) && gap[1] >= -1
  const [args, gaps] = Array.isArray(value) ? value : []
  // A list may have four billion holes, and `every` passes over them.
  const isDense = Array.isArray(gaps) && Object.keys(gaps).length === gaps.length
  return isDense && Array.isArray(args) && [...gaps].every(isGap)
}

/** Only where there is something: a path must not lead out of the arguments, into what all objects share. */
function fill(args: unknown[], path: Gap['path'], value: unknown): void {
  let at: unknown = args
  for (const [depth, step] of path.entries()) {
    if (!hasPlace(at, step)) throw malformed()
    if (depth === path.length - 1) at[step] = value
    else at = at[step]
  }
}

const hasPlace = (at: unknown, step: string | number): at is Record<string | number, unknown> =>
  typeof at === 'object' &&
  at !== null &&
  !ArrayBuffer.isView(at) &&
  Object.prototype.propertyIsEnumerable.call(at, step)

const malformed = (): ShoalError =>
  new ShoalError('SHOAL_BAD_VALUE', 'these bytes are no arguments: what belongs into them has no place there')

/** The same with nothing at this place, the rest shared. */
function without(value: unknown, [step, ...rest]: readonly (string | number)[]): unknown {
  if (step === undefined) return null
  if (Array.isArray(value)) return value.with(Number(step), without(value[Number(step)], rest))
  const fields = value as Record<string, unknown>
  return { ...fields, [step]: without(fields[step], rest) }
}
