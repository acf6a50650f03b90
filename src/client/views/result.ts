/**
 * Results that arrive later, in IPython's words: may be asked, waited for with a limit, and given up.
 *
 * Not here: how work is begun (view.ts, balanced.ts).
 * It is awaitable like any promise; a limit of time ends only the waiting.
 */
import type { RunMetadata } from '../../errors.ts'
import { Awaitable } from '../awaitable.ts'
import { End, endOf } from '../endings.ts'
import type { Gate } from '../nest.ts'
import { type Times, Timing } from '../timing.ts'
import type { JobHandle, Progress, TaskHandle } from '../types.ts'

/** The handles behind it wait as they must. */
const pass: Gate = (promise) => promise

export class AsyncResult<R> extends Awaitable<R> implements Times {
  readonly #value: Promise<R>
  readonly #handles: () => readonly TaskHandle<unknown>[]
  readonly #job: JobHandle<unknown> | undefined
  /** Of tasks; a job has its own. */
  readonly #end = new End()
  readonly #timing = new Timing()
  #done = 0
  #failed = 0

  private constructor(
    value: Promise<R>,
    handles: () => readonly TaskHandle<unknown>[],
    job?: JobHandle<unknown>
  ) {
    super()
    this.#value = value
    this.#handles = handles
    this.#job = job
    const ended = (hasFailed: boolean): void => {
      this.#timing.over()
      this.#end.over(hasFailed)
    }
    value.then(
      () => ended(false),
      () => ended(true)
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
          () => result.#ended(handle, false),
          () => result.#ended(handle, true)
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

  get elapsed(): number {
    return this.#job?.elapsed ?? this.#timing.elapsed
  }

  get serialTime(): number {
    return this.#job?.serialTime ?? this.#timing.serialTime
  }

  get wallTime(): number {
    return this.#job?.wallTime ?? this.#timing.wallTime
  }

  protected get end(): End {
    return this.#job?.[endOf]() ?? this.#end
  }

  protected get gate(): Gate {
    return pass
  }

  #ended({ metadata }: TaskHandle<unknown>, hasFailed: boolean): void {
    this.#done++
    if (metadata !== undefined) this.#timing.ran(metadata)
    if (!hasFailed) return
    this.#failed++
    this.#end.failed()
  }

  /** Cancels what has not ended. */
  async abort(): Promise<void> {
    await this.#job?.cancel()
    await Promise.all(this.#handles().map((handle) => handle.cancel()))
  }
}
