/**
 * What a blocked caller and the thread behind it say to each other.
 *
 * Not here: who waits how (channel.ts), what the calls do (host.ts), and what is put in place of what cannot be copied (gaps.ts).
 * Everything is plain data that structured clone copies. Of the shared cells one counts what the host said and one is its
 * pulse, so that a caller who sleeps is woken by the first and learns from the second that nobody will.
 */
import type { ProgramExit } from '../../errors.ts'
import type { Aggregates } from '../../tasks/executor/aggregates.ts'
import type { PackedValue } from '../gaps.ts'

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

/** The object of the host that is the client itself. */
export const root = 0

export interface SentError {
  readonly kind: 'shoal' | 'task' | 'composite' | 'other'
  readonly code: string
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly taskId: string
  readonly attempt: number
  readonly engine: string
  readonly exit: ProgramExit | undefined
  readonly errors: readonly SentError[]
  readonly cause: SentError | undefined
}

export interface Opening {
  readonly cells: SharedArrayBuffer
  /** `ConnectOptions` that can be copied: the key as the path of its file, or as the text of that file. */
  readonly options: Readonly<Record<string, unknown>>
  readonly keyText: string | undefined
  /** Shows what tasks print that a call waits for. */
  readonly output: boolean
}

/** What a class of objects of the host can do, read off one of them. */
export interface Shape {
  readonly name: string
  readonly methods: readonly string[]
  /** Read anew at each look. */
  readonly fields: readonly string[]
  readonly isIterable: boolean
  readonly isFunction: boolean
}

/** Something that cannot be copied, and what travels for it. */
export type Special =
  /** An object that the host has handed out before. */
  | { readonly kind: 'object'; readonly id: number }
  /** A function of the caller: its text, for engines; and a number, if it may be called on the caller's own thread. */
  | {
      readonly kind: 'function'
      readonly name: string
      readonly text: string
      readonly callback: number | undefined
    }
  | { readonly kind: 'module'; readonly file: string; readonly exportName: string }
  | { readonly kind: 'call'; readonly parts: Packed }
  | { readonly kind: 'ref'; readonly name: string }
  | { readonly kind: 'reference'; readonly name: string }
  | { readonly kind: 'url'; readonly text: string }
  /** An iterable of the caller that the host pulls, so many items at a time. */
  | { readonly kind: 'source'; readonly source: number; readonly most: number }
  /** An object of the host. `shape` has a description the first time; `constants` never change. */
  | {
      readonly kind: 'handed'
      readonly id: number
      readonly shape: number
      readonly described: Shape | undefined
      readonly constants: Readonly<Record<string, unknown>>
    }
  | { readonly kind: 'error'; readonly error: SentError }

/** A value with holes, and what goes into them. */
export interface Packed extends PackedValue<Special> {
  /** Within the value, with their errors: a copy has none, and is no AggregateError. What travels together stays the same object. */
  readonly aggregates: Aggregates
}

export type Ask =
  | { readonly verb: 'open' }
  /** `waits`: for the value of work that this begins; else the answer is its handle. */
  | {
      readonly verb: 'call'
      readonly on: number
      readonly name: string
      readonly args: Packed
      readonly waits: boolean
    }
  | { readonly verb: 'read'; readonly on: number; readonly name: string }
  /** Begins an iteration; the answer is its number. */
  | { readonly verb: 'iterate'; readonly on: number }
  /** Items that are there, at least one; up to `most`. */
  | { readonly verb: 'next'; readonly iteration: number; readonly most: number }
  | { readonly verb: 'leave'; readonly iteration: number }
  /** Nobody holds this object any more, which was handed out so many times. */
  | { readonly verb: 'drop'; readonly id: number; readonly times: number }

export type ToHost =
  | { readonly kind: 'ask'; readonly call: number; readonly ask: Ask }
  /** The caller was interrupted and does not wait for this call any more. */
  | { readonly kind: 'abandoned'; readonly call: number }
  | {
      readonly kind: 'pulled'
      readonly source: number
      readonly values: readonly Packed[]
      readonly isDone: boolean
      readonly error: SentError | undefined
    }
  | {
      readonly kind: 'invoked'
      readonly invocation: number
      readonly value: Packed
      readonly error: SentError | undefined
    }

export type FromHost =
  | { readonly kind: 'answer'; readonly call: number; readonly value: Packed }
  | { readonly kind: 'failed'; readonly call: number; readonly error: SentError }
  | { readonly kind: 'pull'; readonly source: number; readonly most: number }
  /** No more of this source is wanted. */
  | { readonly kind: 'enough'; readonly source: number }
  /** A function of the caller is to be called. */
  | {
      readonly kind: 'invoke'
      readonly callback: number
      readonly invocation: number
      readonly args: Packed
    }
  /** It will not be called any more. */
  | { readonly kind: 'uncalled'; readonly callback: number }

/** A page of an iteration: `error` comes behind the values, and nothing follows it. */
export interface Page<Value, Failure> {
  readonly values: readonly Value[]
  readonly isDone: boolean
  readonly error: Failure | undefined
}
export type SentPage = Page<Packed, SentError>
