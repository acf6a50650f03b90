/**
 * A view of the whole mesh: each task goes to whichever engine has room.
 *
 * Not here: how that is decided (tasks/standings.ts), and views of particular engines (view.ts).
 * Nothing but the client's own verbs, with options said once.
 */
import { isRecord, refuse, shown, truth, whole } from '../checks.ts'
import type { ModuleFunction } from '../functions.ts'
import { leavable } from '../leavable.ts'
import type { Filling, Given, Received, ReceivedAll } from '../stand-ins.ts'
import type { Client, Inputs, MapOptions, Result, TaskOptions, Zipped } from '../types.ts'
import { plainInputs, zipped } from '../zip.ts'
import { eachOf, inChunks } from './chunked.ts'
import { AsyncResult } from './result.ts'

export interface ImapOptions {
  /** Inputs that are on their way and whose result was not taken out yet. Default 10. */
  readonly maxOutstanding?: number
  /** In the order of the inputs, or as they are completed. Default true. */
  readonly ordered?: boolean
}

export interface Chunk {
  /** Inputs that are one task, 1 to 10,000. Default: each is a task. */
  readonly chunk?: number
}

const chunkMax = 10_000

interface Zip {
  readonly zip: true
}

// biome-ignore lint/suspicious/noExplicitAny: user functions take what they like.
type Work<R> = ((...args: any[]) => R) | ModuleFunction

export class BalancedView {
  readonly #client: Pick<Client, 'submit' | 'map'>
  readonly #options: TaskOptions

  constructor(client: Pick<Client, 'submit' | 'map'>, options: TaskOptions) {
    this.#client = client
    this.#options = options
  }

  apply<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    ...args: A
  ): AsyncResult<Result<R>> {
    const handle = this.#client.submit<Result<R>>(fn as ModuleFunction, args, this.#options)
    const value = Promise.resolve(handle) as Promise<Result<R>>
    value.catch(() => {})
    return AsyncResult.ofTasks(Promise.resolve({ value, handles: [handle], each: [value], areParts: false }))
  }

  /**
   * As `Client.map`; with `zip`, over several sources side by side. Many short tasks are given to engines together by their measured
   * durations; `chunk` says instead that so many inputs are one task, which runs, fails and is retried as one.
   */
  map<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    inputs: Zipped<A>,
    options: MapOptions & Chunk & Zip
  ): AsyncResult<Result<R>[]>
  map<I extends Filling<P>, R, P = Received<I>>(
    fn: ((input: P) => R) | ModuleFunction,
    inputs: Inputs<I>,
    options?: MapOptions & Chunk
  ): AsyncResult<Result<R>[]>
  map<R>(
    fn: Work<R>,
    inputs: Inputs<unknown>,
    mapOptions: MapOptions & Chunk & Partial<Zip> = {}
  ): AsyncResult<Result<R>[]> {
    checkRecord(mapOptions)
    const { chunk, ...options } = mapOptions
    if (chunk !== undefined) return this.#inChunks(fn, inputs, chunk, options)
    const job = this.#client.map<Result<R>>(fn as ModuleFunction, inputs, { ...this.#options, ...options })
    return AsyncResult.ofJob(job)
  }

  #inChunks<R>(
    fn: Work<R>,
    inputs: Inputs<unknown>,
    size: number,
    { zip = false, ...more }: MapOptions & { readonly zip?: boolean }
  ): AsyncResult<Result<R>[]> {
    whole('chunk', size, 1, chunkMax)
    truth('zip', zip)
    const options = { ...this.#options, ...more }
    if (options.returnErrors === true)
      refuse('`chunk` and `returnErrors` contradict each other; the inputs of a chunk fail as one')
    const rows = zip ? zipped(inputs) : plainInputs(inputs)
    const each = eachOf(fn as ModuleFunction, zip ? 'row' : 'input', options.scope)
    const job = this.#client.map<Result<R>[]>(each as ModuleFunction, inChunks(rows, size), options)
    return AsyncResult.ofChunks(job)
  }

  /**
   * Pulls inputs as results are taken out, so they may have no end: go through it once. Leaving early cancels the rest. Who awaits
   * it, or asks for `get()`, gets all of them in the order of the inputs, which must have an end then.
   */
  imap<A extends Given<P>, R, P extends readonly unknown[] = ReceivedAll<A>>(
    fn: ((...args: P) => R) | ModuleFunction,
    inputs: Zipped<A>,
    options: ImapOptions & Zip
  ): AsyncResult<Result<R>[]>
  imap<I extends Filling<P>, R, P = Received<I>>(
    fn: ((input: P) => R) | ModuleFunction,
    inputs: Inputs<I>,
    options?: ImapOptions
  ): AsyncResult<Result<R>[]>
  imap<R>(fn: Work<R>, inputs: Inputs<unknown>, imapOptions: ImapOptions = {}): AsyncResult<Result<R>[]> {
    checkRecord(imapOptions)
    const { maxOutstanding = 10, ordered = true, ...zip } = imapOptions
    whole('maxOutstanding', maxOutstanding, 1, Number.MAX_SAFE_INTEGER)
    truth('ordered', ordered)
    const options = { ...this.#options, ...zip, inFlightMax: maxOutstanding }
    const job = this.#client.map<Result<R>>(fn as ModuleFunction, inputs, options)
    async function* asCompleted(): AsyncGenerator<Result<R>, void, undefined> {
      for await (const one of job.asCompleted()) {
        if (one.error !== undefined) throw one.error
        yield one.value
      }
    }
    const items = ordered
      ? () => job[Symbol.asyncIterator]()
      : () => leavable(asCompleted(), () => job.cancel().catch(() => {}))
    return AsyncResult.ofFlow(job, items)
  }
}

/** What they say is checked where the job is made. */
function checkRecord(options: object): void {
  if (!isRecord(options)) refuse(`options are ${shown(options)}; they are an object, such as { retries: 2 }`)
}
