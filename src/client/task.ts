/**
 * One task in its submitter's hands: a job of one, whose result is the value itself.
 *
 * Not here: everything else about jobs (job.ts).
 */
import type { RunMetadata } from '../errors.ts'
import type { Explanation } from './answers.ts'
import { Awaitable } from './awaitable.ts'
import { type End, endOf } from './endings.ts'
import type { Job } from './job.ts'
import { checkListener } from './listeners.ts'
import type { Gate } from './nest.ts'
import { type Found, tasksOf } from './places.ts'
import { progressOfOne } from './progress.ts'
import type { Times } from './timing.ts'
import type { Accepted, JobStatus, Printed, Progress, TaskHandle, TaskProgress } from './types.ts'

export class Task<R> extends Awaitable<R> implements TaskHandle<R> {
  readonly #job: Job<R>

  constructor(job: Job<R>) {
    super()
    this.#job = job
  }

  get id(): string {
    return this.#job.id
  }

  protected override get seen(): object {
    return { id: this.id }
  }

  get accepted(): Promise<Accepted> {
    return this.#job.accepted
  }

  get metadata(): RunMetadata | undefined {
    return this.#job.metadata(0)
  }

  get progress(): Progress {
    const { looked, isComplete } = this.#job
    return progressOfOne(isComplete, looked)
  }

  get stdout(): string {
    return this.metadata?.stdout ?? ''
  }

  get stderr(): string {
    return this.metadata?.stderr ?? ''
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaitable by design.
  then<A = R, B = never>(
    onDone?: ((result: R) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    return this.#job.then(([result]) => result as R).then(onDone, onRejected)
  }

  protected get end(): End {
    return this.#job.end
  }

  protected get times(): Times {
    return this.#job
  }

  protected override get looked(): End {
    return this.#job.looked
  }

  protected get gate(): Gate {
    return this.#job.gate
  }

  override [endOf](): End {
    return this.#job[endOf]()
  }

  async [tasksOf](): Promise<Found> {
    return { tasks: [await this.#job.places.at(0)], isList: false }
  }

  status(): Promise<JobStatus> {
    return this.#job.status()
  }

  explain(): Promise<Explanation> {
    return this.#job.explain(0)
  }

  onProgress(listener: (progress: TaskProgress) => void): () => void {
    checkListener(listener)
    return this.#job.onProgress(({ running }) => {
      for (const one of running) listener(one)
    })
  }

  onOutput(listener: (printed: Printed) => void): () => void {
    return this.#job.onOutput(listener)
  }

  cancel(): Promise<void> {
    return this.#job.cancel()
  }

  release(): Promise<void> {
    return this.#job.release()
  }
}
