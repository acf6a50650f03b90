/**
 * What people hold in their hands: the client, handles of jobs and tasks, and the options of both.
 *
 * Not here: how it is done (client.ts, handle.ts). The names follow IPython's, in camelCase.
 */
import type { Ref } from '../data/ref.ts'
import type { RunMetadata } from '../errors.ts'
import type { Requires } from '../routing/requirement.ts'
import type { ProgramResult } from '../tasks/executor/program.ts'
import type { Explanation, JobSummary, MemberInfo, StatusReport } from './answers.ts'
import type { Later } from './awaitable.ts'
import type { LeaseOptions, MeshLock, MeshSemaphore } from './coordination/lock.ts'
import type { MeshQueue, QueueOptions } from './coordination/queue.ts'
import type { MeshEvent, MeshVariable } from './coordination/variable.ts'
import type { Endable, Ended, Waited, WaitOptions } from './endings.ts'
import type { ModuleFunction } from './functions.ts'
import type { Calls, CallValues } from './graph.ts'
import type { Waitable } from './places.ts'
import type { ProgramOptions } from './programs.ts'
import type { Watchable, WatchOptions } from './progress.ts'
import type { Filling, Given, Received, ReceivedAll } from './stand-ins.ts'
import type { LiveSource, ReadOptions } from './stream.ts'
import type { Times } from './timing.ts'
import type { BalancedView } from './views/balanced.ts'
import type { EngineInfo } from './views/engines.ts'
import type { WaitForEngines } from './views/until.ts'
import type { DirectView, Targets } from './views/view.ts'
import type { DependencyOption } from './waits.ts'

/** Any function that captures nothing, or a module's export by `moduleFunction()`. */
// biome-ignore lint/suspicious/noExplicitAny: user functions take and give what they like.
export type TaskFunction<A extends readonly any[] = any[], R = any> = ((...args: A) => R) | ModuleFunction

/** What arrives of what a function gives: promises are awaited, and of a generator all that it yields, as an array. */
export type Result<R> =
  Awaited<R> extends Generator<infer T> | AsyncGenerator<infer T> ? Awaited<T>[] : Awaited<R>

export interface TaskOptions {
  /** For people, in `jobs()` and `shoal jobs`. Default: the function's name. */
  readonly name?: string
  /**
   * Clients that submit the same key share one job of whoever was first, once all of its inputs are in: the function, inputs and
   * options of the others are not looked at. Who cancels leaves it to the others; the last one cancels it. The job of a key that
   * was cancelled by all is made anew; one that was released is SHOAL_NOT_FOUND for as long as the mesh remembers that. Needs most
   * of the nodes that keep locks (SHOAL_NO_QUORUM). 1 to 256 characters; not within tasks. Default: a job of its own.
   */
  readonly key?: string
  /**
   * Further runs of a task that threw or met its `timeout`, at nodes where it did not run yet if such are free. Default 0. A
   * task whose engine was lost runs again in any case; after it ended three engines it fails with TASK_POISONED.
   */
  readonly retries?: number
  /** Milliseconds one run may take; then its engine is ended and the run has failed with TASK_TIMEOUT. Default: none. */
  readonly timeout?: number
  /**
   * Milliseconds a task may wait for an engine; then it fails with TASK_QUEUE_TIMEOUT. Default: none. Counted by the owner of
   * the task, from when it has it; a new owner counts anew. A task that has begun is never touched, also if it has to begin
   * again because its engine was lost. A task that lies at a node behind a long one may wait up to a second longer.
   */
  readonly queueTimeout?: number
  /** Higher runs earlier. Default 0. */
  readonly priority?: number
  /** Values that the function captures, by name; they travel with its code. */
  readonly scope?: Readonly<Record<string, unknown>>
  /** Copies of the work and its results: default 3, or all nodes if there are fewer; `min` refuses fewer (SHOAL_NO_KEEPERS). */
  readonly keepers?: number | { readonly count?: number; readonly min?: number }
  /**
   * Never begun a second time: it costs a round of messages before the start, and if the task's engine is lost it fails
   * with TASK_UNKNOWN; and if the client that submitted its `key` is lost before it was done with that, others that submit it
   * get SHOAL_UNDECIDED. Default false: a task whose engine is lost runs again.
   */
  readonly atMostOnce?: boolean
  /** Milliseconds for which results are kept at least once all are there. Default 24 h. See `release()`. */
  readonly retention?: number
  /**
   * What a node must have to run it: labels, resources (whole numbers, held while a task runs), a source. While no node has
   * it, tasks wait, `explain()` says for every node what is missing, and `queueTimeout` bounds it. Default: nothing.
   */
  readonly requires?: Requires
  /** Whole ids of nodes (`<id>`, see members()) or engines (`<id>/<slot>`), one of which must run it. Default: any. */
  readonly targets?: readonly string[]
  /**
   * Begins when these tasks have ended: handles, `job.task(index)`, ids, or a `Dependency` that says which endings count.
   * If they cannot end so any more, it fails at once with TASK_DEPENDENCY; if nobody knows them, it rejects with
   * SHOAL_BAD_DEPENDENCY. Default: nothing.
   */
  readonly after?: DependencyOption
  /**
   * The same, and it runs on the engine where they ran; after several on different engines it fails with TASK_DEPENDENCY.
   * If that engine's node is gone by then, it runs anywhere.
   */
  readonly follow?: DependencyOption
  /** Ends waiting, and cancels the job. */
  readonly signal?: AbortSignal
}

export interface MapOptions extends TaskOptions {
  /** Failed tasks appear as `TaskError` values among the results, and nothing rejects. Default false. */
  readonly returnErrors?: boolean
  /**
   * Inputs that were pulled and whose result was not taken out yet, at most. Default 1,024 for iterables that may be endless
   * (async ones and generators), unlimited for arrays. Counted in shards, so it may be exceeded by one shard.
   */
  readonly inFlightMax?: number
}

/** Inputs one after the other: an array, a generator, an asynchronous iterable. */
export type Inputs<I> = Iterable<I> | AsyncIterable<I>
/** Sources of several arguments, side by side. */
export type Zipped<A extends readonly unknown[]> = { readonly [K in keyof A]: Inputs<A[K]> }

export interface Progress {
  readonly done: number
  /** 1 of a single task, which is done or not; `undefined` while more inputs may come. */
  readonly total: number | undefined
  /** Of those that are done; also those that were cancelled. */
  readonly failed: number
}

/** What a running task said last by `task.progress()`. */
export interface TaskProgress {
  readonly index: number
  /** From 0 to 1. */
  readonly fraction: number
  readonly text: string
}

export interface JobProgress extends Progress {
  /** Tasks that run and have said how far they are. Words may be lost, so this is a hint and no record. */
  readonly running: readonly TaskProgress[]
}

/** What a task printed since the last time. */
export interface Printed {
  readonly index: number
  readonly stdout: string
  readonly stderr: string
}

export interface JobStatus extends Progress {
  readonly id: string
  /** `cancelled` once this handle was, and for everybody once all has ended and some of it as cancelled. */
  readonly state: 'open' | 'running' | 'done' | 'cancelled'
}

/** One result as it arrives; `error` says whether it is one. */
export type Completed<R> =
  | { readonly index: number; readonly value: R; readonly error?: undefined }
  | { readonly index: number; readonly value?: undefined; readonly error: Error }

/** What an acknowledgement says. */
export interface Accepted {
  /**
   * Disks that had the work when it was acknowledged: of a job, that part of it which had the fewest. At least a majority of the
   * keepers. 0 if it is somebody else's work, which this handle only reads.
   */
  readonly copies: number
}

/**
 * Awaitable: all results in input order. Rejects with TaskError (one failed), CompositeError (several), or ShoalError. As an
 * argument of another task it stands for the list of its results.
 */
export interface JobHandle<R> extends Later<R[]>, AsyncIterable<R>, Waitable<R[]>, Times {
  readonly id: string
  readonly progress: Progress
  /**
   * Resolves when all inputs were pulled and are durable on a majority of their keepers: from then on the client may go. Of a
   * job with a `key`, once whoever submits that gets this very job; so does `accepted` of its single tasks.
   * Never for an endless source. Results that nobody takes out meanwhile are kept in memory.
   */
  readonly accepted: Promise<Accepted>
  /** Results as they come. Iterate a job once: in order, or as completed. Leaving early cancels the rest, but not by `job(id)`. */
  asCompleted(): AsyncIterable<Completed<R>>
  status(): Promise<JobStatus>
  /**
   * Tasks without an outcome end as cancelled. Resolves when that has been asked for. Rejects with what ended this handle before the
   * job, such as SHOAL_CLOSED: then the work goes on.
   */
  cancel(): Promise<void>
  /**
   * The mesh forgets the job and its results; who asks for it from then on gets SHOAL_NOT_FOUND. Resolves when all nodes
   * that are up have done so; others learn of it when they come back. Rejects with SHOAL_BAD_OPTION while tasks are open
   * (cancel it first), and with SHOAL_BUSY.
   */
  release(): Promise<void>
  /**
   * Where, when and at which attempt the task at `index` ran, and what became of earlier attempts, once it ended and until
   * its result is taken out one by one. Attempts under an owner that was lost since may be missing; numbers then have gaps.
   */
  metadata(index: number): RunMetadata | undefined
  /**
   * The task at `index`, whose inputs may still come: as an argument of others, in their `after` and `follow`, or to wait for it
   * and to cancel it alone. Its `id` opens it again elsewhere, by `client.task(id)`; it is released with its job.
   */
  task(index: number): TaskHandle<R>
  /** Why the task at `index` does not run, or where it does. Default: the first one without an outcome here. */
  explain(index?: number): Promise<Explanation>
  /** What each task printed, in input order; empty for those that have not ended, and once a result was taken out one by one. */
  readonly stdout: readonly string[]
  readonly stderr: readonly string[]
  /** Called with every change, at most once per batch of results or words; returns a function that ends it. */
  onProgress(listener: (progress: JobProgress) => void): () => void
  /**
   * Called with what tasks print, as they run and when they end; returns a function that ends it. Parts may be lost while a
   * task runs: then all that it printed is told again when it ends. At most 8 Ki characters of a task in 100 ms.
   */
  onOutput(listener: (printed: Printed) => void): () => void
}

/** Awaitable: the value. Rejects with TaskError or ShoalError. As an argument of another task it stands for its value. */
export interface TaskHandle<R> extends Later<R>, Waitable<R>, Times {
  /** `client.task(id)` finds it again, from anywhere: the id of its job, or of one task of a job `<job>:<index>`. */
  readonly id: string
  readonly progress: Progress
  readonly accepted: Promise<Accepted>
  readonly metadata: RunMetadata | undefined
  /** What the task printed; empty until it has ended. */
  readonly stdout: string
  readonly stderr: string
  status(): Promise<JobStatus>
  /** Why it does not run, or where it does. */
  explain(): Promise<Explanation>
  /** Called with what the task says by `task.progress()`; returns a function that ends it. */
  onProgress(listener: (progress: TaskProgress) => void): () => void
  /** See `JobHandle`. */
  onOutput(listener: (printed: Printed) => void): () => void
  /** See `JobHandle`. */
  cancel(): Promise<void>
  release(): Promise<void>
}

/**
 * Awaitable: what the calls of a graph give, by their names or in a list as they were given. Rejects as a job does; its tasks
 * may stand in another order in `client.job(id)`: each behind those that it needs, otherwise as given.
 */
export interface GraphHandle<N extends Calls> extends Later<CallValues<N>>, Times {
  readonly id: string
  readonly progress: Progress
  /** See `JobHandle`. */
  readonly accepted: Promise<Accepted>
  /** One call; see `JobHandle.task`. Throws SHOAL_NOT_FOUND for other names. */
  task<K extends keyof N>(name: K): TaskHandle<CallValues<N>[K]>
  metadata(name: string | number): RunMetadata | undefined
  explain(name: string | number): Promise<Explanation>
  status(): Promise<JobStatus>
  onProgress(listener: (progress: JobProgress) => void): () => void
  cancel(): Promise<void>
  release(): Promise<void>
}

/** Bytes, a file of this machine, or a stream of bytes of any length. */
export type DataSource =
  | Uint8Array
  | { readonly file: string | URL }
  | Iterable<Uint8Array>
  | AsyncIterable<Uint8Array>

export interface PutOptions {
  /** What the bytes are, for people and programs. Default `application/octet-stream`. At most 128 characters. */
  readonly type?: string
  /** Copies: default 3, or all nodes if there are fewer. */
  readonly keepers?: number
  /** Milliseconds that it stays at least, also if no job names it. Default 24 h. */
  readonly retention?: number
  readonly signal?: AbortSignal
}

export interface Client extends AsyncDisposable {
  /**
   * Puts data into the mesh; the Ref that it gives is accepted anywhere in arguments and inputs, and arrives in the task as a
   * `Uint8Array`. Resolves when a majority of the nodes that are to keep it have it on disk. What is there already is not
   * sent again. It stays for `retention`, and as long as a job names it. Rejects with SHOAL_NO_KEEPERS (also if no node
   * has room for it), SHOAL_DISK, SHOAL_BAD_OPTION, SHOAL_NO_MESH, SHOAL_CANCELLED if `signal` aborts, or what the stream throws.
   */
  put(source: DataSource, options?: PutOptions): Promise<Ref>
  /** The bytes. Rejects with SHOAL_NOT_FOUND after 5 s (a minute while nodes are away), SHOAL_NO_MESH, or SHOAL_CANCELLED. */
  get(ref: Ref, options?: { readonly signal?: AbortSignal }): Promise<Uint8Array>
  /** The bytes as they come, in order. Who reads slowly holds the sender back, and needs no memory for the rest. */
  stream(ref: Ref, options?: { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>
  /** The bytes to a file, which appears when it is whole. */
  save(ref: Ref, path: string, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** These are not needed any more, unless jobs name them; their `retention` is over. */
  free(...refs: Ref[]): Promise<void>
  /** One task. */
  submit<R = unknown>(fn: ModuleFunction, args?: readonly unknown[], options?: TaskOptions): TaskHandle<R>
  submit<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: (...args: P) => R,
    args?: readonly [...A],
    options?: TaskOptions
  ): TaskHandle<Result<R>>
  submit<P extends readonly unknown[], R>(
    fn: (...args: P) => R,
    args?: Given<P>,
    options?: TaskOptions
  ): TaskHandle<Result<R>>
  /**
   * One task for each input. With `zip`, for each row of several sources, whose items are its arguments; the shortest source
   * ends it. One that throws ends the job at once: the rest is cancelled, and the job rejects with what was thrown.
   */
  map<R = unknown>(
    fn: ModuleFunction,
    inputs: Inputs<unknown>,
    options?: MapOptions & { readonly zip?: boolean }
  ): JobHandle<R>
  map<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: (...args: P) => R,
    inputs: Zipped<A>,
    options: MapOptions & { readonly zip: true }
  ): JobHandle<Result<R>>
  map<I extends Filling<P>, R, P = Received<I>>(
    fn: (input: P) => R,
    inputs: Inputs<I>,
    options?: MapOptions
  ): JobHandle<Result<R>>
  map<P, R>(fn: (input: P) => R, inputs: Inputs<Filling<P>>, options?: MapOptions): JobHandle<Result<R>>
  /**
   * A program on nodes that allow it (`allowRun`), once or for each input. A program that ends with another exit code than 0
   * fails its task with TASK_EXIT: see `TaskError.exit`.
   */
  run(options: ProgramOptions): JobHandle<ProgramResult>
  /**
   * Calls that need each other, as one job: `{ a: call(load, ['x']), b: call(count, [ref('a')]) }`, or a list. Throws
   * SHOAL_BAD_DEPENDENCY for circles and for names that are none of them. The functions are all plain, or all of one module.
   */
  graph<const N extends Calls>(calls: N, options?: MapOptions): GraphHandle<N>
  /** A job that anybody made; its `signal`, or leaving its loop, ends this handle alone. Rejects with SHOAL_NOT_FOUND. */
  job<R = unknown>(
    id: string,
    options?: { readonly returnErrors?: boolean; readonly signal?: AbortSignal }
  ): JobHandle<R>
  /**
   * A task that anybody submitted, by the id of its handle, which may have been kept as a string. Its client may be gone. Rejects
   * like `job()`; throws SHOAL_NOT_FOUND for what is no id of a task.
   */
  task<R = unknown>(id: string, options?: { readonly signal?: AbortSignal }): TaskHandle<R>
  /**
   * Waits for several handles and AsyncResults at once: until all have ended, one has, or something of one has failed. What
   * failed rejects nothing here; nothing is cancelled, and no result is taken out. Rejects with SHOAL_BAD_OPTION, and with
   * SHOAL_CANCELLED if `signal` aborts.
   */
  wait<H extends Endable>(handles: Iterable<H>, options?: WaitOptions): Promise<Waited<H>>
  /**
   * These handles one by one as they end, well or not; those first that have ended already. Throws SHOAL_TIMEOUT once `timeout`
   * milliseconds have passed in all. Leaving early cancels nothing.
   */
  asCompleted<H extends Endable>(
    handles: Iterable<H>,
    options?: Omit<WaitOptions, 'until'>
  ): AsyncIterableIterator<Ended<H>>
  /**
   * Small things that all of the mesh share by their names, kept by up to five of its nodes and safe as long as more than half of
   * those are there. Each throws SHOAL_BAD_OPTION for a name or option that cannot be used. See `MeshVariable` and the others.
   */
  variable<T = unknown>(name: string): MeshVariable<T>
  event(name: string): MeshEvent
  queue<T = unknown>(name: string, options?: QueueOptions): MeshQueue<T>
  lock(name: string, options?: LeaseOptions): MeshLock
  /** Held by `permits` at a time, which everybody who uses it must agree on. */
  semaphore(name: string, permits: number, options?: LeaseOptions): MeshSemaphore
  /**
   * Shows on stderr how far something is until it has ended: a bar on a terminal, elsewhere a line every five seconds. Resolves
   * with the last numbers, also if something failed; takes no result out. Rejects with SHOAL_CANCELLED if `signal` aborts.
   */
  watch(handle: Watchable, options?: WatchOptions): Promise<Progress>
  /**
   * Particular engines and their namespaces: `'all'` and a predicate are looked up anew at each call, ids and places in
   * `engines()` are fixed.
   */
  view(targets: Targets): DirectView
  /** The whole mesh, each task where there is room, with these options; a `key` would name all of its jobs. */
  balanced(options?: Omit<TaskOptions, 'key'>): BalancedView
  /** In the order of their ids. */
  engines(): Promise<EngineInfo[]>
  /**
   * Resolves with the engines once there are so many (default 1), each of which has run something or is busy. Rejects with
   * SHOAL_TIMEOUT, or with the TaskError of an engine that does not start.
   */
  waitForEngines(count?: number, options?: WaitForEngines): Promise<EngineInfo[]>
  /** Newest first. */
  jobs(): Promise<JobSummary[]>
  /** Nodes that are up, as the entry sees them. */
  members(): Promise<MemberInfo[]>
  /**
   * Asks a node to hand over its work and its shards and then to stop. Resolves when it was asked. Rejects with SHOAL_NOT_FOUND
   * if no node of this id is up.
   */
  drain(node: string): Promise<void>
  /** Why a task does not run, or where it does, by its id `<job>:<index>`. Rejects with SHOAL_BAD_OPTION if that is no id. */
  explain(task: string): Promise<Explanation>
  /**
   * Reads a live source that some node offers, from now on: nothing of it is kept. Ends when the source ends or its node goes;
   * throws SHOAL_NOT_FOUND if no node that is up offers it, SHOAL_SOURCE_FAILED if it threw. If this client loses its entry, it
   * reads on by another, without what came meanwhile. Iterate it once; leaving the loop early ends it.
   */
  source<T = unknown>(name: string, options?: ReadOptions): LiveSource<T>
  /** What every node says of itself. */
  status(): Promise<StatusReport>
  close(): Promise<void>
}
