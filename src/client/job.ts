/**
 * A job in its submitter's or reader's hands: outcomes as they come, given out as a promise, in order, or as completed.
 *
 * Not here: where outcomes come from (session.ts), where inputs go (feed.ts).
 * A handle is a shelf: whatever arrives is put on it once, and one reader takes it down.
 */
import { CompositeError, type RunMetadata, ShoalError, TaskError } from '../errors.ts'
import { type JobId, taskId } from '../ids.ts'
import type { Batch } from '../tasks/batch.ts'
import type { Placement, TaskWord } from '../tasks/messages.ts'
import type { Explanation } from './answers.ts'
import { Live } from './live.ts'
import type { Gate, Nest } from './nest.ts'
import { type Found, Places, TaskRef, tasksOf } from './places.ts'
import { type Settled, settledOf } from './settled.ts'
import type { Completed, JobHandle, JobProgress, JobStatus, Printed, Progress } from './types.ts'

/** Shards that were handed to the session and not acknowledged, at most; then inputs are pulled no further. */
const shardsAheadMax = 64

/** Inputs are pulled again once there is room for so many, or for a quarter of `inFlightMax`: a shard of its own at best. */
const roomLeast = 512

/** What a handle can ask of its client. */
export interface JobHost {
  cancel(job: JobId): void
  /** The handle has all it will ever have. */
  forget(job: JobId): void
  /** Resolves when every node that is up has forgotten the job. */
  release(job: JobId): Promise<void>
  explain(task: string): Promise<Explanation>
  /** Where the shards are of a job that is closed. */
  locate(job: JobId): Promise<Placement[]>
}

export interface JobPlan {
  readonly id: JobId
  readonly host: JobHost
  /** Somebody else submitted it. */
  readonly isFound: boolean
  readonly returnErrors: boolean
  /** Inputs pulled and not taken out. */
  readonly inFlightMax: number
  /** The task that it is submitted from, and what waiting for results goes through. */
  readonly nest?: Nest | undefined
  readonly gate: Gate
}

type Reading = 'nobody' | 'all' | 'one by one'

export class Job<R> implements JobHandle<R> {
  readonly id: JobId
  readonly nest: Nest | undefined
  /** Milliseconds since 1970; 0 until it is known. */
  submittedAt = 0
  readonly places: Places
  readonly #plan: JobPlan
  readonly #settled = new Map<number, Settled>()
  /** Indexes in order of arrival, if somebody reads them so. */
  #arrivals: number[] = []
  readonly #listeners = new Set<(progress: JobProgress) => void>()
  readonly #live = new Live()
  #reading: Reading = 'nobody'
  #pulled = 0
  #taken = 0
  #done = 0
  #failed = 0
  #total: number | undefined
  #shards = 0
  #acceptedShards = 0
  #isFed = false
  #isAcceptAwaited = false
  #isFull = false
  #isCancelled = false
  #isComplete = false
  #failure: Error | undefined
  #all: Promise<R[]> | undefined
  #change = Promise.withResolvers<void>()

  constructor(plan: JobPlan) {
    this.#plan = plan
    this.id = plan.id
    this.places = new Places(plan.id, plan.isFound ? () => plan.host.locate(plan.id) : undefined)
    this.nest = plan.nest
  }

  get progress(): Progress {
    return { done: this.#done, total: this.#total, failed: this.#failed }
  }

  get accepted(): Promise<void> {
    this.#isAcceptAwaited = true
    this.#changed()
    return this.#untilAccepted()
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaitable by design.
  then<A = R[], B = never>(
    onDone?: ((results: R[]) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    this.#all ??= this.#collect()
    return this.#plan.gate(this.#all).then(onDone, onRejected)
  }

  catch<T>(onRejected: (error: unknown) => T | PromiseLike<T>): Promise<R[] | T> {
    return this.then(undefined, onRejected)
  }

  finally(onFinally: () => void): Promise<R[]> {
    return this.then().finally(onFinally)
  }

  [Symbol.asyncIterator](): AsyncIterator<R> {
    this.#read('one by one')
    return this.#ordered()
  }

  asCompleted(): AsyncIterable<Completed<R>> {
    this.#read('one by one')
    return this.#completed()
  }

  async status(): Promise<JobStatus> {
    const { done, total, failed } = this.progress
    const running = this.#isFed ? 'running' : 'open'
    const state = this.#isCancelled ? 'cancelled' : this.#isComplete ? 'done' : running
    return { id: this.id, state, done, total, failed }
  }

  async cancel(): Promise<void> {
    if (this.#isComplete || this.#isCancelled) return
    this.#isCancelled = true
    this.#isFed = true
    this.#plan.host.cancel(this.id)
    this.#changed()
  }

  explain(index?: number): Promise<Explanation> {
    let open = 0
    while (this.#settled.has(open)) open++
    return this.#plan.host.explain(taskId(this.id, index ?? open))
  }

  async release(): Promise<void> {
    await this.#plan.host.release(this.id)
  }

  task(index: number): TaskRef<R> {
    return new TaskRef(() => this.places.at(index))
  }

  async [tasksOf](): Promise<Found> {
    return { tasks: await this.places.all(), isList: true }
  }

  metadata(index: number): RunMetadata | undefined {
    return this.#settled.get(index)?.run
  }

  get stdout(): readonly string[] {
    return this.#printed('stdout')
  }

  get stderr(): readonly string[] {
    return this.#printed('stderr')
  }

  onProgress(listener: (progress: JobProgress) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onOutput(listener: (printed: Printed) => void): () => void {
    return this.#live.onOutput(listener)
  }

  /** Tasks `first + index` say something as they run. */
  said({ first, words }: { readonly first: number; readonly words: readonly TaskWord[] }): void {
    const open = words.map((word) => ({ ...word, index: first + word.index }))
    this.#live.said(open.filter(({ index }) => !this.#settled.has(index)))
    this.#tell()
  }

  /** False once nothing more may be submitted. */
  get takesInputs(): boolean {
    return !this.#isFed && this.#failure === undefined
  }

  /** How many inputs may be pulled now; resolves when that is at least one, with 0 if no more are wanted at all. */
  async room(): Promise<number> {
    for (;;) {
      if (!this.takesInputs) return 0
      // Only a reader who takes one by one holds the source back by his own pace.
      const isPaced = this.#reading === 'one by one' || (this.#reading === 'nobody' && !this.#isAcceptAwaited)
      const inFlight = this.#pulled - (isPaced ? this.#taken : this.#done)
      const room = this.#plan.inFlightMax - inFlight
      // Not one by one: shards of a single task would cost the mesh more than their tasks.
      if (
        room >= Math.min(roomLeast, this.#plan.inFlightMax / 4) &&
        room > 0 &&
        this.#shards - this.#acceptedShards < shardsAheadMax
      )
        return room
      this.#isFull = true
      this.#changed()
      await this.#change.promise
      this.#isFull = false
    }
  }

  get shardsAhead(): number {
    return this.#shards - this.#acceptedShards
  }

  /** A shard of `count` inputs goes to the session. */
  submitted(count: number): void {
    this.#pulled += count
    this.#shards++
  }

  fed(): void {
    this.#isFed = true
    if (!this.#isCancelled) this.#total = this.#pulled
    this.#placed()
    this.#changed()
  }

  found(submittedAt: number): void {
    this.submittedAt = submittedAt
  }

  shardAccepted(placement: Placement): void {
    this.places.add(placement)
    this.#acceptedShards++
    this.#placed()
    this.#changed()
  }

  /** Tasks `first + indexes[i]` ended. */
  ended(first: number, outcomes: Batch): void {
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const index = first + (outcomes.indexes[at] as number)
      const settled = settledOf(this.id, index, { outcomes, at, submitted: this.submittedAt })
      this.#settled.set(index, settled)
      this.#arrivals.push(index)
      this.#live.ended(index, settled.run)
      this.#done++
      if (settled.error !== undefined) this.#failed++
    }
    this.#tell()
    this.#changed()
  }

  completed(tasks: number): void {
    if (this.#failure !== undefined) return this.#plan.host.forget(this.id)
    this.#isComplete = true
    this.#isFed = true
    this.#total = tasks
    this.#acceptedShards = this.#shards
    this.#plan.host.forget(this.id)
    this.#changed()
  }

  /** Ends all waiting, and cancels what was submitted. */
  abandon(error: Error): void {
    if (this.#isComplete || this.#failure !== undefined) return
    this.#failure = error
    this.places.close(error)
    this.#plan.host.cancel(this.id)
    this.#changed()
  }

  /** Ends all waiting. The mesh may go on with what was submitted. */
  fail(error: Error): void {
    if (this.#isComplete || this.#failure !== undefined) return
    this.#failure = error
    this.places.close(error)
    this.#plan.host.forget(this.id)
    this.#changed()
  }

  #placed(): void {
    if (this.#isFed && this.#acceptedShards >= this.#shards) this.places.close()
  }

  #tell(): void {
    const progress = { ...this.progress, running: this.#live.running }
    for (const listener of this.#listeners) listener(progress)
  }

  #printed(stream: 'stdout' | 'stderr'): string[] {
    const count = this.#total ?? this.#pulled
    return Array.from({ length: count }, (_, index) => this.#settled.get(index)?.run[stream] ?? '')
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  #read(how: Reading): void {
    if (this.#reading !== 'nobody') {
      const text = `the results of job ${this.id} are read already; read them once, or open it again by client.job(id)`
      throw new ShoalError('SHOAL_BAD_OPTION', text)
    }
    this.#reading = how
    this.#changed()
  }

  async #untilAccepted(): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isFed && this.#acceptedShards >= this.#shards) return
      await this.#change.promise
    }
  }

  async #collect(): Promise<R[]> {
    this.#read('all')
    while (!this.#isComplete && this.#failure === undefined) await this.#change.promise
    if (this.#failure !== undefined) throw this.#failure
    const results: R[] = new Array(this.#total ?? 0)
    const errors: Error[] = []
    for (let index = 0; index < results.length; index++) {
      const { value, error } = this.#settled.get(index) as Settled
      if (error !== undefined) errors.push(error)
      results[index] = (error ?? value) as R
    }
    if (this.#isCancelled || (errors.length > 0 && errors.every(isCancel))) throw this.#cancelled()
    if (errors.length === 0 || this.#plan.returnErrors) return results
    throw errors.length === 1 ? errors[0] : new CompositeError(errors as TaskError[])
  }

  #cancelled(): ShoalError {
    const text = `job ${this.id} was cancelled; ${this.#done - this.#failed} of its tasks had ended before`
    return new ShoalError('SHOAL_CANCELLED', text)
  }

  async *#ordered(): AsyncGenerator<R> {
    let isAtEnd = false
    try {
      for (let index = 0; ; index++) {
        const settled = await this.#plan.gate(this.#next(() => index, index))
        if (settled === undefined) break
        if (settled.error === undefined) yield settled.value as R
        else if (this.#plan.returnErrors) yield settled.error as R
        else throw isCancel(settled.error) ? this.#cancelled() : settled.error
      }
      isAtEnd = true
    } finally {
      if (!isAtEnd) await this.cancel()
    }
  }

  async *#completed(): AsyncGenerator<Completed<R>> {
    let isAtEnd = false
    try {
      for (let at = 0; ; at++) {
        const arrivals = this.#arrivals
        const settled = await this.#plan.gate(this.#next(() => arrivals[at], at))
        if (settled === undefined) break
        const index = arrivals[at] as number
        const { value, error } = settled
        yield error === undefined ? { index, value: value as R } : { index, error }
      }
      isAtEnd = true
    } finally {
      if (!isAtEnd) await this.cancel()
    }
  }

  /** Waits for the `nth` result in the reader's order and takes it out; `undefined` at the end. */
  async #next(indexOf: () => number | undefined, nth: number): Promise<Settled | undefined> {
    for (;;) {
      const index = indexOf()
      const settled = index === undefined ? undefined : this.#settled.get(index)
      if (settled !== undefined && index !== undefined) {
        this.#settled.delete(index)
        this.#taken++
        if (this.#isFull) this.#changed()
        return settled
      }
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isComplete && nth >= (this.#total ?? 0)) return undefined
      await this.#change.promise
    }
  }
}

function isCancel(error: Error): boolean {
  return error instanceof TaskError && error.code === 'SHOAL_CANCELLED'
}
