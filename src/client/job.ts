/**
 * A job in its submitter's or reader's hands: how far it is, and when more of its inputs may be pulled.
 *
 * Not here: where outcomes come from (session.ts), how they are read (shelf.ts), where inputs go (feed.ts).
 * A submitter who leaves a loop over its results ends the job; a reader by its id ends the reading.
 */
import { type RunMetadata, ShoalError } from '../errors.ts'
import { type JobId, type JobName, taskId } from '../ids.ts'
import type { Batch } from '../tasks/batch.ts'
import type { Placement } from '../tasks/messages.ts'
import type { Explanation } from './answers.ts'
import { Awaitable, held } from './awaitable.ts'
import { whole } from './checks.ts'
import { End, endOf } from './endings.ts'
import { type Fate, Fates } from './fates.ts'
import { Handing } from './handing.ts'
import { Interest } from './interest.ts'
import type { JobPlan, Maker } from './job-plan.ts'
import { Live, type Said } from './live.ts'
import type { Gate, Nest } from './nest.ts'
import { type Found, Places, tasksMax, tasksOf } from './places.ts'
import { Room } from './room.ts'
import { printedOf, settledOf } from './settled.ts'
import { type Share, wanted } from './share.ts'
import { Shelf } from './shelf.ts'
import { Single } from './single.ts'
import { Standing, unfinished } from './standing.ts'
import { Timing } from './timing.ts'
import type { Accepted, Completed, JobHandle, JobProgress, JobStatus, Printed, Progress } from './types.ts'

export class Job<R> extends Awaitable<R[]> implements JobHandle<R> {
  readonly id: JobId
  name: JobName
  readonly gate: Gate
  readonly nest: Nest | undefined
  readonly share: Share | undefined
  /** Milliseconds since 1970; 0 until it is known. */
  submittedAt = 0
  readonly places: Places
  readonly standing: Standing
  readonly #plan: JobPlan
  readonly #shelf: Shelf<R>
  readonly end = new End()
  protected readonly times = new Timing()
  readonly #live = new Live()
  readonly #fates = new Fates()
  /** Single tasks that are to be cancelled. */
  readonly cancelled = new Set<number>()
  readonly #handing: Handing
  readonly #room: Room
  readonly interest: Interest
  #isLeft = false
  #all: Promise<R[]> | undefined

  constructor(plan: JobPlan) {
    super()
    this.#plan = plan
    this.id = plan.id
    this.name = plan.name ?? plan.id
    this.places = new Places(plan.id, plan.isFound ? () => plan.host.locate(plan.id) : undefined)
    this.gate = plan.gate
    this.nest = plan.nest
    this.share = plan.share
    this.#handing = new Handing(plan.share !== undefined)
    this.#room = new Room(plan.inFlightMax, this.#handing)
    this.#shelf = new Shelf({
      id: plan.id,
      returnErrors: plan.returnErrors,
      gate: plan.gate,
      leave: () => this.#readerLeft(),
      onTaken: () => {
        if (this.#room.isFull) this.#shelf.changed()
      }
    })
    this.interest = new Interest(plan.isFound ? (wanted) => plan.host.tell(this, wanted) : undefined)
    this.standing = new Standing(plan, this.#shelf, this.interest)
  }

  protected override get seen(): object {
    return { id: this.id, ...this.#shelf.progress }
  }

  get progress(): Progress {
    return this.#heard.progress
  }

  override get looked(): End {
    this.#hear()
    return this.end
  }

  /** Every task has ended, and that is known here. */
  get isComplete(): boolean {
    return this.#shelf.isComplete
  }

  get accepted(): Promise<Accepted> {
    this.#keep()
    return held(this.untilAccepted())
  }

  override [endOf](): End {
    this.#keep()
    return this.end
  }

  /** The handle of its submitter if that is here, else this one. */
  get maker(): Maker {
    return (this.#plan.isFound ? this.#plan.host.makerOf(this.id) : undefined) ?? this
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaitable by design.
  then<A = R[], B = never>(
    onDone?: ((results: R[]) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    this.#all ??= this.#heard.all()
    return this.gate(this.#all).then(onDone, onRejected)
  }

  [Symbol.asyncIterator](): AsyncIterator<R> {
    if (this.#shelf.reading === 'all') return this.#shelf.looked()
    this.#heard.read('one by one')
    return this.#shelf.ordered()
  }

  asCompleted(): AsyncIterable<Completed<R>> {
    this.#heard.read('one by one')
    return this.#shelf.completed()
  }

  status(): Promise<JobStatus> {
    return this.standing.status(this.#handing.isFed)
  }

  async cancel(): Promise<void> {
    if (!this.#mayCancel()) return
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
    return this.#plan.host.explain(taskId(this.id, index ?? this.#shelf.open))
  }

  async release(): Promise<void> {
    if (await this.standing.isOpen()) throw unfinished(this.id)
    await this.#plan.host.release(this.id)
    await this.share?.drop()
  }

  task(index: number): Single<R> {
    whole('index', index, 0, tasksMax - 1)
    return new Single<R>({ job: this.id, index, gate: this.gate, find: () => this })
  }

  /** Of one task. From now on its result is kept. */
  fate(index: number): Fate {
    const known = this.#fates.get(index)
    if (known !== undefined) return known
    this.#keep()
    const absence = this.end.isOver ? this.standing.absence(index) : undefined
    return this.#fates.begin(index, this.#shelf.at(index), absence)
  }

  cancelTask(index: number): void {
    if (!this.#mayCancel() || this.#shelf.has(index)) return
    if (this.share !== undefined) throw wanted()
    this.cancelled.add(index)
    this.#plan.host.cancel(this.name, index)
  }

  async [tasksOf](): Promise<Found> {
    return { tasks: await this.maker.places.all(), isList: true }
  }

  metadata(index: number): RunMetadata | undefined {
    return this.#heard.at(index)?.run
  }

  get stdout(): readonly string[] {
    return this.#heard.printed('stdout', this.#handing.tasks)
  }

  get stderr(): readonly string[] {
    return this.#heard.printed('stderr', this.#handing.tasks)
  }

  onProgress(listener: (progress: JobProgress) => void): () => void {
    this.#hear()
    return this.#live.onProgress(listener)
  }

  onOutput(listener: (printed: Printed) => void): () => void {
    this.#hear()
    return this.#live.onOutput(listener)
  }

  /** Tasks `first + index` say something as they run. */
  said(said: Said): void {
    this.#live.said(said, (index) => this.#shelf.has(index))
    this.#live.tell(this.#shelf.progress)
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
    if (this.#handing.hasAll) this.places.close()
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
    if (this.#handing.hasAll) this.places.close()
    this.#shelf.changed()
  }

  closed(): void {
    if (this.#plan.isFound) this.#handing.isFed = true
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
      this.times.ran(settled.run)
      this.#live.ended(index, printedOf(settled))
      if (settled.error !== undefined && !this.#plan.returnErrors) this.end.failed()
    }
    this.#live.tell(this.#shelf.progress)
    this.#shelf.changed()
  }

  /** All that it has are so many tasks, none if it was cancelled before it was submitted; and their outcomes are here. */
  completed(tasks: number): void {
    this.#plan.host.forget(this)
    if (this.#shelf.failure !== undefined) return
    this.#shelf.isComplete = true
    this.#handing.ended()
    this.#shelf.total = tasks
    this.#over(this.#shelf.isCancelled)
  }

  /** Ends all waiting, and cancels what was submitted. */
  abandon(error: Error): void {
    this.#fail(error, () => this.#leave())
  }

  /** Ends all waiting. The mesh may go on with what was submitted. */
  fail(error: Error): void {
    this.#fail(error, () => this.#plan.host.forget(this))
  }

  #fail(error: Error, leave: () => void): void {
    if (this.#shelf.isComplete || this.#shelf.failure !== undefined) return
    this.#shelf.failure = error
    this.places.close(error)
    leave()
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
  #mayCancel(): boolean {
    this.#hear()
    if (this.#shelf.isComplete || this.#isLeft) return false
    if (this.#shelf.failure !== undefined) throw this.#shelf.failure
    return true
  }

  /** Ends it, unless others share it. */
  #leave(): void {
    const { host } = this.#plan
    this.#isLeft = true
    const cancel = (): void => host.cancel(this.name)
    if (this.share === undefined) return cancel()
    this.share.leave(cancel, (error) => {
      this.fail(error)
      host.forget(this)
    })
  }

  #over(hasFailed: boolean): void {
    this.times.over()
    this.interest.over()
    this.#shelf.changed()
    this.end.over(hasFailed)
    this.#fates.fail((index) => this.standing.absence(index))
  }

  /** Of a handle by an id: from now on it is told of its job. What came before its reader left comes again. */
  #hear(): void {
    if (this.interest.hasAll) return
    this.#shelf.restart()
    this.times.restart()
    this.interest.all()
  }

  get #heard(): Shelf<R> {
    this.#hear()
    return this.#shelf
  }

  async #readerLeft(): Promise<void> {
    if (!this.isWanted || this.#shelf.reading === 'left') return
    if (!this.#plan.isFound) return this.cancel()
    this.#shelf.letGo()
    if (!this.#room.isKept && !this.#live.isHeard) this.interest.rest()
  }

  #keep(): void {
    this.#hear()
    this.#room.isKept = true
    this.#shelf.changed()
  }

  async untilAccepted(): Promise<Accepted> {
    const { maker } = this
    await Promise.all([maker !== this && maker.untilAccepted(), this.#handing.untilAccepted(this.#shelf)])
    return { copies: maker.places.copies() }
  }

  /** The mesh has all of it, whether or not the book of its key says so. */
  untilHanded(): Promise<void> {
    return this.#shelf.until(() => this.#handing.isOver)
  }
}
