/**
 * What is known of single tasks of a job, for those who asked for them by themselves.
 *
 * Not here: their handles (single.ts), and what is known of the job (job.ts).
 */
import { cancelled } from './abortable.ts'
import { End } from './endings.ts'
import type { Settled } from './settled.ts'
import { Timing } from './timing.ts'

/** What is known of one task; all its handles share it. */
export class Fate {
  readonly end = new End()
  readonly timing = new Timing()
  readonly #value = Promise.withResolvers<unknown>()
  settled: Settled | undefined
  /** Why nothing of it will come. */
  #failure: Error | undefined

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
    this.#failure = error
    this.#value.reject(error)
    this.#over(true)
  }

  #over(hasFailed: boolean): void {
    this.timing.over()
    this.end.over(hasFailed)
  }

  /** The same for one of those who share it, until its signal aborts. */
  until(signal: AbortSignal, task: string): Fate {
    const own = new Fate()
    const pass = (): void => {
      if (own.end.isOver) return
      if (this.settled !== undefined) own.settle(this.settled)
      else if (this.#failure !== undefined) own.fail(this.#failure)
    }
    const abort = (): void => own.fail(cancelled(`task ${task}`, signal))
    const leave = this.end.on((change) => {
      if (change === 'over') pass()
    })
    own.end.on((change) => {
      if (change !== 'over') return
      leave()
      signal.removeEventListener('abort', abort)
    })
    if (this.end.isOver) pass()
    else if (signal.aborted) abort()
    else signal.addEventListener('abort', abort)
    return own
  }
}

export class Fates {
  readonly #all = new Map<number, Fate>()

  get(index: number): Fate | undefined {
    return this.#all.get(index)
  }

  /** With how it ended, or why nobody will know that, if this is known. */
  begin(index: number, settled: Settled | undefined, absence: Error | undefined): Fate {
    const fate = new Fate()
    this.#all.set(index, fate)
    if (settled !== undefined) fate.settle(settled)
    else if (absence !== undefined) fate.fail(absence)
    return fate
  }

  /** The job is over: of those that have no outcome none will come. */
  fail(why: (index: number) => Error): void {
    for (const [index, fate] of this.#all) if (!fate.end.isOver) fate.fail(why(index))
  }
}
