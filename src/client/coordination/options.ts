/**
 * Names and options of variables, events, queues, locks and semaphores, checked before anything is asked of the mesh.
 *
 * Not here: what they do (the files beside this one).
 */
import { type CellSort, cellValueBytesMax, isCellName } from '../../cells/commands.ts'
import { ShoalError } from '../../errors.ts'
import type { Patience } from '../cells.ts'
import { checkSignal, checkTimeout, onlyKnown } from '../checks.ts'
import { decodeValue, encodeValue } from '../values.ts'

/** How long to wait. */
export interface WaitingOptions {
  /**
   * Milliseconds; then SHOAL_TIMEOUT, and nothing was taken or changed. 0 does not wait. Default: no limit. If too few nodes
   * answer to tell, it may take 15 s longer until SHOAL_NO_QUORUM or SHOAL_UNDECIDED.
   */
  readonly timeout?: number
  /** Ends the waiting with SHOAL_CANCELLED. */
  readonly signal?: AbortSignal
}

/** How long a change or a look may take; it does not wait for anybody else. */
export interface CallOptions {
  /** Ends the call with SHOAL_CANCELLED; what it asked for may be done all the same. */
  readonly signal?: AbortSignal
}

export function cellName(sort: CellSort, name: string): string {
  const cell = `${sort}:${String(name)}`
  if (typeof name !== 'string' || name.length > 128 || !isCellName(cell))
    throw badOption(
      `${JSON.stringify(String(name).slice(0, 140))} is no name of a ${sort}; names have 1 to 128 characters, none of them a control character`
    )
  return cell
}

export function patience(options: WaitingOptions): Patience {
  onlyKnown(options, ['timeout', 'signal'])
  const { timeout, signal } = options
  checkTimeout(timeout)
  checkSignal(signal)
  return { timeout, signal }
}

/** Throws SHOAL_BAD_VALUE, also for what is too large. */
export function itemOf(value: unknown, what: string): Uint8Array {
  const bytes = encodeValue(value)
  if (bytes.byteLength > cellValueBytesMax)
    throw new ShoalError(
      'SHOAL_BAD_VALUE',
      `a value for ${what} has ${bytes.byteLength} bytes; at most ${cellValueBytesMax} fit: put it into the mesh with put(), and its Ref here`
    )
  return bytes
}

export const read = <T>(bytes: Uint8Array): T => decodeValue(bytes) as T

export const badOption = (text: string): ShoalError => new ShoalError('SHOAL_BAD_OPTION', text)

export const timedOut = (what: string): ShoalError =>
  new ShoalError('SHOAL_TIMEOUT', `${what}, and \`timeout\` is 0; nothing was taken or changed`)

/** Of an answer that only another version of the program gives. */
export const unreadable = (what: string): ShoalError =>
  new ShoalError(
    'SHOAL_BAD_MESSAGE',
    `${what} was answered in a way that this version does not know; update all nodes`
  )
