/**
 * The blocking client: the same verbs, each of which returns its value and nothing that has to be awaited.
 *
 * Not here: the asynchronous client behind it (host.ts) and how a thread sleeps (channel.ts).
 * For scripts and people at a prompt, who think in steps. A process that serves others should use `connect()`: nothing else of
 * it runs while a call waits.
 */
import { type ErrorCode, type RunMetadata, ShoalError } from '../../errors.ts'
import { keyText, MeshKey } from '../../node/key.ts'
import type { JobSummary, MemberInfo, StatusReport } from '../answers.ts'
import { isModuleFunction, type ModuleFunction } from '../functions.ts'
import type { ConnectOptions } from '../remote.ts'
import type { Completed, JobStatus, MapOptions, Progress, TaskOptions } from '../types.ts'
import { encodeArgs } from '../values.ts'
import { type Caller, Channel } from './channel.ts'
import { unpackError } from './failures.ts'
import type { Ask, Look, Page, SentError, SentFunction, SentInputs } from './protocol.ts'

/** Results that are fetched at a time while they are iterated. */
const pageMost = 256

export type SyncConnectOptions = Omit<ConnectOptions, 'signal'>
/** As of the asynchronous client; nothing can send a signal to a thread that sleeps. */
export type SyncTaskOptions = Omit<TaskOptions, 'signal'>
export type SyncMapOptions = Omit<MapOptions, 'signal'>

/** Work that was begun with `block: false`. */
export interface SyncHandle<R> {
  readonly id: string
  /**
   * Waits for the value. Throws TaskError, CompositeError or ShoalError; SHOAL_TIMEOUT after `timeout` milliseconds, and the work
   * goes on.
   */
  get(timeout?: number): R
  /** True once it has ended, well or not; false after `timeout` milliseconds. */
  wait(timeout?: number): boolean
  readonly ready: boolean
  /** True if it has ended and nothing failed. */
  readonly successful: boolean
  readonly progress: Progress
  /** See `JobHandle`; of a task without an index. */
  metadata(index?: number): RunMetadata | undefined
  status(): JobStatus
  cancel(): void
  release(): void
}

/** A job: iterates over its results in input order, each as soon as it is there. Leaving early cancels the rest. */
export interface SyncJob<R> extends SyncHandle<R[]>, Iterable<R> {
  /** Results as they come. */
  asCompleted(): Iterable<Completed<R>>
}

export interface SyncClient extends Disposable {
  /** One task. Waits for its value, or with `block: false` gives a handle. */
  submit<A extends readonly unknown[], R>(
    fn: (...args: A) => R,
    args: A | undefined,
    options: SyncTaskOptions & { readonly block: false }
  ): SyncHandle<Awaited<R>>
  submit<A extends readonly unknown[], R>(
    fn: (...args: A) => R,
    args?: A,
    options?: SyncTaskOptions
  ): Awaited<R>
  submit<R = unknown>(
    fn: ModuleFunction,
    args: readonly unknown[] | undefined,
    options: SyncTaskOptions & { readonly block: false }
  ): SyncHandle<R>
  submit<R = unknown>(fn: ModuleFunction, args?: readonly unknown[], options?: SyncTaskOptions): R
  /**
   * One task for each input. Waits for all results, or with `block: false` gives a handle. A generator is pulled on the
   * caller's thread, while a call of this client waits.
   */
  map<I, R>(
    fn: (input: I) => R,
    inputs: Iterable<I>,
    options: SyncMapOptions & { readonly block: false }
  ): SyncJob<Awaited<R>>
  map<I, R>(fn: (input: I) => R, inputs: Iterable<I>, options?: SyncMapOptions): Awaited<R>[]
  map<R = unknown>(
    fn: ModuleFunction,
    inputs: Iterable<unknown>,
    options: SyncMapOptions & { readonly block: false }
  ): SyncJob<R>
  map<R = unknown>(fn: ModuleFunction, inputs: Iterable<unknown>, options?: SyncMapOptions): R[]
  /** Results in input order, each as soon as it is there; inputs may be endless. The same as iterating `map` with `block: false`. */
  imap<I, R>(fn: (input: I) => R, inputs: Iterable<I>, options?: SyncMapOptions): Iterable<Awaited<R>>
  imap<R = unknown>(fn: ModuleFunction, inputs: Iterable<unknown>, options?: SyncMapOptions): Iterable<R>
  /** A job that anybody made, by its id. */
  job<R = unknown>(id: string, options?: { readonly returnErrors?: boolean }): SyncJob<R>
  jobs(): JobSummary[]
  members(): MemberInfo[]
  status(): StatusReport
  drain(node: string): void
  /** Also done when the process ends. */
  close(): void
}

/**
 * Attaches and waits until a node has answered. Takes what `connect()` takes, without `signal`, and throws what it rejects
 * with. Values are copied between threads on the way: a Buffer arrives as a Uint8Array.
 */
export function connectSync(options: SyncConnectOptions = {}): SyncClient {
  const { key, ...rest } = options
  if ('signal' in rest) throw badOption('`signal` cannot end a call that blocks; use `timeout`')
  const isKey = key instanceof MeshKey
  const plain = key === undefined || isKey ? rest : { ...rest, key }
  const channel = new Channel(plain, isKey ? keyText(key) : undefined)
  try {
    channel.call({ verb: 'open' }, connectSync)
  } catch (error) {
    channel.end()
    throw error
  }
  return new BlockingClient(channel) as unknown as SyncClient
}

/** Lets the host forget handles that nobody holds any more. */
const forgotten = new FinalizationRegistry<{ channel: Channel; handle: number }>(({ channel, handle }) =>
  channel.tell({ verb: 'drop', handles: [handle] })
)

class BlockingClient {
  readonly #channel: Channel

  constructor(channel: Channel) {
    this.#channel = channel
  }

  submit(fn: unknown, args: readonly unknown[] = [], options: object = {}): unknown {
    const { block, ...rest } = checked(options)
    const handle = block ? undefined : this.#channel.newHandle()
    const ask: Ask = { verb: 'submit', handle, fn: sentFunction(fn), args, options: rest }
    const value = askPlain(this.#channel, ask, this.submit, () => encodeArgs(args))
    return handle === undefined ? value : new BlockingHandle(this.#channel, handle, value as string)
  }

  map(fn: unknown, inputs: Iterable<unknown>, options: object = {}): unknown {
    return this.#map(fn, inputs, options, this.map)
  }

  imap(fn: unknown, inputs: Iterable<unknown>, options: object = {}): Iterable<unknown> {
    return this.#map(fn, inputs, { ...options, block: false }, this.imap) as BlockingJob
  }

  #map(fn: unknown, inputs: Iterable<unknown>, options: object, caller: Caller): unknown {
    const { block, ...rest } = checked(options)
    if (typeof inputs !== 'object' || inputs === null || !(Symbol.iterator in inputs))
      throw badOption('the inputs are not iterable; an async iterable needs the asynchronous client')
    const handle = block ? undefined : this.#channel.newHandle()
    const sent: SentInputs = Array.isArray(inputs)
      ? { kind: 'all', values: inputs }
      : { kind: 'source', source: this.#channel.offer(inputs[Symbol.iterator]()) }
    const ask: Ask = { verb: 'map', handle, fn: sentFunction(fn), inputs: sent, options: rest }
    const value = askPlain(this.#channel, ask, caller, () => {
      for (const input of Array.isArray(inputs) ? inputs : []) encodeArgs([input])
    })
    const isExact = 'inFlightMax' in rest
    return handle === undefined
      ? value
      : new BlockingJob(this.#channel, handle, value as string, isExact ? 1 : pageMost)
  }

  job(id: string, options: object = {}): BlockingJob {
    const handle = this.#channel.newHandle()
    const found = this.#channel.call<string>({ verb: 'job', handle, id, options }, this.job)
    return new BlockingJob(this.#channel, handle, found, pageMost)
  }

  jobs(): unknown {
    return this.#channel.call({ verb: 'jobs' }, this.jobs)
  }

  members(): unknown {
    return this.#channel.call({ verb: 'members' }, this.members)
  }

  status(): unknown {
    return this.#channel.call({ verb: 'mesh-status' }, this.status)
  }

  drain(node: string): void {
    this.#channel.call({ verb: 'drain', node }, this.drain)
  }

  close(): void {
    try {
      this.#channel.call({ verb: 'close' }, this.close)
    } catch (error) {
      const isOver: readonly ErrorCode[] = ['SHOAL_BLOCKING_HOST_LOST', 'SHOAL_CLOSED']
      if (!(error instanceof ShoalError) || !isOver.includes(error.code)) throw error
    } finally {
      this.#channel.end()
    }
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

class BlockingHandle<R> implements SyncHandle<R> {
  readonly id: string
  protected readonly channel: Channel
  protected readonly handle: number

  constructor(channel: Channel, handle: number, id: string) {
    this.channel = channel
    this.handle = handle
    this.id = id
    forgotten.register(this, { channel, handle })
  }

  get(timeout?: number): R {
    const value = this.channel.call<R>({ verb: 'get', handle: this.handle, timeout }, this.get)
    return value
  }

  wait(timeout?: number): boolean {
    return this.channel.call({ verb: 'wait', handle: this.handle, timeout }, this.wait)
  }

  get ready(): boolean {
    return this.#look().isReady
  }

  get successful(): boolean {
    return this.#look().isSuccessful
  }

  get progress(): Progress {
    return this.#look().progress
  }

  metadata(index = 0): RunMetadata | undefined {
    return this.channel.call({ verb: 'metadata', handle: this.handle, index }, this.metadata)
  }

  status(): JobStatus {
    return this.channel.call({ verb: 'status', handle: this.handle }, this.status)
  }

  cancel(): void {
    this.channel.call({ verb: 'cancel', handle: this.handle }, this.cancel)
  }

  release(): void {
    this.channel.call({ verb: 'release', handle: this.handle }, this.release)
  }

  #look(): Look {
    return this.channel.call({ verb: 'look', handle: this.handle }, this.status)
  }
}

class BlockingJob extends BlockingHandle<unknown[]> implements SyncJob<unknown> {
  readonly #most: number

  constructor(channel: Channel, handle: number, id: string, most: number) {
    super(channel, handle, id)
    this.#most = most
  }

  [Symbol.iterator](): Iterator<unknown> {
    return this.#pages(true)
  }

  *asCompleted(): Generator<Completed<unknown>> {
    for (const one of this.#pages(false)) {
      const { error, ...rest } = one as { index: number; value?: unknown; error?: SentError }
      yield (error === undefined ? rest : { ...rest, error: unpackError(error) }) as Completed<unknown>
    }
  }

  *#pages(isOrdered: boolean): Generator<unknown> {
    const ask: Ask = { verb: 'next', handle: this.handle, isOrdered, most: this.#most }
    let isAtEnd = false
    try {
      while (!isAtEnd) {
        const page = this.channel.call<Page>(ask, this[Symbol.iterator])
        yield* page.values
        isAtEnd = page.isDone
        if (page.error !== undefined) throw this.channel.failure(page.error, this[Symbol.iterator])
      }
    } finally {
      if (!isAtEnd) this.cancel()
    }
  }
}

function checked(options: object): { block: boolean } & Record<string, unknown> {
  const { block = true, ...rest } = options as { block?: unknown }
  if (typeof block !== 'boolean') throw badOption('`block` is true or false')
  if ('signal' in rest)
    throw badOption('`signal` cannot end a call that blocks; use `timeout`, or `block: false`')
  return { ...rest, block }
}

function sentFunction(fn: unknown): SentFunction {
  if (isModuleFunction(fn)) return { kind: 'module', file: fn.file, exportName: fn.exportName }
  if (typeof fn === 'function')
    return { kind: 'text', name: fn.name, text: Function.prototype.toString.call(fn) }
  throw new ShoalError('SHOAL_BAD_FUNCTION', `expected a function, got ${typeof fn}`)
}

/** What cannot be copied is named by the codec, which knows the path to it. */
function askPlain(channel: Channel, ask: Ask, caller: Caller, explain: () => void): unknown {
  try {
    return channel.call(ask, caller)
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'DataCloneError') throw error
    explain()
    throw new ShoalError('SHOAL_BAD_VALUE', `a value cannot be copied: ${error.message}`, { cause: error })
  }
}

function badOption(text: string): ShoalError {
  return new ShoalError('SHOAL_BAD_OPTION', text)
}
