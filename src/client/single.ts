/**
 * One task of a job with many, in the hands of whoever asked for it by its index, its name or its id.
 *
 * Not here: its job (job.ts), and tasks that are jobs of their own (task.ts).
 * It looks at what arrives for its job, takes nothing out, and cancels nothing but its task.
 */
import { type RunMetadata, ShoalError, TaskError } from '../errors.ts'
import { taskId } from '../ids.ts'
import type { Explanation } from './answers.ts'
import { Awaitable, held } from './awaitable.ts'
import { End, endOf } from './endings.ts'
import type { Job } from './job.ts'
import { checkListener } from './listeners.ts'
import type { Gate } from './nest.ts'
import { type Found, tasksOf } from './places.ts'
import { progressOfOne } from './progress.ts'
import type { Settled } from './settled.ts'
import { noTask } from './standing.ts'
import { Timing } from './timing.ts'
import type { Accepted, JobStatus, Printed, Progress, TaskHandle, TaskProgress } from './types.ts'

/** What is known of one task; all its handles share it. */
export class Fate {
  readonly end = new End()
  readonly timing = new Timing()
  readonly #value = Promise.withResolvers<unknown>()
  settled: Settled | undefined

  constructor() {
    this.#value.promise.catch(() => {})
  }

  get value(): Promise<unknown> {
    return this.#value.promise
  }

  settle(settled: Settled): void {
    this.settled = settled
    this.timing.ran(settled.run)
    if (settled.error === undefined) this.#value.resolve(settled.value)
    else this.#value.reject(settled.error)
    this.#over(settled.error !== undefined)
  }

  /** Nothing of it will come. */
  fail(error: Error): void {
    if (this.end.isOver) return
    this.#value.reject(error)
    this.#over(true)
  }

  #over(hasFailed: boolean): void {
    this.timing.over()
    this.end.over(hasFailed)
  }
}

export class Single<R> extends Awaitable<R> implements TaskHandle<R> {
  declare readonly gives?: R
  readonly id: string
  readonly #job: Job<unknown>
  readonly #index: number

  constructor(job: Job<unknown>, index: number) {
    super()
    this.id = taskId(job.id, index)
    this.#job = job
    this.#index = index
  }

  protected override get noun(): string {
    return 'Task'
  }

  protected override get seen(): object {
    return { id: this.id }
  }

  get #fate(): Fate {
    return this.#job.fate(this.#index)
  }

  protected get end(): End {
    return this.#fate.end
  }

  protected get gate(): Gate {
    return this.#job.gate
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaitable by design.
  then<A = R, B = never>(
    onDone?: ((result: R) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    return this.gate(this.#fate.value as Promise<R>).then(onDone, onRejected)
  }

  override [endOf](): End {
    return this.#fate.end
  }

  async [tasksOf](): Promise<Found> {
    return { tasks: [await this.#job.places.at(this.#index)], isList: false }
  }

  get accepted(): Promise<Accepted> {
    return held(this.#accepted())
  }

  get metadata(): RunMetadata | undefined {
    return this.#fate.settled?.run
  }

  get stdout(): string {
    return this.metadata?.stdout ?? ''
  }

  get stderr(): string {
    return this.metadata?.stderr ?? ''
  }

  get progress(): Progress {
    return progressOfOne(this.#isDone, this.end)
  }

  /** Also if nobody knows how. */
  get #isDone(): boolean {
    return this.#fate.settled !== undefined || (this.#job.isComplete && this.end.isOver)
  }

  get elapsed(): number {
    return this.#fate.timing.elapsed
  }

  get serialTime(): number {
    return this.#fate.timing.serialTime
  }

  get wallTime(): number {
    return this.#fate.timing.wallTime
  }

  async status(): Promise<JobStatus> {
    const { standing, id: job } = this.#job
    const fate = this.#fate
    const told = fate.end.isOver ? undefined : await standing.told(this.id)
    if (told?.isClosed && this.#index >= told.tasks) throw noTask(job, this.#index, told.tasks)
    const { settled, end } = fate
    // Nobody knows how it ended: it says why.
    if (standing.isRead && end.isOver && settled === undefined) await fate.value
    const { error } = settled ?? {}
    const wasCancelled = error instanceof TaskError && error.code === 'SHOAL_CANCELLED'
    const isDone = this.#isDone || told?.done === 1
    const state = wasCancelled || told?.cancelled === 1 ? 'cancelled' : isDone ? 'done' : 'running'
    const failed = Number((isDone && end.hasFailed) || told?.failed === 1 || told?.cancelled === 1)
    return { id: this.id, state, done: Number(isDone), total: 1, failed }
  }

  explain(): Promise<Explanation> {
    return this.#job.explain(this.#index)
  }

  onProgress(listener: (progress: TaskProgress) => void): () => void {
    checkListener(listener)
    return this.#job.onProgress(({ running }) => {
      for (const one of running) if (one.index === this.#index) listener(one)
    })
  }

  onOutput(listener: (printed: Printed) => void): () => void {
    checkListener(listener)
    return this.#job.onOutput((printed) => {
      if (printed.index === this.#index) listener(printed)
    })
  }

  async cancel(): Promise<void> {
    this.#job.cancelTask(this.#index)
  }

  async release(): Promise<void> {
    const text = `${this.id} is one task of a job, and is released with it: client.job('${this.#job.id}').release()`
    throw new ShoalError('SHOAL_BAD_OPTION', text)
  }

  async #accepted(): Promise<Accepted> {
    const { places, share } = this.#job
    const { placement } = await places.at(this.#index)
    // Who submits the key again makes all of it anew, unless it is there as a whole.
    if (share !== undefined) await this.#job.untilAccepted()
    return { copies: places.copies(placement) }
  }
}
