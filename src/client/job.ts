/**
 * A job in its submitter's or reader's hands: how far it is, and when more of its inputs may be pulled.
 *
 * Not here: where outcomes come from (session.ts), how they are read (shelf.ts), where inputs go (feed.ts).
 */
import { type RunMetadata, ShoalError } from '../errors.ts'
import { type JobId, taskId } from '../ids.ts'
import type { Batch } from '../tasks/batch.ts'
import type { Placement, TaskWord } from '../tasks/messages.ts'
import type { Explanation } from './answers.ts'
import { Awaitable } from './awaitable.ts'
import { whole } from './checks.ts'
import { End, endOf } from './endings.ts'
import type { JobPlan } from './job-plan.ts'
import { Listeners } from './listeners.ts'
import { Live } from './live.ts'
import type { Gate, Nest } from './nest.ts'
import { type Found, Places, tasksMax, tasksOf } from './places.ts'
import { printedOf, settledOf } from './settled.ts'
import { leave, type Share, wanted } from './share.ts'
import { Shelf } from './shelf.ts'
import { Fate, Single } from './single.ts'
import { noTask, Standing } from './standing.ts'
import { Timing } from './timing.ts'
import type { Accepted, Completed, JobHandle, JobProgress, JobStatus, Printed, Progress } from './types.ts'

/** Shards that were handed to the session and not acknowledged, at most; then inputs are pulled no further. */
const shardsAheadMax = 64

/** Inputs are pulled again once there is room for so many, or for a quarter of `inFlightMax`: a shard of its own at best. */
const roomLeast = 512

export class Job<R> extends Awaitable<R[]> implements JobHandle<R> {
  readonly id: JobId
  readonly nest: Nest | undefined
  readonly share: Share | undefined
  /** Milliseconds since 1970; 0 until it is known. */
  submittedAt = 0
  readonly places: Places
  readonly standing: Standing
  readonly #plan: JobPlan
  readonly #shelf: Shelf<R>
  readonly end = new End()
  readonly #timing = new Timing()
  readonly #listeners = new Listeners<JobProgress>()
  readonly #live = new Live()
  /** Of tasks that somebody asked for by themselves. */
  readonly #fates = new Map<number, Fate>()
  /** Single tasks that are to be cancelled. */
  readonly cancelled = new Set<number>()
  #pulled = 0
  #shards = 0
  #acceptedShards = 0
  #isFed = false
  /** Somebody waits for it as a whole: results that nobody takes out are kept. */
  #isKept = false
  #isFull = false
  #all: Promise<R[]> | undefined

  constructor(plan: JobPlan) {
    super()
    this.#plan = plan
    this.id = plan.id
    this.places = new Places(plan.id, plan.isFound ? () => plan.host.locate(plan.id) : undefined)
    this.nest = plan.nest
    this.share = plan.share
    this.#shelf = new Shelf({
      id: plan.id,
      returnErrors: plan.returnErrors,
      gate: plan.gate,
      leave: () => this.cancel(),
      onTaken: () => {
        if (this.#isFull) this.#shelf.changed()
      }
    })
    this.standing = new Standing(plan, this.#shelf)
  }

  protected override get seen(): object {
    return { id: this.id, ...this.progress }
  }

  get progress(): Progress {
    return this.#shelf.progress
  }

  get elapsed(): number {
    return this.#timing.elapsed
  }

  get serialTime(): number {
    return this.#timing.serialTime
  }

  get wallTime(): number {
    return this.#timing.wallTime
  }

  get accepted(): Promise<Accepted> {
    this.#keep()
    return this.untilAccepted()
  }

  override [endOf](): End {
    this.#keep()
    return this.end
  }

  get gate(): Gate {
    return this.#plan.gate
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaitable by design.
  then<A = R[], B = never>(
    onDone?: ((results: R[]) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    this.#all ??= this.#shelf.all()
    return this.#plan.gate(this.#all).then(onDone, onRejected)
  }

  [Symbol.asyncIterator](): AsyncIterator<R> {
    if (this.#all !== undefined) return this.#shelf.looked()
    this.#shelf.read('one by one')
    return this.#shelf.ordered()
  }

  asCompleted(): AsyncIterable<Completed<R>> {
    this.#shelf.read('one by one')
    return this.#shelf.completed()
  }

  status(): Promise<JobStatus> {
    return this.standing.status(this.#isFed)
  }

  async cancel(): Promise<void> {
    if (this.#shelf.isComplete || this.#shelf.isCancelled) return
    this.#shelf.isCancelled = true
    this.#isFed = true
    this.#leave()
    this.#shelf.changed()
  }

  explain(index?: number): Promise<Explanation> {
    let open = 0
    while (this.#shelf.has(open)) open++
    return this.#plan.host.explain(taskId(this.id, index ?? open))
  }

  async release(): Promise<void> {
    await this.#plan.host.release(this.id)
    await this.share?.drop()
  }

  task(index: number): Single<R> {
    whole('index', index, 0, tasksMax - 1)
    return new Single<R>(this as Job<unknown>, index)
  }

  /** Of one task. From now on its result is kept. */
  fate(index: number): Fate {
    const known = this.#fates.get(index)
    if (known !== undefined) return known
    const fate = new Fate()
    this.#fates.set(index, fate)
    this.#keep()
    const settled = this.#shelf.at(index)
    if (settled !== undefined) fate.settle(settled)
    else if (this.end.isOver) fate.fail(this.#absence(index))
    return fate
  }

  cancelTask(index: number): void {
    if (this.end.isOver || this.#shelf.isCancelled || this.#shelf.has(index)) return
    if (this.share !== undefined) throw wanted()
    this.cancelled.add(index)
    this.#plan.host.cancel(this.id, index)
  }

  async [tasksOf](): Promise<Found> {
    return { tasks: await this.places.all(), isList: true }
  }

  metadata(index: number): RunMetadata | undefined {
    return this.#shelf.at(index)?.run
  }

  get stdout(): readonly string[] {
    return this.#printed('stdout')
  }

  get stderr(): readonly string[] {
    return this.#printed('stderr')
  }

  onProgress(listener: (progress: JobProgress) => void): () => void {
    return this.#listeners.add(listener)
  }

  onOutput(listener: (printed: Printed) => void): () => void {
    return this.#live.onOutput(listener)
  }

  /** Tasks `first + index` say something as they run. */
  said({ first, words }: { readonly first: number; readonly words: readonly TaskWord[] }): void {
    const open = words.map((word) => ({ ...word, index: first + word.index }))
    this.#live.said(open.filter(({ index }) => !this.#shelf.has(index)))
    this.#tell()
  }

  /** False once nothing more may be submitted. */
  get takesInputs(): boolean {
    return !this.#isFed && this.#shelf.failure === undefined
  }

  /** How many inputs may be pulled now; resolves when that is at least one, with 0 if no more are wanted at all. */
  async room(): Promise<number> {
    for (;;) {
      if (!this.takesInputs) return 0
      // Only a reader who takes one by one holds the source back by his own pace.
      const { reading, taken, done } = this.#shelf
      const isPaced = reading === 'one by one' || (reading === 'nobody' && !this.#isKept)
      const inFlight = this.#pulled - (isPaced ? taken : done)
      const room = this.#plan.inFlightMax - inFlight
      // Not one by one: shards of a single task would cost the mesh more than their tasks.
      if (
        room >= Math.min(roomLeast, this.#plan.inFlightMax / 4) &&
        room > 0 &&
        this.#shards - this.#acceptedShards < shardsAheadMax
      )
        return room
      this.#isFull = true
      this.#shelf.changed()
      await this.#shelf.change
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
    if (!this.#shelf.isCancelled) this.#shelf.total = this.#pulled
    this.#placed()
    this.#shelf.changed()
  }

  /** Epoch of the shards that are submitted. */
  get epoch(): number {
    return this.nest?.epoch ?? this.share?.epoch ?? 0
  }

  /** Somebody else submits it, or has done so. */
  joined(): void {
    this.#isFed = true
    this.standing.isRead = true
    this.places.readBy(() => this.#plan.host.locate(this.id))
    this.#shelf.changed()
  }

  found(submittedAt: number): void {
    this.submittedAt = submittedAt
    this.standing.found()
  }

  shardAccepted(placement: Placement, copies: number): void {
    this.places.add(placement, copies)
    this.#acceptedShards++
    this.#placed()
    this.#shelf.changed()
  }

  /** Tasks `first + indexes[i]` ended; `value` is that of a single one, if it lay elsewhere. */
  ended(first: number, outcomes: Batch, value?: Uint8Array): void {
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const index = first + (outcomes.indexes[at] as number)
      const settled = settledOf(this.id, index, { outcomes, at, value, submitted: this.submittedAt })
      this.#shelf.put(index, settled)
      this.#fates.get(index)?.settle(settled)
      this.#timing.ran(settled.run)
      this.#live.ended(index, printedOf(settled))
      if (settled.error !== undefined && !this.#plan.returnErrors) this.end.failed()
    }
    this.#tell()
    this.#shelf.changed()
  }

  /** All that it has are so many tasks, none if it was cancelled before it was submitted; and their outcomes are here. */
  completed(tasks: number): void {
    if (this.#shelf.failure !== undefined) return this.#plan.host.forget(this.id)
    this.#shelf.isComplete = true
    this.#isFed = true
    this.#shelf.total = tasks
    this.#acceptedShards = this.#shards
    this.#plan.host.forget(this.id)
    this.#over(this.#shelf.isCancelled)
  }

  /** Nothing of it will be submitted: it was cancelled before, or has failed. */
  endUnsent(): void {
    if (this.#shelf.isCancelled && !this.#shelf.isComplete) this.completed(0)
  }

  /** Ends all waiting, and cancels what was submitted. */
  abandon(error: Error): void {
    if (this.#shelf.isComplete || this.#shelf.failure !== undefined) return
    this.#shelf.failure = error
    this.places.close(error)
    this.#leave()
    this.#over(true)
  }

  /** Ends all waiting. The mesh may go on with what was submitted. */
  fail(error: Error): void {
    if (this.#shelf.isComplete || this.#shelf.failure !== undefined) return
    this.#shelf.failure = error
    this.places.close(error)
    this.#plan.host.forget(this.id)
    this.#over(true)
  }

  /** No node that could be asked knows it. */
  absent(): void {
    const text = `no node that could be asked knows the job ${this.id}`
    this.share?.drop().catch(() => {})
    // Another attempt of the task around it has taken its place, and may be lost by now.
    if (this.nest === undefined) this.fail(new ShoalError('SHOAL_NOT_FOUND', text))
    else this.nest.yields()
  }

  /** Ends it, unless others share it. */
  #leave(): void {
    const { host } = this.#plan
    const cancel = (): void => host.cancel(this.id)
    if (this.share === undefined) return cancel()
    leave(this.share, cancel, (error) => {
      this.fail(error)
      host.forget(this.id)
    })
  }

  #over(hasFailed: boolean): void {
    this.#timing.over()
    this.#shelf.changed()
    this.end.over(hasFailed)
    for (const [index, fate] of this.#fates) if (!fate.end.isOver) fate.fail(this.#absence(index))
  }

  /** Why the job is over, and this task of it has no outcome here. */
  #absence(index: number): Error {
    const { failure, isCancelled, total = 0 } = this.#shelf
    if (failure !== undefined) return failure
    if (isCancelled && index >= total)
      return new ShoalError('SHOAL_CANCELLED', `job ${this.id} was cancelled before it had a task ${index}`)
    return index < total
      ? new ShoalError(
          'SHOAL_BAD_OPTION',
          `the result of ${taskId(this.id, index)} was taken out before it was asked for; open it again by client.task()`
        )
      : noTask(this.id, index, total)
  }

  #keep(): void {
    this.#isKept = true
    this.#shelf.changed()
  }

  #placed(): void {
    if (this.#isFed && this.#acceptedShards >= this.#shards) this.places.close()
  }

  #tell(): void {
    this.#listeners.tell({ ...this.progress, running: this.#live.running })
  }

  #printed(stream: 'stdout' | 'stderr'): string[] {
    const count = this.#shelf.total ?? this.#pulled
    return Array.from({ length: count }, (_, index) => this.#shelf.at(index)?.run[stream] ?? '')
  }

  /** See `accepted`; nobody takes an interest in the results by that. */
  async untilAccepted(): Promise<Accepted> {
    for (;;) {
      if (this.#shelf.failure !== undefined) throw this.#shelf.failure
      if (this.#isFed && this.#acceptedShards >= this.#shards) return { copies: this.places.copies() }
      await this.#shelf.change
    }
  }
}
