/**
 * What an app's thread and the thread behind it, where its node or the network of its client runs, say to each other.
 *
 * Not here: who does what about it (thread.ts for the app, host.ts for the other end).
 * Everything is plain data that structured clone copies. What clients and entries say stays encoded, as on any other way.
 */
import type { Search } from '../client/line.ts'
import type { SentError } from '../client/sync/protocol.ts'
import type { NodeOptions } from '../node/options.ts'
import type { SourceInput } from '../node/sources.ts'
import type { Saying, Told } from '../tasks/executor/guest.ts'

/** What was told to an app that has not heard it yet; with more, its line ends as that of any client that does not read. */
export const unheardBytesMax = 64 << 20

/** What can be copied; functions stay with the app, and are asked for. */
export type PlainOptions = Omit<NodeOptions, 'key' | 'onNote' | 'probe' | 'hosted'>

/** Each is answered. */
export type Call =
  | {
      readonly verb: 'begin-node'
      readonly keyText: string
      readonly options: PlainOptions
      readonly hasProbe: boolean
    }
  | {
      readonly verb: 'begin-client'
      readonly keyText: string
      readonly search: Search
    }
  /** The line of the app's client. */
  | { readonly verb: 'open' }
  | { readonly verb: 'leave' }
  | { readonly verb: 'close' }
  /** The node. */
  | { readonly verb: 'drain'; readonly timeout: number }
  | { readonly verb: 'stop' }

export type ToHost =
  | Saying
  | { readonly kind: 'call'; readonly call: number; readonly of: Call }
  /** The caller's signal has fired. */
  | { readonly kind: 'abort'; readonly call: number }
  | { readonly kind: 'learn'; readonly addresses: readonly string[] }
  /** Of sources that the app offers. */
  | { readonly kind: 'news'; readonly news: SourceInput }
  | Answer

/** What only the app can do: find an entry, and look whether somebody uses the machine. */
export type Question = 'attach' | 'idleMs' | 'load'

/** A node as it was a moment ago. */
export interface Facts {
  readonly addresses: readonly string[]
  readonly counters: Readonly<Record<string, number>>
}

/** To a call or a question of this number. */
export interface Answer {
  readonly kind: 'answer'
  readonly to: number
  readonly value: unknown
  readonly error: SentError | undefined
}

export type FromHost =
  | Told
  | Answer
  | { readonly kind: 'question'; readonly ask: number; readonly what: Question }
  /** The line was lost. */
  | { readonly kind: 'closed'; readonly reason: string }
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'facts'; readonly facts: Facts }
  /** The next item of a source of the app. */
  | { readonly kind: 'pull'; readonly name: string }
  /** The node looks no more. */
  | { readonly kind: 'probe-closed' }
  /** The node has stopped. */
  | { readonly kind: 'stopped' }

/** What the thread begins with. */
export interface HostData {
  /** Bytes on their way to the app. */
  readonly unheard: SharedArrayBuffer
}

export const sizeOf = (parts: readonly Uint8Array[]): number =>
  parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
