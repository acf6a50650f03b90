/**
 * What a blocked caller and the thread behind it say to each other.
 *
 * Not here: who waits how (channel.ts), what the calls do (host.ts).
 * Everything is plain data that structured clone copies. Of the shared cells one counts what the host said and one is its
 * pulse, so that a caller who sleeps is woken by the first and learns from the second that nobody will.
 */
import type { Progress } from '../types.ts'

/** Cells of the shared memory. */
export const CELL = {
  /** Messages of the host so far; woken at each. */
  said: 0,
  /** Counted up by a thread of its own for as long as the host lives, however busy that is. */
  pulse: 1,
  /** 1 once the host has ended in good order. */
  ended: 2
} as const
export const cellsBytes = 3 * Int32Array.BYTES_PER_ELEMENT

/** Between two beats of the pulse. */
export const pulseEveryMs = 100

/** A function on its way to the host: its text, or where its module is. */
export type SentFunction =
  | { readonly kind: 'text'; readonly name: string; readonly text: string }
  | { readonly kind: 'module'; readonly file: string; readonly exportName: string }

/** Inputs: all of them, or a number under which the host asks for more. */
export type SentInputs =
  | { readonly kind: 'all'; readonly values: readonly unknown[] }
  | { readonly kind: 'source'; readonly source: number }

export interface SentError {
  readonly kind: 'shoal' | 'task' | 'composite' | 'other'
  readonly code: string
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly taskId: string
  readonly attempt: number
  readonly engine: string
  readonly errors: readonly SentError[]
  readonly cause: SentError | undefined
}

export interface Opening {
  readonly cells: SharedArrayBuffer
  /** `ConnectOptions` that can be copied: the key as the path of its file, or as the text of that file. */
  readonly options: Readonly<Record<string, unknown>>
  readonly keyText: string | undefined
}

/** Handles are numbers that the caller chose. Work without one is waited for, and the answer is its value. */
export type Ask =
  | { verb: 'open' }
  | {
      verb: 'submit'
      handle: number | undefined
      fn: SentFunction
      args: readonly unknown[]
      options: object
    }
  | { verb: 'map'; handle: number | undefined; fn: SentFunction; inputs: SentInputs; options: object }
  | { verb: 'job'; handle: number; id: string; options: object }
  /** Waits for the value of a handle at most so long; no limit if it is `undefined`. */
  | { verb: 'get' | 'wait'; handle: number; timeout: number | undefined }
  /** Results that are there, at least one; up to `most`. */
  | { verb: 'next'; handle: number; isOrdered: boolean; most: number }
  | { verb: 'look' | 'status' | 'cancel' | 'release'; handle: number }
  | { verb: 'metadata'; handle: number; index: number }
  | { verb: 'drop'; handles: readonly number[] }
  | { verb: 'members' | 'jobs' | 'mesh-status' | 'close' }
  | { verb: 'drain'; node: string }

export type ToHost =
  | { kind: 'ask'; call: number; ask: Ask }
  /** The caller was interrupted and does not wait for this call any more. */
  | { kind: 'abandoned'; call: number }
  | {
      kind: 'pulled'
      source: number
      values: readonly unknown[]
      isDone: boolean
      error: SentError | undefined
    }

export type FromHost =
  | { kind: 'answer'; call: number; value: unknown }
  | { kind: 'failed'; call: number; error: SentError }
  | { kind: 'pull'; source: number; most: number }
  /** No more of this source is wanted. */
  | { kind: 'enough'; source: number }

/** A page of results: `error` comes behind the values, and nothing follows it. */
export interface Page {
  readonly values: readonly unknown[]
  readonly isDone: boolean
  readonly error: SentError | undefined
}

/** What is known of a handle at a moment. */
export interface Look {
  readonly isReady: boolean
  readonly isSuccessful: boolean
  readonly progress: Progress
}
