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
import { Awaitable, held } from './awaitable.ts'
import { whole } from './checks.ts'
import { End, endOf } from './endings.ts'
import { Handing } from './handing.ts'
import type { JobPlan } from './job-plan.ts'
import { Listeners } from './listeners.ts'
import { Live } from './live.ts'
import type { Gate, Nest } from './nest.ts'
import { type Found, Places, tasksMax, tasksOf } from './places.ts'
import { Room } from './room.ts'
import { printedOf, settledOf } from './settled.ts'
import { type Share, wanted } from './share.ts'
import { Shelf } from './shelf.ts'
import { Fate, Single } from './single.ts'
import { Standing, unfinished } from './standing.ts'
import { Timing } from './timing.ts'
import type { Accepted, Completed, JobHandle, JobProgress, JobStatus, Printed, Progress } from './types.ts'

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
  readonly #handing: Handing
  readonly #room: Room
  #isLeft = false
  #all: Promise<R[]> | undefined

  constructor(plan: JobPlan) {
    super()
    this.#plan = plan
    this.id = plan.id
    this.places = new Places(plan.id, plan.isFound ? () => plan.host.locate(plan.id) : undefined)
    this.nest = plan.nest
    this.share = plan.share
    this.#handing = new Handing(plan.share !== undefined)
    this.#room = new Room(plan.inFlightMax, this.#handing)
    this.#shelf = new Shelf({
      id: plan.id,
      returnErrors: plan.returnErrors,
      gate: plan.gate,
      leave: async () => (this.isWanted ? this.cancel() : undefined),
      onTaken: () => {
        if (this.#room.isFull) this.#shelf.changed()
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

  /** Every task has ended, and that is known here. */
  get isComplete(): boolean {
    return this.#shelf.isComplete
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
    return held(this.untilAccepted())
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
    if (this.#shelf.reading === 'all') return this.#shelf.looked()
    this.#shelf.read('one by one')
    return this.#shelf.ordered()
  }

  asCompleted(): AsyncIterable<Completed<R>> {
    this.#shelf.read('one by one')
    return this.#shelf.completed()
  }

  status(): Promise<JobStatus> {
    return this.standing.status(this.#handing.isFed)
  }

  async cancel(): Promise<void> {
    if (!this.#isCancellable) return
    this.#shelf.isCancelled = true
    this.#handing.isFed = true
    this.#leave()
    this.#shelf.changed()
  }

  /** Somebody else cancelled it: no more inputs are wanted. */
  cutOff(): void {
    if (this.#shelf.isCancelled) return
    this.#shelf.isCancelled = this.#shelf.isCutOff = true
    this.#handing.isFed = true
    this.#shelf.changed()
  }

  explain(index?: number): Promise<Explanation> {
    let open = 0
    while (this.#shelf.has(open)) open++
    return this.#plan.host.explain(taskId(this.id, index ?? open))
  }

  async release(): Promise<void> {
    if (await this.standing.isOpen()) throw unfinished(this.id)
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
    else if (this.end.isOver) fate.fail(this.standing.absence(index))
    return fate
  }

  cancelTask(index: number): void {
    if (!this.#isCancellable || this.#shelf.has(index)) return
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

  /** False once it has ended, or was given up. */
  get isWanted(): boolean {
    return !this.#shelf.isComplete && !this.#shelf.isCancelled && this.#shelf.failure === undefined
  }

  /** False once nothing more may be submitted. */
  get takesInputs(): boolean {
    return !this.#handing.isFed && this.#shelf.failure === undefined
  }

  /** How many inputs may be pulled now; resolves when that is at least one, with 0 if no more are wanted at all. */
  room(): Promise<number> {
    return this.#room.untilAny(this.#shelf)
  }

  get shardsAhead(): number {
    return this.#handing.ahead
  }

  /** A shard of `count` inputs goes to the session. */
  submitted(count: number): void {
    this.#handing.gave(count)
  }

  fed(): void {
    this.#handing.isFed = true
    if (!this.#shelf.isCancelled) this.#shelf.total = this.#handing.tasks
    this.#placed()
    this.#shelf.changed()
  }

  /** Whoever submits its key again finds it; with an error, nobody will know. */
  noted(error?: Error): void {
    this.#handing.noted(error)
    this.#shelf.changed()
  }

  /** Epoch of the shards that are submitted. */
  get epoch(): number {
    return this.nest?.epoch ?? this.share?.epoch ?? 0
  }

  /** Somebody else submits it, or has done so. */
  joined(): void {
    this.#handing.isFed = true
    this.#handing.noted()
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
    this.#handing.accepted()
    this.#placed()
    this.#shelf.changed()
  }

  closed(): void {
    this.#handing.closed()
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
    if (this.#shelf.failure !== undefined) return this.#plan.host.forget(this)
    this.#shelf.isComplete = true
    this.#handing.ended()
    this.#shelf.total = tasks
    this.#plan.host.forget(this)
    this.#over(this.#shelf.isCancelled)
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
    this.#plan.host.forget(this)
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

  /** False if nothing is left to cancel, or all of it was. Throws what ended the handle alone: nobody is told any more. */
  get #isCancellable(): boolean {
    if (this.#shelf.isComplete || this.#isLeft) return false
    if (this.#shelf.failure !== undefined) throw this.#shelf.failure
    return true
  }

  /** Ends it, unless others share it. */
  #leave(): void {
    const { host } = this.#plan
    this.#isLeft = true
    const cancel = (): void => host.cancel(this.id)
    if (this.share === undefined) return cancel()
    this.share.leave(cancel, (error) => {
      this.fail(error)
      host.forget(this)
    })
  }

  #over(hasFailed: boolean): void {
    this.#timing.over()
    this.#shelf.changed()
    this.end.over(hasFailed)
    for (const [index, fate] of this.#fates) if (!fate.end.isOver) fate.fail(this.standing.absence(index))
  }

  #keep(): void {
    this.#room.isKept = true
    this.#shelf.changed()
  }

  #placed(): void {
    if (this.#handing.hasAll) this.places.close()
  }

  #tell(): void {
    this.#listeners.tell({ ...this.progress, running: this.#live.running })
  }

  #printed(stream: 'stdout' | 'stderr'): string[] {
    const count = this.#shelf.total ?? this.#handing.tasks
    return Array.from({ length: count }, (_, index) => this.#shelf.at(index)?.run[stream] ?? '')
  }

  /** See `accepted`; nobody takes an interest in the results by that. */
  async untilAccepted(): Promise<Accepted> {
    await this.#shelf.until(() => {
      if (this.#handing.unnoted !== undefined) throw this.#handing.unnoted
      return this.#handing.isAccepted || (this.#handing.isOver && this.#shelf.isCancelled)
    })
    return { copies: this.places.copies() }
  }

  /** The mesh has all of it, whether or not the book of its key says so. */
  untilHanded(): Promise<void> {
    return this.#shelf.until(() => this.#handing.isOver)
  }
}
