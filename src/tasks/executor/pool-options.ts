/**
 * What a pool is made with.
 *
 * Not here: the pool (pool.ts), and what nodes are made with (node/options.ts).
 */
import type { Digest } from '../../ids.ts'
import type { ExecutorEvent } from './executor.ts'
import type { Saying } from './guest.ts'

export type Isolation = 'thread' | 'process'

export interface PoolOptions {
  /** 1 to `slotsMax`. */
  readonly slots: number
  /** Where the module of this digest lies on disk, as an `.mjs` file. */
  readonly code: (digest: Digest) => string
  /** Where data lies that inputs name: files named by their ids. */
  readonly dataFolder?: string
  /** The id of this node. */
  readonly node: string
  /** Megabytes of heap of one engine; a task that needs more ends it. */
  readonly heapMb?: number
  /** What an engine is: a thread of this process, or a process of its own. */
  readonly isolation?: Isolation
  /** How much engines give way to other processes, 0 to 19; default 0. */
  readonly nice?: number
  /** An engine that begins nothing for so long is replaced. Default 30 s. */
  readonly deafAfterMs?: number
  /** A task of this engine speaks with the node; `undefined` once the engine has ended. Every engine has a number of its own. */
  readonly onSaid?: ((engine: number, said: Saying | undefined) => void) | undefined
  /** Whether a task may go on in this slot, as far as others are concerned who run there; they say so by `turn`. */
  readonly mayResume?: (slot: number) => boolean
  /** Called in a microtask of its own, never from within a call to the pool. */
  readonly onEvent: (event: ExecutorEvent) => void
}
