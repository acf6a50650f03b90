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
/** Errors of aggregates that travel with one error. */
const errorsMax = 100

export function packError(error: unknown, depth = 0, room = { left: errorsMax }): SentError {
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
    errors: packErrors(known, depth, room),
    cause:
      known.cause === undefined || depth >= depthMax ? undefined : packError(known.cause, depth + 1, room)
  }
}

/** All those of a CompositeError, of each of which as many travel as of a lone one. */
function packErrors(error: Error, depth: number, room: { left: number }): SentError[] {
  if (error instanceof CompositeError) return error.errors.map((one) => packError(one, depth + 1))
  if (depth >= depthMax || !(error instanceof TaskError || error instanceof AggregateError)) return []
  const some = (error.errors ?? []).slice(0, room.left)
  room.left -= some.length
  return some.map((one: unknown) => packError(one, depth + 1, room))
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
      if (sent.errors.length > 0) Object.assign(error, { errors: errorsOf(sent) })
      return withStack(error, sent.stack)
    }
    case 'composite':
      return new CompositeError(errorsOf(sent) as TaskError[])
    default: {
      const options = cause === undefined ? {} : { cause }
      const error =
        sent.errors.length === 0
          ? new Error(message, options)
          : new AggregateError(errorsOf(sent), message, options)
      error.name = name
      return error
    }
  }
}

const errorsOf = ({ errors }: SentError): Error[] => errors.map((one) => unpackError(one))

function withStack(error: Error, stack: string): Error {
  error.stack = stack
  return error
}
