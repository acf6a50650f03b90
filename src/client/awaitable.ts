/**
 * Work whose value can be awaited like a promise's, and also asked for with a limit, in IPython's words.
 *
 * Not here: how it ends (endings.ts), and whose value it is (job.ts, task.ts, graph-handle.ts, views/result.ts).
 */
import { ShoalError } from '../errors.ts'
import { checkTimeout } from './checks.ts'
import { type End, type Endable, endOf, limited } from './endings.ts'
import { inspectedBy, type Look, looksLike } from './looks.ts'
import type { Gate } from './nest.ts'
import type { Times } from './timing.ts'

/** Awaitable: the value. */
export interface Later<R> extends PromiseLike<R>, Endable {
  /** The value, or what went wrong; SHOAL_TIMEOUT after `timeout` milliseconds, and the work goes on. May be asked again. */
  get(timeout?: number): Promise<R>
  /** True once it has ended, well or not; false after `timeout` milliseconds. Takes no result out. */
  wait(timeout?: number): Promise<boolean>
  /** True once it has ended, well or not, as far as is known here. */
  readonly ready: boolean
  /** True if it has ended and nothing failed. */
  readonly successful: boolean
  catch<T>(onRejected: (error: unknown) => T | PromiseLike<T>): Promise<R | T>
  finally(onFinally: () => void): Promise<R>
}

/** A promise that is there to be looked at: who leaves it alone hears of the failure where he awaits the work. */
export function held<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

export abstract class Awaitable<R> implements Later<R>, Times {
  /** Looks at its end, and keeps nothing for it. */
  protected abstract get end(): End
  /** What waiting goes through. */
  protected abstract get gate(): Gate
  protected abstract get times(): Times
  // biome-ignore lint/suspicious/noThenProperty: it is awaitable by design.
  abstract then<A = R, B = never>(
    onDone?: ((value: R) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B>

  [endOf](): End {
    return this.end
  }

  /** Its end, for somebody who looks at it again and again until it is there. */
  protected get looked(): End {
    return this.end
  }

  /** What is to be seen of it, before whether it has ended. */
  protected get seen(): object {
    return {}
  }

  protected get noun(): string {
    return this.constructor.name
  }

  get [inspectedBy](): Look {
    const state = ({ isOver, hasFailed }: End): string => (isOver ? (hasFailed ? 'failed' : 'done') : 'open')
    return looksLike(this.noun, () => ({ ...this.seen, state: state(this.end) }))
  }

  async get(timeout?: number): Promise<R> {
    if (timeout === undefined || (await this.wait(timeout))) return this.then()
    throw new ShoalError('SHOAL_TIMEOUT', `no result after ${timeout} ms; the work goes on, ask again`)
  }

  async wait(timeout?: number): Promise<boolean> {
    checkTimeout(timeout)
    const end = this[endOf]()
    if (end.isOver) return true
    const { promise, resolve } = Promise.withResolvers<void>()
    const leave = end.on((change) => {
      if (change === 'over') resolve()
    })
    try {
      return await this.gate(limited(promise, timeout))
    } finally {
      leave()
    }
  }

  get ready(): boolean {
    return this.looked.isOver
  }

  get successful(): boolean {
    const { isOver, hasFailed } = this.looked
    return isOver && !hasFailed
  }

  get elapsed(): number {
    return this.times.elapsed
  }

  get serialTime(): number {
    return this.times.serialTime
  }

  get wallTime(): number {
    return this.times.wallTime
  }

  catch<T>(onRejected: (error: unknown) => T | PromiseLike<T>): Promise<R | T> {
    return this.then(undefined, onRejected)
  }

  finally(onFinally: () => void): Promise<R> {
    return this.then().finally(onFinally)
  }
}
