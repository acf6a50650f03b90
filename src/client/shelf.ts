/**
 * The results of one job as they arrive, until one reader takes them down: all at once, in order, or as they come.
 *
 * Not here: where they come from, and when the job ends (job.ts).
 * Who reads one by one takes each result away, so that an endless job needs no endless memory; everybody else only looks.
 */
import { CompositeError, ShoalError, TaskError } from '../errors.ts'
import { leavable } from './leavable.ts'
import type { Gate } from './nest.ts'
import type { Settled } from './settled.ts'
import type { Completed, Progress } from './types.ts'

export interface ShelfPlan {
  readonly id: string
  readonly returnErrors: boolean
  readonly gate: Gate
  /** A reader left before the end. */
  readonly leave: () => Promise<void>
  /** One result was taken out. */
  readonly onTaken: () => void
}

export class Shelf<R> {
  readonly #plan: ShelfPlan
  readonly #settled = new Map<number, Settled>()
  /** Indexes in order of arrival, if somebody reads them so. */
  #arrivals: number[] = []
  #change = Promise.withResolvers<void>()
  reading: 'nobody' | 'all' | 'one by one' | 'left' = 'nobody'
  done = 0
  failed = 0
  /** Of those that failed. */
  cancelled = 0
  taken = 0
  /** Tasks of the job, once no more can come. */
  total: number | undefined
  isCancelled = false
  /** By others, so who reads its last result does not have all that was to come. */
  isCutOff = false
  isComplete = false
  /** Why nothing more will arrive. */
  failure: Error | undefined

  constructor(plan: ShelfPlan) {
    this.#plan = plan
  }

  get progress(): Progress {
    const { done, total, failed } = this
    return { done, total, failed }
  }

  put(index: number, settled: Settled): void {
    if (this.reading !== 'left') {
      this.#settled.set(index, settled)
      this.#arrivals.push(index)
    }
    this.done++
    if (settled.error === undefined) return
    this.failed++
    if (isCancel(settled.error)) this.cancelled++
  }

  has(index: number): boolean {
    return this.#settled.has(index)
  }

  at(index: number): Settled | undefined {
    return this.#settled.get(index)
  }

  /** The first one that is not here. */
  get open(): number {
    let index = 0
    while (this.has(index)) index++
    return index
  }

  printed(stream: 'stdout' | 'stderr', count: number): string[] {
    return Array.from({ length: this.total ?? count }, (_, index) => this.at(index)?.run[stream] ?? '')
  }

  /** Its only reader left: nothing is kept. */
  letGo(): void {
    this.reading = 'left'
    this.#settled.clear()
    this.#arrivals = []
    this.changed()
  }

  /** What was told is told again. */
  restart(): void {
    this.#settled.clear()
    this.#arrivals = []
    this.done = this.failed = this.cancelled = this.taken = 0
  }

  /** Resolves at the next change. */
  get change(): Promise<void> {
    return this.#change.promise
  }

  changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  /** Resolves once that is so; rejects with what ended all waiting. */
  async until(isSo: () => boolean): Promise<void> {
    for (;;) {
      if (this.failure !== undefined) throw this.failure
      if (isSo()) return
      await this.change
    }
  }

  /** Throws SHOAL_BAD_OPTION if somebody reads already. */
  read(how: 'all' | 'one by one'): void {
    if (this.reading !== 'nobody') {
      const text = `the results of job ${this.#plan.id} are read already; read them once, or open it again by client.job(id)`
      throw new ShoalError('SHOAL_BAD_OPTION', text)
    }
    this.reading = how
    this.changed()
  }

  async all(): Promise<R[]> {
    this.read('all')
    while (!this.isComplete && this.failure === undefined) await this.change
    if (this.failure !== undefined) throw this.failure
    const results: R[] = new Array(this.total ?? 0)
    const errors: Error[] = []
    for (let index = 0; index < results.length; index++) {
      const { value, error } = this.#settled.get(index) as Settled
      if (error !== undefined) errors.push(error)
      results[index] = (error ?? value) as R
    }
    if (this.isCancelled) throw this.#cancelled()
    if (errors.length === 0 || this.#plan.returnErrors) return results
    if (errors.length > 1 && errors.every(isCancel)) throw this.#cancelled()
    throw errors.length === 1 ? errors[0] : new CompositeError(errors as TaskError[])
  }

  ordered(): AsyncIterableIterator<R> {
    return leavable(this.#ordered(), this.#plan.leave)
  }

  async *#ordered(): AsyncGenerator<R, void, undefined> {
    let isAtEnd = false
    try {
      for (let index = 0; ; index++) {
        const settled = await this.#plan.gate(this.#next(() => index, index))
        if (settled === undefined) break
        yield this.#given(settled)
      }
      isAtEnd = true
    } finally {
      if (!isAtEnd) await this.#plan.leave()
    }
  }

  /** In order, as they come, for who has asked for all: takes nothing out, and leaving early ends nothing. */
  looked(): AsyncIterableIterator<R> {
    return leavable(this.#looked(), async () => {})
  }

  async *#looked(): AsyncGenerator<R, void, undefined> {
    for (let index = 0; ; index++) {
      const settled = await this.#plan.gate(this.#arrived(() => index, index))
      if (settled === undefined) return
      yield this.#given(settled)
    }
  }

  /** As a reader of single results gets it. */
  #given({ value, error }: Settled): R {
    if (error === undefined) return value as R
    if (this.#plan.returnErrors) return error as R
    throw this.isCancelled && isCancel(error) ? this.#cancelled() : error
  }

  completed(): AsyncIterableIterator<Completed<R>> {
    return leavable(this.#completed(), this.#plan.leave)
  }

  async *#completed(): AsyncGenerator<Completed<R>, void, undefined> {
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
      if (!isAtEnd) await this.#plan.leave()
    }
  }

  #cancelled(): ShoalError {
    const what = this.isCancelled ? `job ${this.#plan.id} was` : `tasks of job ${this.#plan.id} were`
    const text = `${what} cancelled; ${this.done - this.failed} of its tasks had ended before`
    return new ShoalError('SHOAL_CANCELLED', text)
  }

  /** The same, and takes it out. */
  async #next(indexOf: () => number | undefined, nth: number): Promise<Settled | undefined> {
    const settled = await this.#arrived(indexOf, nth)
    if (settled === undefined) return undefined
    this.#settled.delete(indexOf() as number)
    this.taken++
    this.#plan.onTaken()
    return settled
  }

  /** Waits for the `nth` result in the reader's order; `undefined` at the end. */
  async #arrived(indexOf: () => number | undefined, nth: number): Promise<Settled | undefined> {
    for (;;) {
      const index = indexOf()
      const settled = index === undefined ? undefined : this.#settled.get(index)
      if (settled !== undefined) return settled
      if (this.failure !== undefined) throw this.failure
      if (this.reading === 'left') return undefined
      const isAtEnd = this.isComplete && nth >= (this.total ?? 0)
      if (isAtEnd && this.isCutOff) throw this.#cancelled()
      if (isAtEnd) return undefined
      await this.change
    }
  }
}

function isCancel(error: Error): boolean {
  return error instanceof TaskError && error.code === 'SHOAL_CANCELLED'
}
