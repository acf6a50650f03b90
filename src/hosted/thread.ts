/**
 * The app's end of a thread that runs its node, or the network of its client: calls that are answered, and what the thread asks.
 *
 * Not here: the thread's end (host.ts), and what is said (words.ts).
 * A thread that ends unasked takes everything with it that waits for it, at once and with a clear error; it is never replaced,
 * since only the app knows what else is lost with it.
 */
import { Worker } from 'node:worker_threads'
import { packError, unpackError } from '../client/sync/failures.ts'
import { explainError, ShoalError } from '../errors.ts'
import type { Told } from '../tasks/executor/guest.ts'
import { type Call, type FromHost, type HostData, type Question, sizeOf, type ToHost } from './words.ts'

/** A thread that is asked to end may take so long; then it is ended. */
const endWithinMs = 10_000

/** The line over this thread. */
export interface Ears {
  hear(told: Told): void
  closed(reason: string): void
  attach(): Promise<void>
  lost(error: ShoalError): void
}

export interface HostThreadOptions {
  /** What runs in it, in words. */
  readonly what: 'node' | 'client'
  /** The rest of what it says. */
  readonly hear?: (
    message: Extract<FromHost, { kind: 'note' | 'facts' | 'pull' | 'stopped' | 'probe-closed' }>
  ) => void
  readonly answer?: (what: Exclude<Question, 'attach'>) => Promise<number>
  /** It ended by itself. */
  readonly onLost?: (error: ShoalError) => void
}

export class HostThread {
  ears: Ears | undefined
  readonly #options: HostThreadOptions
  readonly #worker: Worker
  readonly #unheard = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>()
  #last = 0
  #end: ShoalError | undefined
  #cause: unknown

  constructor(options: HostThreadOptions) {
    this.#options = options
    const workerData: HostData = { unheard: this.#unheard.buffer as SharedArrayBuffer }
    // Where this is a source, its neighbour is one; in the package there is a file for each purpose (build/package.ts).
    const file = new URL(import.meta.url.endsWith('.ts') ? './host.ts' : './hosted.js', import.meta.url)
    this.#worker = new Worker(file, { workerData, name: `shoal ${options.what}` })
    this.#worker.on('message', (message: FromHost) => this.#hear(message))
    this.#worker.on('error', (error) => {
      this.#cause ??= error
    })
    this.#worker.on('exit', (code) => this.#exited(code))
  }

  /** Rejects with what went wrong there; SHOAL_HOST_LOST, or why it was ended, if nobody answers any more. */
  async call<T>(of: Call, signal?: AbortSignal): Promise<T> {
    const call = ++this.#last
    this.tell({ kind: 'call', call, of })
    const answer = Promise.withResolvers<unknown>()
    this.#calls.set(call, answer)
    const abort = (): void => this.#post({ kind: 'abort', call })
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort)
    try {
      return (await answer.promise) as T
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Throws if it has ended. */
  check(): void {
    if (this.#end !== undefined) throw this.#end
  }

  /** Throws if it has ended, and SHOAL_BAD_OPTION for what cannot be copied. */
  tell(message: ToHost): void {
    this.check()
    try {
      this.#post(message)
    } catch (error) {
      const text = `an option cannot be copied to the thread of the ${this.#options.what}`
      throw new ShoalError('SHOAL_BAD_OPTION', `${text}: ${explainError(error)}`, { cause: error })
    }
  }

  /** The same, for what nobody needs once it has ended. */
  say(message: ToHost): void {
    if (this.#end === undefined) this.#post(message)
  }

  /** Lets it do this last, and ends it. Whatever still waits for it rejects with `why`. */
  async end(why: ShoalError, last?: Call): Promise<void> {
    if (last !== undefined && this.#end === undefined) {
      const late = Promise.withResolvers<void>()
      const timer = setTimeout(late.resolve, endWithinMs)
      await Promise.race([this.call(last).catch(() => {}), late.promise])
      clearTimeout(timer)
    }
    this.#over(why)
    await this.#worker.terminate()
  }

  #post(message: ToHost): void {
    this.#worker.postMessage(message)
  }

  #hear(message: FromHost): void {
    switch (message.kind) {
      case 'told':
        Atomics.sub(this.#unheard, 0, sizeOf(message.parts))
        return this.ears?.hear(message)
      case 'done':
        return this.ears?.hear(message)
      case 'closed':
        return this.ears?.closed(message.reason)
      case 'question':
        return void this.#asked(message.ask, message.what)
      case 'answer': {
        const call = this.#calls.get(message.to)
        this.#calls.delete(message.to)
        if (message.error === undefined) call?.resolve(message.value)
        else call?.reject(unpackError(message.error))
        return
      }
      default:
        return this.#options.hear?.(message)
    }
  }

  async #asked(to: number, what: Question): Promise<void> {
    try {
      const value = await (what === 'attach' ? this.ears?.attach() : this.#options.answer?.(what))
      this.say({ kind: 'answer', to, value, error: undefined })
    } catch (error) {
      this.say({ kind: 'answer', to, value: undefined, error: packError(error) })
    }
  }

  #exited(code: number): void {
    if (this.#end !== undefined) return
    const { what, onLost } = this.#options
    const reason = this.#cause === undefined ? `exit code ${code}` : explainError(this.#cause)
    const text = `the thread of this ${what} has ended (${reason}); make another ${what}`
    const error = new ShoalError('SHOAL_HOST_LOST', text, { cause: this.#cause })
    this.#over(error)
    onLost?.(error)
  }

  #over(why: ShoalError): void {
    if (this.#end !== undefined) return
    this.#end = why
    for (const { reject } of this.#calls.values()) reject(why)
    this.#calls.clear()
    this.ears?.lost(why)
  }
}
