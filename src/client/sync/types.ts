/**
 * Types of the blocking client, derived from those of the asynchronous one: promises become their values, asynchronous
 * iterables plain ones.
 *
 * Not here: how it is done (stubs.ts). Verbs that infer a type from a function are written down again, since TypeScript
 * derives nothing from those; everything else is whatever the asynchronous client has.
 */
import type { ProgramResult } from '../../tasks/executor/program.ts'
import type { Hold } from '../coordination/hold.ts'
import type { LeaseOptions, MeshLock, MeshSemaphore } from '../coordination/lock.ts'
import type { WaitingOptions } from '../coordination/options.ts'
import type { MeshQueue, QueueOptions } from '../coordination/queue.ts'
import type { MeshEvent, MeshVariable } from '../coordination/variable.ts'
import type { Endable, Ended, Waited, WaitOptions } from '../endings.ts'
import type { ModuleFunction } from '../functions.ts'
import type { Calls, CallValues } from '../graph.ts'
import type { EachInput, ProgramOptions } from '../programs.ts'
import type { Filling, Given, Received, ReceivedAll } from '../stand-ins.ts'
import type { LiveSource, ReadOptions } from '../stream.ts'
import type {
  Client,
  DataSource,
  GraphHandle,
  JobHandle,
  MapOptions,
  PutOptions,
  Result,
  TaskHandle,
  TaskOptions
} from '../types.ts'
import type { BalancedView, Chunk, ImapOptions } from '../views/balanced.ts'
import type { AsyncResult } from '../views/result.ts'
import type { DirectView, Targets } from '../views/view.ts'

/** What a blocking call gives for what the asynchronous one gives. Work gives its value; with `block: false`, see `Blocking`. */
export type Settled<T> =
  T extends Promise<infer V>
    ? V
    : T extends AsyncIterableIterator<infer I>
      ? IterableIterator<I>
      : T extends TaskHandle<unknown> | JobHandle<unknown> | AsyncResult<unknown>
        ? Blocking<T>
        : T extends AsyncIterable<infer I>
          ? Iterable<I>
          : T

type Unblocked = 'then' | 'catch' | 'finally' | typeof Symbol.asyncIterator | typeof Symbol.asyncDispose

/**
 * An object of the asynchronous client in blocking hands: every method waits and gives the value. Listeners, as those of
 * `onProgress`, are called on the caller's thread while a call of the client waits; of what they were to be told meanwhile, the
 * last 1,024 calls are kept.
 */
export type Blocking<T> = {
  readonly [K in keyof T as K extends Unblocked ? never : K]: K extends symbol
    ? T[K]
    : T[K] extends (...args: infer A) => infer G
      ? (...args: Unsignalled<A>) => Settled<G>
      : Settled<T[K]>
} & (T extends AsyncIterable<infer I> ? Iterable<I> : unknown)

/** Nothing can send a signal to a thread that sleeps. */
type Unsignalled<A> = {
  [K in keyof A]: 'signal' extends keyof NonNullable<A[K]> ? WithoutSignal<A[K]> : A[K]
}
/** Not left out: any object fits where all is optional. */
type WithoutSignal<O> = { [K in keyof O]: K extends 'signal' ? never : O[K] }
/** What a function gives that is called on the caller's thread: a promise would need that thread to go on. */
type AtOnce<R> = R extends PromiseLike<unknown> ? never : R

/** What somebody holds. There is no `signal`: ask `isHeld` between two steps. */
export type SyncHold = Omit<Blocking<Hold>, 'signal' | 'onEnd' | 'lost'>
interface Shared {
  acquire(options?: WithoutSignal<WaitingOptions>): SyncHold
  /** Holds it if it is free now; else `undefined`. */
  tryAcquire(): SyncHold | undefined
  /** See `MeshLock`; `work` is called on the caller's thread, and cannot be asynchronous. */
  with<R>(work: (hold: SyncHold) => AtOnce<R>, options?: WithoutSignal<WaitingOptions>): R
}
export type SyncLock = Omit<Blocking<MeshLock>, keyof Shared> & Shared
export type SyncSemaphore = Omit<Blocking<MeshSemaphore>, keyof Shared> & Shared
export type SyncVariable<T> = Omit<Blocking<MeshVariable<T>>, 'update'> & {
  /** See `MeshVariable`; `change` is called on the caller's thread, and cannot be asynchronous. */
  update(change: (value: T | undefined) => T): T
}

/** As of the asynchronous client; nothing can send a signal to a thread that sleeps. */
export type SyncTaskOptions = Omit<TaskOptions, 'signal'>
export type SyncMapOptions = Omit<MapOptions, 'signal'>
/** Work that was begun with `block: false`. */
export type SyncHandle<R> = Blocking<TaskHandle<R>>
/** A job: iterates over its results in input order, each as soon as it is there. Leaving early cancels the rest, but not by `job(id)`. */
export type SyncJob<R> = Blocking<JobHandle<R>>

export type SyncGraph<N extends Calls> = Omit<Blocking<GraphHandle<N>>, 'task'> & {
  /** See `GraphHandle`. */
  task<K extends keyof N>(name: K): SyncHandle<CallValues<N>[K]>
}
/** As of the asynchronous client; inputs cannot be asynchronous. */
export type SyncProgramOptions = Omit<ProgramOptions, 'signal' | 'each'> & {
  readonly each?: Iterable<EachInput>
}

/** Gives a handle, and does not wait. */
interface Later {
  readonly block: false
}
interface Zip {
  readonly zip: true
}
/** Sources of several arguments, side by side. */
type Zipped<A extends readonly unknown[]> = { readonly [K in keyof A]: Iterable<A[K]> }
/** What calls of a view give: the value, or of a view with `block: false` a handle. */
type Of<B extends boolean, R> = B extends true ? R : Blocking<AsyncResult<R>>

/** The engines of `mesh.view()`, with every verb of a `DirectView`. */
export type SyncView<B extends boolean = true> = {
  readonly [K in Exclude<keyof DirectView, 'map' | 'apply' | 'pull'>]: DirectView[K] extends (
    ...args: infer A
  ) => infer G
    ? (...args: A) => G extends AsyncResult<infer R> ? Of<B, R> : Settled<G>
    : never
} & {
  apply(fn: ((...args: never[]) => unknown) | ModuleFunction, ...args: readonly unknown[]): Of<B, unknown>
  map<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    inputs: Zipped<A>,
    options: Zip
  ): Of<B, Result<R>[]>
  map<I extends Filling<P>, R, P = Received<I>>(
    fn: ((input: P) => R) | ModuleFunction,
    inputs: Iterable<I>
  ): Of<B, Result<R>[]>
  pull(name: string | readonly string[]): Of<B, unknown>
}

/** The whole mesh as of `mesh.balanced()`, with every verb of a `BalancedView`. */
export interface SyncBalancedView<B extends boolean = true> extends Record<keyof BalancedView, unknown> {
  apply<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    ...args: A
  ): Of<B, Result<R>>
  map<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    inputs: Zipped<A>,
    options: SyncMapOptions & Chunk & Zip
  ): Of<B, Result<R>[]>
  map<I extends Filling<P>, R, P = Received<I>>(
    fn: ((input: P) => R) | ModuleFunction,
    inputs: Iterable<I>,
    options?: SyncMapOptions & Chunk
  ): Of<B, Result<R>[]>
  imap<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    inputs: Zipped<A>,
    options: ImapOptions & Zip
  ): Blocking<AsyncResult<Result<R>[]>>
  imap<I extends Filling<P>, R, P = Received<I>>(
    fn: ((input: P) => R) | ModuleFunction,
    inputs: Iterable<I>,
    options?: ImapOptions
  ): Blocking<AsyncResult<Result<R>[]>>
}

/** Verbs that give work: they wait for its value, or with `block: false` give a handle. */
interface Working {
  submit<R = unknown>(
    fn: ModuleFunction,
    args: readonly unknown[] | undefined,
    options: SyncTaskOptions & Later
  ): SyncHandle<R>
  submit<R = unknown>(fn: ModuleFunction, args?: readonly unknown[], options?: SyncTaskOptions): R
  submit<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: (...args: P) => R,
    args: readonly [...A] | undefined,
    options: SyncTaskOptions & Later
  ): SyncHandle<Result<R>>
  submit<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: (...args: P) => R,
    args?: readonly [...A],
    options?: SyncTaskOptions
  ): Result<R>
  submit<P extends readonly unknown[], R>(
    fn: (...args: P) => R,
    args?: Given<P>,
    options?: SyncTaskOptions
  ): Result<R>
  /** A generator is pulled on the caller's thread, while a call of this client waits. */
  map<R = unknown>(fn: ModuleFunction, inputs: Iterable<unknown>, options: SyncMapOptions & Later): SyncJob<R>
  map<R = unknown>(fn: ModuleFunction, inputs: Iterable<unknown>, options?: SyncMapOptions): R[]
  map<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: (...args: P) => R,
    inputs: Zipped<A>,
    options: SyncMapOptions & Zip & Later
  ): SyncJob<Result<R>>
  map<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: (...args: P) => R,
    inputs: Zipped<A>,
    options: SyncMapOptions & Zip
  ): Result<R>[]
  map<I extends Filling<P>, R, P = Received<I>>(
    fn: (input: P) => R,
    inputs: Iterable<I>,
    options: SyncMapOptions & Later
  ): SyncJob<Result<R>>
  map<I extends Filling<P>, R, P = Received<I>>(
    fn: (input: P) => R,
    inputs: Iterable<I>,
    options?: SyncMapOptions
  ): Result<R>[]
  map<P, R>(fn: (input: P) => R, inputs: Iterable<Filling<P>>, options?: SyncMapOptions): Result<R>[]
  run(options: SyncProgramOptions & Later): SyncJob<ProgramResult>
  run(options: SyncProgramOptions): ProgramResult[]
  graph<const N extends Calls>(calls: N, options: SyncMapOptions & Later): SyncGraph<N>
  graph<const N extends Calls>(calls: N, options?: SyncMapOptions): CallValues<N>
}

/** Verbs whose types depend on what they are given. */
interface Typed {
  variable<T = unknown>(name: string): SyncVariable<T>
  event(name: string): Blocking<MeshEvent>
  lock(name: string, options?: LeaseOptions): SyncLock
  semaphore(name: string, permits: number, options?: LeaseOptions): SyncSemaphore
  queue<T = unknown>(name: string, options?: QueueOptions): Blocking<MeshQueue<T>>
  job<R = unknown>(id: string, options?: { readonly returnErrors?: boolean }): SyncJob<R>
  task<R = unknown>(id: string): SyncHandle<R>
  wait<H extends Endable>(handles: Iterable<H>, options?: Omit<WaitOptions, 'signal'>): Waited<H>
  asCompleted<H extends Endable>(
    handles: Iterable<H>,
    options?: Omit<WaitOptions, 'until' | 'signal'>
  ): IterableIterator<Ended<H>>
  source<T = unknown>(name: string, options?: Omit<ReadOptions, 'signal'>): Blocking<LiveSource<T>>
  put(
    source: Exclude<DataSource, AsyncIterable<Uint8Array>>,
    options?: Omit<PutOptions, 'signal'>
  ): ReturnType<Derived['put']>
  /** With `block: false`, calls of the view give handles. A predicate is called on the caller's thread. */
  view(targets: Targets): SyncView
  view(targets: Targets, options: Later): SyncView<false>
  balanced(options: Omit<SyncTaskOptions, 'key'> & Later): SyncBalancedView<false>
  balanced(options?: Omit<SyncTaskOptions, 'key'>): SyncBalancedView
}

type Derived = Blocking<Client>

/** Every verb of `Client`. */
export interface SyncClient extends Omit<Derived, keyof Working | keyof Typed>, Working, Typed, Disposable {
  /** Results in input order, each as soon as it is there; inputs may be endless. The same as iterating `map` with `block: false`. */
  imap<R = unknown>(fn: ModuleFunction, inputs: Iterable<unknown>, options?: SyncMapOptions): SyncJob<R>
  imap<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: (...args: P) => R,
    inputs: Zipped<A>,
    options: SyncMapOptions & Zip
  ): SyncJob<Result<R>>
  imap<I extends Filling<P>, R, P = Received<I>>(
    fn: (input: P) => R,
    inputs: Iterable<I>,
    options?: SyncMapOptions
  ): SyncJob<Result<R>>
  imap<P, R>(fn: (input: P) => R, inputs: Iterable<Filling<P>>, options?: SyncMapOptions): SyncJob<Result<R>>
  /** Also done when the process ends. */
  close(): void
}
