/**
 * Results that arrive later, in IPython's words: may be asked, waited for with a limit, and given up.
 *
 * Not here: how work is begun (view.ts, balanced.ts).
 * It is awaitable like any promise; a limit of time ends only the waiting.
 */
import type { RunMetadata } from '../../errors.ts'
import { Awaitable } from '../awaitable.ts'
import { End, endOf } from '../endings.ts'
import { checkListener } from '../listeners.ts'
import type { Gate } from '../nest.ts'
import { type Times, Timing } from '../timing.ts'
import type { JobHandle, Printed, Progress, TaskHandle } from '../types.ts'

/** The handles behind it wait as they must. */
const pass: Gate = (promise) => promise

/** What one meets who goes through a result. */
type Item<R> = R extends readonly (infer I)[] ? I : R

/** The calls of one result. */
export interface Calls<R> {
  readonly value: Promise<R>
  readonly handles: readonly TaskHandle<unknown>[]
  /** What each gives, in order. */
  readonly each: readonly Promise<unknown>[]
  /** Each gives a part of the list that all give together. */
  readonly areParts: boolean
}

interface Plan<R> {
  readonly value: () => Promise<R>
  readonly items: () => AsyncIterator<unknown>
  readonly handles: () => readonly TaskHandle<unknown>[]
  /** The handles, once they are known. Never rejects. */
  readonly begun: Promise<readonly TaskHandle<unknown>[]>
  readonly job: JobHandle<unknown> | undefined
}

/**
 * Of a list, async iteration gives one item after the other, each as soon as it is there: those of the engines in their order, those
 * of a map in the order of the inputs. It throws the first failure in that order. Leaving it early cancels nothing, but for `imap`.
 */
export class AsyncResult<R> extends Awaitable<R> implements Times, AsyncIterable<Item<R>> {
  /** Said, as a bundler calls a class that speaks of itself by another name. */
  static override readonly name = 'AsyncResult'
  readonly #plan: Plan<R>
  /** Of tasks; a job has its own. */
  readonly #end = new End()
  readonly #timing = new Timing()
  #done = 0
  #failed = 0

  private constructor(plan: Plan<R>) {
    super()
    this.#plan = plan
  }

  /** Of tasks on several engines, whose handles are known a little later. */
  static ofTasks<R>(begun: Promise<Calls<R>>): AsyncResult<R> {
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
    const result: AsyncResult<R> = new AsyncResult({
      value: () => value,
      items: () => inOrder(begun),
      handles: () => handles,
      begun: begun.then(
        (one) => one.handles,
        () => []
      ),
      job: undefined
    })
    const ended = (hasFailed: boolean): void => {
      result.#timing.over()
      result.#end.over(hasFailed)
    }
    value.then(
      () => ended(false),
      () => ended(true)
    )
    return result
  }

  /** Its results are kept until it goes. */
  static ofJob<R>(job: JobHandle<R>): AsyncResult<R[]> {
    // Asked for before anybody can go through it.
    const value = job.then((results) => results) as Promise<R[]>
    value.catch(() => {})
    return AsyncResult.#of(
      job,
      () => value,
      () => job[Symbol.asyncIterator]()
    )
  }

  /** Each task of the job gives the results of several inputs. */
  static ofChunks<R>(job: JobHandle<R[]>): AsyncResult<R[]> {
    const value = job.then((parts) => (parts as R[][]).flat(1)) as Promise<R[]>
    value.catch(() => {})
    return AsyncResult.#of(
      job,
      () => value,
      () => oneByOne(job)
    )
  }

  /** Its results are taken out one by one, so there may be endlessly many; or all are asked for, and kept from then on. */
  static ofFlow<R>(job: JobHandle<R>, items: () => AsyncIterator<R>): AsyncResult<R[]> {
    return AsyncResult.#of(job, () => Promise.resolve(job), items)
  }

  static #of<R>(
    job: JobHandle<unknown>,
    value: () => Promise<R[]>,
    items: () => AsyncIterator<R>
  ): AsyncResult<R[]> {
    return new AsyncResult({ value, items, handles: () => [], begun: Promise.resolve([]), job })
  }

  [Symbol.asyncIterator](): AsyncIterator<Item<R>> {
    return this.#plan.items() as AsyncIterator<Item<R>>
  }

  get #job(): JobHandle<unknown> | undefined {
    return this.#plan.job
  }

  #handles(): readonly TaskHandle<unknown>[] {
    return this.#plan.handles()
  }

  // biome-ignore lint/suspicious/noThenProperty: a result is awaitable by design.
  then<A = R, B = never>(
    onDone?: ((value: R) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    return this.#plan.value().then(onDone, onRejected)
  }

  protected override get seen(): object {
    return this.progress
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

  /** Called with what tasks print, as in `JobHandle`; `index` is the place of the engine, or of the task of a job. */
  onOutput(listener: (printed: Printed) => void): () => void {
    checkListener(listener)
    if (this.#job !== undefined) return this.#job.onOutput(listener)
    let isOver = false
    const ends: (() => void)[] = []
    void this.#plan.begun.then((handles) => {
      if (isOver) return
      for (const [index, handle] of handles.entries())
        ends.push(handle.onOutput((printed) => listener({ ...printed, index })))
    })
    return () => {
      isOver = true
      for (const end of ends) end()
    }
  }

  protected get times(): Times {
    return this.#job ?? this.#timing
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

async function* oneByOne<R>(parts: AsyncIterable<R[]>): AsyncGenerator<R, void, undefined> {
  for await (const part of parts) yield* part
}

async function* inOrder(begun: Promise<Calls<unknown>>): AsyncGenerator<unknown, void, undefined> {
  const { each, areParts } = await begun
  for (const call of each) {
    const given = await call
    const isList = Array.isArray(given) || ArrayBuffer.isView(given) || typeof given === 'string'
    if (areParts && isList) yield* given as Iterable<unknown>
    else yield given
  }
}
