/**
 * The one family of errors: what users catch, what peers send, what the command prints.
 *
 * Not here: assertions (machine.ts), which are bugs and never travel.
 * Match on `code`, which is stable and safe on the wire; messages say what happened and what to do next.
 */

/** Every code, its meaning, and whether trying again can help. */
export const ERROR_CODES = {
  ENGINE_LOST: {
    retryable: false,
    meaning: 'the engine of a directed call was lost, and its namespace with it'
  },
  SHOAL_BAD_DEPENDENCY: {
    retryable: false,
    meaning: 'a task is to wait for one that nobody knows, for itself, or for too many'
  },
  SHOAL_BAD_KEY: { retryable: false, meaning: 'the key file is missing, malformed, or of another mesh' },
  SHOAL_BAD_MESSAGE: { retryable: false, meaning: 'bytes that are no message of ours, or exceed a limit' },
  SHOAL_BAD_OPTION: { retryable: false, meaning: 'an option has a value that cannot be used' },
  SHOAL_BAD_FUNCTION: { retryable: false, meaning: 'the function or module cannot be shipped' },
  SHOAL_BAD_VALUE: { retryable: false, meaning: 'an argument or result cannot be encoded' },
  SHOAL_BLOCKING_HOST_LOST: {
    retryable: false,
    meaning: 'the thread behind a blocking client has ended'
  },
  SHOAL_BUSY: { retryable: true, meaning: 'a named limit is reached; wait and try again' },
  SHOAL_CANCELLED: { retryable: false, meaning: 'the task or call was cancelled' },
  SHOAL_CLOSED: { retryable: false, meaning: 'the node or client was closed' },
  SHOAL_DATA_IN_USE: { retryable: false, meaning: 'another node runs on this data folder' },
  SHOAL_DAMAGED: { retryable: false, meaning: 'the store in the data folder is not what was written to it' },
  SHOAL_DISK: { retryable: true, meaning: 'the data folder cannot be written' },
  SHOAL_HOST_LOST: { retryable: false, meaning: 'the thread of a hosted node or client has ended' },
  SHOAL_LEASE_LOST: {
    retryable: false,
    meaning: 'a lock or semaphore was held longer than its lease could be renewed'
  },
  SHOAL_NO_MESH: { retryable: true, meaning: 'no peer of the mesh could be reached' },
  SHOAL_NO_QUORUM: {
    retryable: true,
    meaning: 'too few of the nodes that keep locks, variables and the like can be reached'
  },
  SHOAL_NO_KEEPERS: { retryable: true, meaning: 'too few nodes can keep the work' },
  SHOAL_NO_TASK: { retryable: false, meaning: 'asked for something of a task where no task runs' },
  SHOAL_NOT_FOUND: { retryable: false, meaning: 'no reachable node knows this job, node or source' },
  SHOAL_OLD_NODE: { retryable: false, meaning: 'the installed Node.js is too old' },
  SHOAL_OWN_ENGINE: {
    retryable: false,
    meaning: 'a task calls an engine that waits for it: its own, or in a circle with others'
  },
  SHOAL_PORT_TAKEN: { retryable: false, meaning: 'another process listens on this address' },
  SHOAL_REFUSED: { retryable: false, meaning: 'the other side does not hold the mesh key' },
  SHOAL_TIMEOUT: { retryable: true, meaning: 'what was waited for did not come in time; it goes on' },
  SHOAL_SOURCE_FAILED: { retryable: true, meaning: 'a source threw while it was read' },
  SHOAL_UNDECIDED: {
    retryable: false,
    meaning:
      'nobody can tell any more whether a command to a variable, event or queue, or a job of a key, was done'
  },
  TASK_DATA_LOST: { retryable: false, meaning: 'data that the task needs is held by no node that is up' },
  TASK_DEPENDENCY: {
    retryable: false,
    meaning: 'a task that it waits for did not end as it must, or cannot'
  },
  SHOAL_TOO_DEEP: { retryable: false, meaning: 'a task submits work from within too many others' },
  TASK_EXIT: {
    retryable: false,
    meaning: 'the program ended with an exit code that is not 0, or by a signal'
  },
  TASK_FAILED: { retryable: false, meaning: 'the task threw' },
  TASK_INTERRUPTED: { retryable: false, meaning: 'somebody interrupted the engine while the task ran' },
  TASK_NO_COMMAND: { retryable: false, meaning: 'the node has no such command, or may not run it' },
  TASK_NO_OUTPUT: { retryable: false, meaning: 'the program ended well without an output that was declared' },
  TASK_POISONED: { retryable: false, meaning: 'the task ended three engines' },
  TASK_QUEUE_TIMEOUT: { retryable: true, meaning: 'the task was not begun within its `queueTimeout`' },
  TASK_TIMEOUT: { retryable: false, meaning: 'the task ran longer than its `timeout`' },
  TASK_UNKNOWN: { retryable: false, meaning: 'an at-most-once task lost its engine' }
} as const

export type ErrorCode = keyof typeof ERROR_CODES

export class ShoalError extends Error {
  override readonly name: string = 'ShoalError'
  readonly code: ErrorCode
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.code = code
    this.retryable = ERROR_CODES[code].retryable
  }
}

/** One run of a task that brought nothing. Times are milliseconds since 1970 by the engine's clock, if they are known. */
export interface AttemptMetadata {
  readonly attempt: number
  /** `<node id>/<slot>`; the node id alone if the task had not begun there, or the whole node was lost. */
  readonly engine: string
  readonly how: 'failed' | 'timed out' | 'lost' | 'handed back'
  readonly started: number | undefined
  readonly completed: number | undefined
  /** What ended the engine, if it was heard; else empty. */
  readonly reason: string
}

/** When, where and at which try a task ended. Times are milliseconds since 1970. */
export interface RunMetadata {
  /** By the submitter's clock. */
  readonly submitted: number
  /** By the engine's clock; `undefined` if the task never began, or its whole node was lost. */
  readonly started: number | undefined
  readonly completed: number | undefined
  /** `<node id>/<slot>`; the node id alone if the whole node was lost; empty if the task never began. */
  readonly engine: string
  readonly attempt: number
  /** What the last attempt printed, each cut at `outputCharsMax` (64 Ki characters), which is said then. */
  readonly stdout: string
  readonly stderr: string
  /** Attempts before this one, as far as the owner that committed the outcome knew of them. */
  readonly earlier: readonly AttemptMetadata[]
}

/** An error that was the `cause` of another one on an engine. */
export interface RemoteCause {
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly cause?: RemoteCause | undefined
  /** Of an AggregateError, or of what has errors like one. */
  readonly errors?: readonly RemoteCause[] | undefined
}

/** How a program ended that did not end well: by itself, by a limit of its time or memory, or without an output that it was to make. */
export interface ProgramExit {
  /** `null` if it was ended by a signal. */
  readonly code: number | null
  readonly signal: string | null
  /** The end of what it said: at most 8 Ki characters. */
  readonly stderr: string
  /** As many of what it wrote, to a file or not. Absent if a node that runs an older release ran it. */
  readonly stdout?: string
}

/** What a task threw, as it was seen on its engine. */
export interface RemoteFailure extends RemoteCause {
  readonly code: ErrorCode
  /** How a program ended. */
  readonly exit?: ProgramExit
}

/** A task that ended without a value. `name`, `message`, `stack` and `cause` are those of the error on the engine. */
export class TaskError extends Error {
  override name: string
  readonly code: ErrorCode
  readonly taskId: string
  readonly attempt: number
  /** See `RunMetadata`. */
  readonly engine: string
  /** Of a program that did not end well. */
  readonly exit: ProgramExit | undefined
  /** Of an AggregateError, as of `Promise.any`, and of a CompositeError: the first 20, with those within them. Else absent. */
  declare readonly errors?: readonly Error[]

  constructor(taskId: string, failure: RemoteFailure, where: Pick<RunMetadata, 'attempt' | 'engine'>) {
    super(failure.message, failure.cause === undefined ? {} : { cause: errorOf(failure.cause) })
    this.name = failure.name
    this.code = failure.code
    this.taskId = taskId
    this.attempt = where.attempt
    this.engine = where.engine
    this.exit = failure.exit
    if (failure.errors !== undefined) this.errors = failure.errors.map(errorOf)
    const place = where.engine === '' ? 'on no engine' : `on engine ${where.engine}, attempt ${where.attempt}`
    this.stack = `${failure.stack || `${failure.name}: ${failure.message}`}\n    ${place}, task ${taskId}`
  }
}

function errorOf({ name, message, stack, cause, errors }: RemoteCause): Error {
  const options = cause === undefined ? {} : { cause: errorOf(cause) }
  const error =
    errors === undefined
      ? new Error(message, options)
      : new AggregateError(errors.map(errorOf), message, options)
  error.name = name
  error.stack = stack || `${name}: ${message}`
  return error
}

/** Several tasks of one job failed; `errors` are in input order. */
export class CompositeError extends Error {
  override readonly name = 'CompositeError'
  readonly errors: readonly TaskError[]

  constructor(errors: readonly TaskError[]) {
    const first = errors[0]
    super(`${errors.length} tasks failed; the first: ${first?.name}: ${first?.message}`, { cause: first })
    this.errors = errors
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text)
}

/** A code that came over the wire; of another version there may be others. */
export const knownCode = (text: string): ErrorCode => (isErrorCode(text) ? text : 'SHOAL_BAD_MESSAGE')

/** `ShoalError` or not, as one line for people. */
export function explainError(error: unknown): string {
  if (error instanceof ShoalError) return `${error.code}: ${error.message}`
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
