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

/** First the stack is cut to fit, then causes are left out, then the beginning of what a program printed, then the message is cut. */
export const failureBytesMax = 64 * 1024
const nameLengthMax = 200
/** Causes of causes that are told of, and what of each. */
const causesMax = 5
const causeMessageMax = 2_000
const causeStackMax = 4_000

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encodeFailure(failure: RemoteFailure): Uint8Array {
  let { message, stack, cause, exit } = failure
  const { code } = failure
  const name = failure.name.slice(0, nameLengthMax)
  for (;;) {
    const bytes = encoder.encode(JSON.stringify({ code, name, message, stack, exit, cause }))
    if (bytes.byteLength <= failureBytesMax) return bytes
    // Halving ends soon, and asks nothing about how many bytes a character takes.
    if (stack) stack = stack.slice(0, stack.length >> 1)
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
  const { name, message, stack, cause } = Object(value) as Partial<Record<keyof RemoteCause, unknown>>
  if (typeof name !== 'string' || typeof message !== 'string' || typeof stack !== 'string') return undefined
  const deeper = depth < causesMax ? readCause(cause, depth + 1) : undefined
  return { name, message, stack, ...(deeper && { cause: deeper }) }
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
    const told = thrown instanceof Error ? causeOf(thrown.cause, 1) : undefined
    return { code, ...described(thrown), ...(told && { cause: told }) }
  } catch {
    return { code, name: 'Error', message: 'a value was thrown that cannot be turned into text', stack: '' }
  }
}

function causeOf(cause: unknown, depth: number): RemoteCause | undefined {
  if (cause === undefined || cause === null || depth > causesMax) return undefined
  const { name, message, stack } = described(cause)
  const deeper = cause instanceof Error ? causeOf(cause.cause, depth + 1) : undefined
  const cut = { message: message.slice(0, causeMessageMax), stack: stack.slice(0, causeStackMax) }
  return { name: name.slice(0, nameLengthMax), ...cut, ...(deeper && { cause: deeper }) }
}

function described(thrown: unknown): RemoteCause {
  if (!(thrown instanceof Error)) return { name: 'Error', message: toldOf(thrown), stack: '' }
  return { name: String(thrown.name), message: String(thrown.message), stack: String(thrown.stack ?? '') }
}

function toldOf(thrown: unknown): string {
  const text = String(thrown)
  return text === '[object Object]' ? inspect(thrown) : text
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
