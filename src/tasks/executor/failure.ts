/**
 * What a task threw, as bytes small enough to keep and pass on.
 *
 * Not here: what the caller makes of it (`TaskError` in errors.ts).
 * An error on its way home is a postcard: the name and message must arrive, the stack as far as there is room.
 */

import type { ErrorCode, ProgramExit, RemoteFailure } from '../../errors.ts'
import { isErrorCode, ShoalError } from '../../errors.ts'

/** First the stack is cut to fit, then the message. */
export const failureBytesMax = 64 * 1024
const nameLengthMax = 200

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function encodeFailure(failure: RemoteFailure): Uint8Array {
  let { message, stack } = failure
  const { code, exit } = failure
  const name = failure.name.slice(0, nameLengthMax)
  for (;;) {
    const bytes = encoder.encode(JSON.stringify({ code, name, message, stack, exit }))
    if (bytes.byteLength <= failureBytesMax) return bytes
    // Halving ends soon, and asks nothing about how many bytes a character takes.
    if (stack) stack = stack.slice(0, stack.length >> 1)
    else message = message.slice(0, message.length >> 1)
  }
}

/** Throws SHOAL_BAD_VALUE on bytes that are no failure. A code of a newer release reads as TASK_FAILED. */
export function decodeFailure(bytes: Uint8Array): RemoteFailure {
  const { code, name, message, stack, exit } = parse(bytes)
  if (typeof name !== 'string' || typeof message !== 'string' || typeof stack !== 'string') {
    throw new ShoalError('SHOAL_BAD_VALUE', 'these bytes are no failure: a field is missing')
  }
  const known = typeof code === 'string' && isErrorCode(code) ? code : 'TASK_FAILED'
  return { code: known, name, message, stack, ...(isExit(exit) ? { exit } : {}) }
}

function isExit(value: unknown): value is ProgramExit {
  const { code, signal, stderr } = Object(value) as Partial<Record<keyof ProgramExit, unknown>>
  const isEnd = (code === null || typeof code === 'number') && (signal === null || typeof signal === 'string')
  return isEnd && typeof stderr === 'string'
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
    if (!(thrown instanceof Error)) return { code, name: 'Error', message: String(thrown), stack: '' }
    return {
      code,
      name: String(thrown.name),
      message: String(thrown.message),
      stack: String(thrown.stack ?? '')
    }
  } catch {
    return { code, name: 'Error', message: 'a value was thrown that cannot be turned into text', stack: '' }
  }
}
