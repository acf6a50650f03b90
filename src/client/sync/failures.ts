/**
 * Errors across the border between the host and its blocked caller, which copies only plain data.
 *
 * Not here: how tasks' errors come from engines (tasks/executor/failure.ts).
 * What the caller catches has the caller's stack, where the program can be mended, and as its cause the error with the stack
 * of the engine, where it happened.
 */
import { CompositeError, isErrorCode, ShoalError, TaskError } from '../../errors.ts'
import type { SentError } from './protocol.ts'

/** Causes within causes that travel. */
const depthMax = 8

export function packError(error: unknown, depth = 0): SentError {
  const known = error instanceof Error ? error : new Error(String(error))
  const {
    taskId = '',
    attempt = 0,
    engine = '',
    exit
  } = known instanceof TaskError ? known : ({} as Partial<TaskError>)
  return {
    kind:
      known instanceof ShoalError
        ? 'shoal'
        : known instanceof TaskError
          ? 'task'
          : known instanceof CompositeError
            ? 'composite'
            : 'other',
    code: known instanceof ShoalError || known instanceof TaskError ? known.code : '',
    name: known.name,
    message: known.message,
    stack: known.stack ?? '',
    taskId,
    attempt,
    engine,
    exit,
    errors: known instanceof CompositeError ? known.errors.map((one) => packError(one, depth + 1)) : [],
    cause: known.cause === undefined || depth >= depthMax ? undefined : packError(known.cause, depth + 1)
  }
}

/** `caller`: the function whose callers the stack shows, or nothing for an error that is told and not thrown. */
export function unpackError(sent: SentError, caller?: (...args: never[]) => unknown): Error {
  const cause = sent.cause === undefined ? undefined : unpackError(sent.cause)
  const error = remake(sent, cause)
  if (caller === undefined) return sent.kind === 'other' ? withStack(error, sent.stack) : error
  if (sent.kind === 'task') error.cause = withStack(remake(sent, cause), sent.stack)
  if (sent.kind === 'other') error.cause ??= withStack(remake(sent, cause), sent.stack)
  Error.captureStackTrace(error, caller)
  return error
}

function remake(sent: SentError, cause: Error | undefined): Error {
  const { kind, name, message, taskId, exit } = sent
  const code = isErrorCode(sent.code) ? sent.code : kind === 'task' ? 'TASK_FAILED' : 'SHOAL_BAD_MESSAGE'
  switch (kind) {
    case 'shoal':
      return new ShoalError(code, message, cause === undefined ? {} : { cause })
    case 'task': {
      const error = new TaskError(taskId, { code, name, message, stack: '', ...(exit && { exit }) }, sent)
      if (cause !== undefined) error.cause = cause
      return withStack(error, sent.stack)
    }
    case 'composite':
      return new CompositeError(sent.errors.map((one) => unpackError(one)) as TaskError[])
    default: {
      const error = cause === undefined ? new Error(message) : new Error(message, { cause })
      error.name = name
      return error
    }
  }
}

function withStack(error: Error, stack: string): Error {
  error.stack = stack
  return error
}
