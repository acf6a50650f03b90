/**
 * Waiting for several pieces of work at once: until one has ended, one has failed, or all have ended.
 *
 * Not here: how one of them ends (job.ts, views/result.ts).
 * Each handle has an end that others listen to and leave again, so that waiting in a loop for what is still open leaves
 * nothing behind. Listening takes no result out, and a failure of what is waited for is no failure of the waiting.
 */
import { ShoalError } from '../errors.ts'
import { checkTimeout, onlyKnown } from './checks.ts'

/** What can be waited for with others: handles of tasks, jobs and graphs, and AsyncResults. */
export const endOf: unique symbol = Symbol('its end')
export interface Endable {
  /** From now on results are kept for whoever waits. */
  [endOf](): End
}

type Change = 'failed' | 'over'

/** Whether a piece of work is over, and whether something of it has failed. */
export class End {
  readonly #listeners = new Set<(change: Change) => void>()
  isOver = false
  hasFailed = false

  /** A part of it has failed, so that the whole will; the rest may still run. */
  failed(): void {
    if (this.hasFailed || this.isOver) return
    this.hasFailed = true
    this.#tell('failed')
  }

  over(hasFailed: boolean): void {
    if (this.isOver) return
    if (hasFailed) this.failed()
    this.isOver = true
    this.#tell('over')
    this.#listeners.clear()
  }

  /** Called with every change from now on; returns a function that ends it. */
  on(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell(change: Change): void {
    for (const listener of this.#listeners) listener(change)
  }
}

export interface WaitOptions {
  /**
   * `all` (default): until everything has ended. `firstCompleted`: until something has, well or not. `firstException`: until
   * something has failed, which of a job may be one task while others run; or everything has ended.
   */
  readonly until?: 'all' | 'firstCompleted' | 'firstException'
  /** Milliseconds to wait at most; then the answer is how things stand. Default: no limit. */
  readonly timeout?: number
  /** Ends the waiting with SHOAL_CANCELLED, and nothing else. */
  readonly signal?: AbortSignal
}

/** How things stand, each list in the order in which they were given. */
export interface Waited<H> {
  readonly done: H[]
  readonly pending: H[]
  /** Those of both lists of which something has failed, or was cancelled. */
  readonly failed: H[]
}

/** One of several, as it ends. In an object of its own, since a loop that awaits would take its value instead. */
export interface Ended<H> {
  /** Its place among those given, from 0. */
  readonly index: number
  readonly handle: H
  readonly hasFailed: boolean
}

const untils = ['all', 'firstCompleted', 'firstException'] as const
/** What a timer can hold; longer limits are none. */
const timerMax = 2 ** 31 - 1

/** See `Client.wait`. */
export async function wait<H extends Endable>(
  handles: Iterable<H>,
  options: WaitOptions = {}
): Promise<Waited<H>> {
  onlyKnown(options, ['until', 'timeout', 'signal'])
  const { until = 'all', timeout, signal } = options
  checkTimeout(timeout)
  if (!untils.includes(until))
    throw refused(`\`until\` is ${String(until)}; it is one of ${untils.join(', ')}`)
  const ends = endsOf(handles)
  let open = ends.filter(({ end }) => !end.isOver).length
  let hasFailed = ends.some(({ end }) => end.hasFailed)
  const isEnough = (): boolean =>
    open === 0 ||
    (until === 'firstCompleted' && open < ends.length) ||
    (until === 'firstException' && hasFailed)
  const enough = Promise.withResolvers<void>()
  const leave = ends.map(({ end }) =>
    end.on((change) => {
      if (change === 'over') open--
      else hasFailed = true
      if (isEnough()) enough.resolve()
    })
  )
  try {
    if (!isEnough()) await limited(enough.promise, timeout, signal)
  } finally {
    for (const one of leave) one()
  }
  const those = (are: (end: End) => boolean): H[] =>
    ends.filter(({ end }) => are(end)).map(({ handle }) => handle)
  return {
    done: those(({ isOver }) => isOver),
    pending: those(({ isOver }) => !isOver),
    failed: those((end) => end.hasFailed)
  }
}

/** See `Client.asCompleted`. `limit`: how each wait is made. */
export async function* inOrderOfEnd<H extends Endable>(
  handles: Iterable<H>,
  options: Omit<WaitOptions, 'until'> = {},
  limit: <T>(promise: Promise<T>) => Promise<T> = (promise) => promise
): AsyncGenerator<Ended<H>, void, undefined> {
  onlyKnown(options, ['timeout', 'signal'])
  const { timeout, signal } = options
  checkTimeout(timeout)
  const ends = endsOf(handles)
  const over = ends.filter(({ end }) => end.isOver)
  let change = Promise.withResolvers<void>()
  const leave = ends.map((one) =>
    one.end.on((how) => {
      if (how === 'failed') return
      over.push(one)
      change.resolve()
      change = Promise.withResolvers()
    })
  )
  const until = timeout === undefined ? undefined : performance.now() + timeout
  try {
    for (let told = 0; told < ends.length; told++) {
      while (told >= over.length) {
        const left = until === undefined ? undefined : Math.max(0, until - performance.now())
        if (await limit(limited(change.promise, left, signal))) continue
        const text = `${ends.length - told} of ${ends.length} have not ended after ${timeout} ms; the work goes on`
        throw new ShoalError('SHOAL_TIMEOUT', text)
      }
      const { index, handle, end } = over[told] as Listened<H>
      yield { index, handle, hasFailed: end.hasFailed }
    }
  } finally {
    for (const one of leave) one()
  }
}

/** True once the promise has settled, well or not; false after `timeout` milliseconds. Rejects with SHOAL_CANCELLED. */
export async function limited(
  promise: Promise<unknown>,
  timeout: number | undefined,
  signal?: AbortSignal
): Promise<boolean> {
  checkTimeout(timeout)
  const { promise: end, resolve, reject } = Promise.withResolvers<boolean>()
  promise.then(
    () => resolve(true),
    () => resolve(true)
  )
  const abort = (): void =>
    reject(new ShoalError('SHOAL_CANCELLED', 'the waiting was aborted', { cause: signal?.reason }))
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort, { once: true })
  const isLimited = timeout !== undefined && timeout <= timerMax
  const timer = isLimited ? setTimeout(resolve, timeout, false) : undefined
  try {
    return await end
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

interface Listened<H> {
  readonly index: number
  readonly handle: H
  readonly end: End
}

function endsOf<H extends Endable>(handles: Iterable<H>): Listened<H>[] {
  if (typeof handles !== 'object' || handles === null || !(Symbol.iterator in handles))
    throw refused('what is waited for is a list of handles, as in wait([task, job])')
  return [...handles].map((handle, index) => ({ index, handle, end: endOfHandle(handle) }))
}

/** Throws SHOAL_BAD_OPTION for what never ends. */
export function endOfHandle(handle: Endable): End {
  if (typeof handle !== 'object' || handle === null || !(endOf in handle))
    throw refused('what is waited for is handles of tasks, jobs and graphs, or AsyncResults')
  return handle[endOf]()
}

const refused = (text: string): ShoalError => new ShoalError('SHOAL_BAD_OPTION', text)
