/**
 * Results that arrive later, in IPython's words: may be asked, waited for with a limit, and given up.
 *
 * Not here: how work is begun (view.ts, balanced.ts).
 * It is awaitable like any promise; a limit of time ends only the waiting.
 */
import { performance } from 'node:perf_hooks'
import { type RunMetadata, ShoalError } from '../../errors.ts'
import type { JobHandle, Progress, TaskHandle } from '../types.ts'

export class AsyncResult<R> implements PromiseLike<R> {
  readonly #value: Promise<R>
  readonly #handles: () => readonly TaskHandle<unknown>[]
  readonly #job: JobHandle<unknown> | undefined
  #state: 'open' | 'fine' | 'failed' = 'open'
  readonly #begunAt = performance.now()
  #endedAt: number | undefined
  #done = 0
  #failed = 0

  private constructor(
    value: Promise<R>,
    handles: () => readonly TaskHandle<unknown>[],
    job?: JobHandle<unknown>
  ) {
    this.#value = value
    this.#handles = handles
    this.#job = job
    const ended = (state: 'fine' | 'failed'): void => {
      this.#state = state
      this.#endedAt = performance.now()
    }
    value.then(
      () => ended('fine'),
      () => ended('failed')
    )
  }

  /** Of tasks on several engines, whose handles are known a little later. */
  static ofTasks<R>(
    begun: Promise<{ value: Promise<R>; handles: readonly TaskHandle<unknown>[] }>
  ): AsyncResult<R> {
    let handles: readonly TaskHandle<unknown>[] = []
    const value = begun.then((one) => {
      handles = one.handles
      for (const handle of handles) {
        handle.then(
          () => {
            result.#done++
          },
          () => {
            result.#done++
            result.#failed++
          }
        )
      }
      return one.value
    })
    const result: AsyncResult<R> = new AsyncResult(value, () => handles)
    return result
  }

  static ofJob<R>(job: JobHandle<R>): AsyncResult<R[]> {
    return new AsyncResult(Promise.resolve(job), () => [], job)
  }

  // biome-ignore lint/suspicious/noThenProperty: a result is awaitable by design.
  then<A = R, B = never>(
    onDone?: ((value: R) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    return this.#value.then(onDone, onRejected)
  }

  catch<T>(onRejected: (error: unknown) => T | PromiseLike<T>): Promise<R | T> {
    return this.#value.catch(onRejected)
  }

  /** The value, or what went wrong; SHOAL_TIMEOUT after `timeout` milliseconds, and the work goes on. May be asked again. */
  async get(timeout?: number): Promise<R> {
    if (await this.wait(timeout)) return this.#value
    throw new ShoalError('SHOAL_TIMEOUT', `no result after ${timeout} ms; the work goes on, ask again`)
  }

  /** True once it has ended, well or not; false after `timeout` milliseconds. */
  async wait(timeout?: number): Promise<boolean> {
    const end = this.#value.then(
      () => true,
      () => true
    )
    if (timeout === undefined) return end
    const { promise: late, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(resolve, timeout, false)
    try {
      return await Promise.race([end, late])
    } finally {
      clearTimeout(timer)
    }
  }

  get ready(): boolean {
    return this.#state !== 'open'
  }

  /** True if it has ended and nothing failed. */
  get successful(): boolean {
    return this.#state === 'fine'
  }

  get progress(): Progress {
    if (this.#job !== undefined) return this.#job.progress
    return { done: this.#done, total: this.#handles().length, failed: this.#failed }
  }

  /** Of a job, of the task at `index`; else of the call on the engine at that place. */
  metadata(index = 0): RunMetadata | undefined {
    return this.#job === undefined ? this.#handles()[index]?.metadata : this.#job.metadata(index)
  }

  /** What each call printed, in the order of the engines, or each task of a job; empty for what has not ended. */
  get stdout(): readonly string[] {
    return this.#job?.stdout ?? this.#handles().map(({ stdout }) => stdout)
  }

  get stderr(): readonly string[] {
    return this.#job?.stderr ?? this.#handles().map(({ stderr }) => stderr)
  }

  /** Milliseconds since it was begun, or until the last result was here. */
  get elapsed(): number {
    return (this.#endedAt ?? performance.now()) - this.#begunAt
  }

  /** Milliseconds that all tasks that have ended took, one after another, each by its engine's clock. */
  get serialTime(): number {
    return this.#runs().reduce((sum, { started = 0, completed = started }) => sum + completed - started, 0)
  }

  /** Milliseconds from the submission to the last end so far; across machines as right as their clocks are. */
  get wallTime(): number {
    const runs = this.#runs()
    const ends = runs.map(({ submitted, completed = submitted }) => completed)
    return runs.length === 0 ? 0 : Math.max(...ends) - Math.min(...runs.map(({ submitted }) => submitted))
  }

  #runs(): RunMetadata[] {
    const count = this.#job?.progress.total ?? this.#handles().length
    return Array.from({ length: count }, (_, at) => this.metadata(at)).filter((run) => run !== undefined)
  }

  /** Cancels what has not ended. */
  async abort(): Promise<void> {
    await this.#job?.cancel()
    await Promise.all(this.#handles().map((handle) => handle.cancel()))
  }
}
