/**
 * Looks at one value that somebody gave, and refuses what cannot be used before anything of it has left.
 *
 * Not here: which options there are (options.ts, coordination/options.ts).
 */
import { ShoalError } from '../errors.ts'

const shownMax = 60
const cutMax = 200

/** Throws SHOAL_BAD_OPTION for anything but a whole number in these bounds. */
export function whole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  refuse(`\`${name}\` is ${shown(value)}; it is a whole number from ${least} to ${most}`)
}

/** Throws SHOAL_BAD_OPTION for anything but true and false: what travels as another kind of value, the mesh would not read. */
export function truth(name: string, value: boolean): void {
  if (typeof value !== 'boolean') refuse(`\`${name}\` is ${shown(value)}; it is true or false`)
}

/** Throws SHOAL_BAD_OPTION for anything but milliseconds, or nothing. */
export function checkTimeout(timeout: number | undefined): void {
  if (timeout !== undefined && (typeof timeout !== 'number' || !(timeout >= 0)))
    refuse(`\`timeout\` is ${shown(timeout)}; it is milliseconds, from 0`)
}

/** A value in a message for people. */
export function shown(value: unknown): string {
  if (typeof value === 'function') return `the function ${value.name}`.trimEnd().slice(0, shownMax)
  if (typeof value !== 'string' && (typeof value !== 'object' || value === null)) return String(value)
  try {
    return JSON.stringify(value).slice(0, shownMax)
  } catch {
    return 'an object'
  }
}

/** A path or the like in a message for people. */
export const cut = (text: string): string => (text.length > cutMax ? `${text.slice(0, cutMax)}…` : text)

/** Throws SHOAL_BAD_OPTION unless it is a signal, of whatever realm, or nothing. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    refuse(`\`signal\` is ${shown(signal)}; it is the signal of an AbortController`)
}

export const isRecord = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Throws SHOAL_BAD_OPTION for what are no options, and for the first one that is not `known`. */
export function onlyKnown(options: object, known: readonly string[]): void {
  if (!isRecord(options)) refuse(`options are ${shown(options)}; they are an object, such as { retries: 2 }`)
  const odd = Object.keys(options).find((name) => !known.includes(name))
  if (odd !== undefined)
    refuse(`there is no option \`${odd}\`; there are ${known.length === 0 ? 'none' : known.join(', ')}`)
}

export function refuse(message: string): never {
  throw new ShoalError('SHOAL_BAD_OPTION', message)
}
