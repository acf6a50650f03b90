/**
 * What a task threw, as bytes small enough to keep and pass on.
 *
 * Not here: what the caller makes of it (`TaskError` in errors.ts).
 * An error on its way home is a postcard: the name and message must arrive, the stack as far as there is room.
 */
import { inspect } from 'node:util'
import type { ErrorCode, ProgramExit, RemoteCause, RemoteFailure } from '../../errors.ts'
import { isErrorCode, ShoalError } from '../../errors.ts'
import type { RunBatch } from './executor.ts'

/** First the stack is cut to fit, then later errors of an aggregate and causes are left out, then the beginning of what a program printed, then the message is cut. */
export const failureBytesMax = 64 * 1024
const nameLengthMax = 200
/** Causes of causes that are told of, and what of each. */
const causesMax = 5
const causeMessageMax = 2_000
const causeStackMax = 4_000
/** Errors of aggregates that are told of, those within others among them; and how much of the stack of each. */
export const errorsMax = 20
const errorStackMax = 1_000

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encodeFailure(failure: RemoteFailure): Uint8Array {
  let { message, stack, cause, errors, exit } = failure
  const { code } = failure
  const name = failure.name.slice(0, nameLengthMax)
  for (;;) {
    const bytes = encoder.encode(JSON.stringify({ code, name, message, stack, exit, cause, errors }))
    if (bytes.byteLength <= failureBytesMax) return bytes
    // Halving ends soon, and asks nothing about how many bytes a character takes.
    if (stack) stack = stack.slice(0, stack.length >> 1)
    else if (errors?.length) errors = errors.slice(0, errors.length >> 1)
    else if (cause) cause = undefined
    else if (exit?.stdout || exit?.stderr) exit = shorter(exit)
    else message = message.slice(0, message.length >> 1)
  }
}

/** With the later half of what it printed. */
function shorter({ code, signal, stdout = '', stderr }: ProgramExit): ProgramExit {
  const half = (text: string): string => text.slice(Math.ceil(text.length / 2))
  return { code, signal, stdout: half(stdout), stderr: half(stderr) }
}

/** Throws SHOAL_BAD_VALUE on bytes that are no failure. A code of a newer release reads as TASK_FAILED. */
export function decodeFailure(bytes: Uint8Array): RemoteFailure {
  const parsed = parse(bytes)
  const failure = readCause(parsed, 0)
  if (failure === undefined)
    throw new ShoalError('SHOAL_BAD_VALUE', 'these bytes are no failure: a field is missing')
  const { code, exit } = parsed
  const known = typeof code === 'string' && isErrorCode(code) ? code : 'TASK_FAILED'
  return { code: known, ...failure, ...(isExit(exit) ? { exit } : {}) }
}

function isExit(value: unknown): value is ProgramExit {
  const { code, signal, stderr, stdout = '' } = Object(value) as Partial<Record<keyof ProgramExit, unknown>>
  const isEnd = (code === null || typeof code === 'number') && (signal === null || typeof signal === 'string')
  return isEnd && typeof stderr === 'string' && typeof stdout === 'string'
}

function readCause(value: unknown, depth: number): RemoteCause | undefined {
  const { name, message, stack, cause, errors } = Object(value) as Partial<Record<keyof RemoteCause, unknown>>
  if (typeof name !== 'string' || typeof message !== 'string' || typeof stack !== 'string') return undefined
  const isDeep = depth >= causesMax
  const deeper = isDeep ? undefined : readCause(cause, depth + 1)
  const some = isDeep || !Array.isArray(errors) ? [] : errors.slice(0, errorsMax)
  const several = some.flatMap((one) => readCause(one, depth + 1) ?? [])
  return {
    name,
    message,
    stack,
    ...(deeper && { cause: deeper }),
    ...(several.length > 0 && { errors: several })
  }
}

function parse(bytes: Uint8Array): Partial<Record<keyof RemoteFailure, unknown>> {
  try {
    return Object(JSON.parse(decoder.decode(bytes)))
  } catch (cause) {
    throw new ShoalError('SHOAL_BAD_VALUE', 'these bytes are no failure: not JSON', { cause })
  }
}

/** Describes anything that can be thrown; itself throws never, whatever getters the thrown value has. */
export function failureOf(thrown: unknown, code: ErrorCode): RemoteFailure {
  try {
    return { code, ...described(thrown), ...within(thrown, 0, { left: errorsMax }) }
  } catch {
    return { code, name: 'Error', message: 'a value was thrown that cannot be turned into text', stack: '' }
  }
}

/** Errors that may still be told of. */
interface Room {
  left: number
}

/** Its cause, and its errors if it is an aggregate, and so on. */
function within(thrown: unknown, depth: number, room: Room): Pick<RemoteCause, 'cause' | 'errors'> {
  if (depth >= causesMax || !(thrown instanceof Error)) return {}
  const cause = tried(() => thrown.cause) ?? undefined
  const some = errorsOf(thrown).slice(0, room.left)
  room.left -= some.length
  const told = cause === undefined ? undefined : tried(() => inner(cause, depth + 1, room, causeStackMax))
  const errors = some.flatMap((one) => tried(() => inner(one, depth + 1, room, errorStackMax)) ?? [])
  return {
    ...(told && { cause: told }),
    ...(errors.length > 0 && { errors })
  }
}

function inner(thrown: unknown, depth: number, room: Room, stackMax: number): RemoteCause {
  const { name, message, stack } = described(thrown)
  const cut = { message: message.slice(0, causeMessageMax), stack: stack.slice(0, stackMax) }
  return { name: name.slice(0, nameLengthMax), ...cut, ...within(thrown, depth, room) }
}

/** Other errors have lists of this name, too, of whatever they like. */
function errorsOf(error: Error): readonly unknown[] {
  const errors = tried(() => (error as Partial<AggregateError>).errors)
  if (!Array.isArray(errors)) return []
  const isAggregate = error instanceof AggregateError || errors.every((one) => one instanceof Error)
  return isAggregate ? errors : []
}

/** What can be read of it: one getter that throws costs none of the other fields. */
function described(thrown: unknown): RemoteCause {
  if (!(thrown instanceof Error)) return { name: 'Error', message: toldOf(thrown), stack: '' }
  const name = textOf(() => thrown.name) ?? 'Error'
  const message = textOf(() => thrown.message) ?? 'its message cannot be turned into text'
  return { name, message, stack: textOf(() => thrown.stack ?? '') ?? '' }
}

function toldOf(thrown: unknown): string {
  const text = textOf(() => thrown)
  return text === undefined || text === '[object Object]' ? inspect(thrown) : text
}

const textOf = (read: () => unknown): string | undefined => tried(() => String(read()))

function tried<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** Of a task that ran when somebody interrupted its engine. */
export function interrupted(engine: string): RemoteFailure {
  const message = `engine ${engine} was interrupted while the task ran`
  return { code: 'TASK_INTERRUPTED', name: 'InterruptedError', message, stack: '' }
}

/** Of a task that was ended because its time was over. */
export function timeoutFailure(
  { slot, attempt, timeoutMs }: Pick<RunBatch, 'slot' | 'attempt' | 'timeoutMs'>,
  node: string,
  elapsedMs: number
): Uint8Array {
  const where = `engine ${node}/${slot}, attempt ${attempt}`
  const message = `ran longer than its timeout of ${timeoutMs} ms: ended after ${Math.round(elapsedMs)} ms on ${where}`
  return encodeFailure({ code: 'TASK_TIMEOUT', name: 'TimeoutError', message, stack: '' })
}
