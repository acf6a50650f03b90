/**
 * One task of a job with many, in the hands of whoever asked for it by its index, its name or its id.
 *
 * Not here: its job (job.ts), and tasks that are jobs of their own (task.ts).
 * It looks at what arrives for its job, takes nothing out, and cancels nothing but its task. Those by ids share one reader of the job,
 * which is looked for anew until one of them waits for something.
 */
import { type RunMetadata, ShoalError, TaskError } from '../errors.ts'
import { type JobId, taskId } from '../ids.ts'
import { cancelled, unlessAborted } from './abortable.ts'
import type { Explanation } from './answers.ts'
import { Awaitable, held } from './awaitable.ts'
import { type End, endOf } from './endings.ts'
import type { Fate } from './fates.ts'
import type { Job } from './job.ts'
import { checkListener } from './listeners.ts'
import type { Gate } from './nest.ts'
import { type Found, tasksOf } from './places.ts'
import { progressOfOne } from './progress.ts'
import { noTask } from './standing.ts'
import type { Times } from './timing.ts'
import type { Accepted, JobStatus, Printed, Progress, TaskHandle, TaskProgress } from './types.ts'

export interface TaskPlan {
  readonly job: JobId
  readonly index: number
  readonly gate: Gate
  /** Its job, or a reader of that. */
  readonly find: () => Job<unknown>
  /** Ends this handle, and no other one. */
  readonly signal?: AbortSignal | undefined
}

export class Single<R> extends Awaitable<R> implements TaskHandle<R> {
  declare readonly gives?: R
  readonly id: string
  protected readonly gate: Gate
  readonly #plan: TaskPlan
  readonly #index: number
  #held: Job<unknown> | undefined
  #own: Fate | undefined

  constructor(plan: TaskPlan) {
    super()
    this.id = taskId(plan.job, plan.index)
    this.gate = plan.gate
    this.#plan = plan
    this.#index = plan.index
  }

  protected override get noun(): string {
    return 'Task'
  }

  protected override get seen(): object {
    return { id: this.id }
  }

  get #job(): Job<unknown> {
    return this.#held ?? this.#plan.find()
  }

  /** Of the job that it holds to from now on. */
  get #fate(): Fate {
    this.#held ??= this.#plan.find()
    const shared = this.#held.fate(this.#index)
    if (this.#plan.signal === undefined) return shared
    this.#own ??= shared.until(this.#plan.signal, this.id)
    return this.#own
  }

  protected get end(): End {
    return this.#fate.end
  }

  protected get times(): Times {
    return this.#fate.timing
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
    return { tasks: [await this.#job.maker.places.at(this.#index)], isList: false }
  }

  get accepted(): Promise<Accepted> {
    const { signal } = this.#plan
    return held(signal === undefined ? this.#accepted() : until(signal, this.id, this.#accepted()))
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

  async status(): Promise<JobStatus> {
    const { standing, id: job, interest } = this.#job
    // Who only asks how it stands waits for nothing.
    const fate = interest.hasAll || this.#held !== undefined ? this.#fate : undefined
    const told = fate?.end.isOver ? undefined : await standing.told(this.id)
    if (told?.isClosed && this.#index >= told.tasks) throw noTask(job, this.#index, told.tasks)
    const { settled, end } = fate ?? {}
    // Nobody knows how it ended: it says why.
    if (standing.isRead && end?.isOver && settled === undefined) await fate?.value
    const { error } = settled ?? {}
    const wasCancelled = error instanceof TaskError && error.code === 'SHOAL_CANCELLED'
    const isDone = (fate !== undefined && this.#isDone) || told?.done === 1
    const state = wasCancelled || told?.cancelled === 1 ? 'cancelled' : isDone ? 'done' : 'running'
    const failed = Number((isDone && end?.hasFailed) || told?.failed === 1 || told?.cancelled === 1)
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
    const text = `${this.id} is one task of a job, and is released with it: client.job('${this.#plan.job}').release()`
    throw new ShoalError('SHOAL_BAD_OPTION', text)
  }

  async #accepted(): Promise<Accepted> {
    const { maker } = this.#job
    const { places, share } = maker
    const { placement } = await places.at(this.#index)
    // Who submits the key again makes all of it anew, unless it is there as a whole.
    if (share !== undefined) await maker.untilAccepted()
    return { copies: places.copies(placement) }
  }
}

const until = <T>(signal: AbortSignal, task: string, promise: Promise<T>): Promise<T> =>
  unlessAborted(promise, signal).catch((error) => {
    throw signal.aborted ? cancelled(`task ${task}`, signal) : error
  })
