/**
 * The caller's end: says something to the host and sleeps until it is answered.
 *
 * Not here: verbs (sync.ts) and what the host does (host.ts).
 * The caller sleeps on a counter that it read before it looked into its letter box, so no message falls between. It sleeps in
 * slices: a host that ended cannot say so, but its pulse stops.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { ShoalError } from '../../errors.ts'
import { packError, unpackError } from './failures.ts'
import {
  type Ask,
  CELL,
  cellsBytes,
  type FromHost,
  type Opening,
  pulseEveryMs,
  type SentError,
  type ToHost
} from './protocol.ts'

const sliceMs = 2 * pulseEveryMs
/** Slices without a pulse after which the host is lost. Counted, not timed: a machine that slept has lost nothing. */
const silentSlicesMax = 4
/** Slices until the first beat: a host takes its time to start on a busy machine. */
const startSlicesMax = 150
/** Inputs that are pulled and copied to the host at a time. */
const pulledMax = 512

// biome-ignore lint/suspicious/noExplicitAny: any function may be the one that a user called.
export type Caller = (...args: any[]) => unknown

interface Source {
  readonly iterator: Iterator<unknown>
  error: unknown
  hasFailed: boolean
}

export class Channel {
  readonly #cells: Int32Array
  readonly #port: MessagePort
  readonly #worker: Worker
  readonly #sources = new Map<number, Source>()
  #calls = 0
  #handles = 0
  /** A call whose answer is waited for; still set if the wait was interrupted. */
  #waiting: number | undefined
  #lost: ShoalError | undefined

  constructor(options: Opening['options'], keyText: string | undefined) {
    const cells = new SharedArrayBuffer(cellsBytes)
    this.#cells = new Int32Array(cells)
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const opening: Opening & { port: MessagePort } = { cells, options, keyText, port: port2 }
    // The source runs from .ts, the package from .js: the neighbour has the same ending as this file.
    const file = new URL(import.meta.url.endsWith('.ts') ? './host.ts' : './host.js', import.meta.url)
    this.#worker = new Worker(file, { workerData: opening, transferList: [port2], name: 'shoal' })
    // Neither keeps a script alive that has come to its end.
    this.#worker.unref()
    this.#worker.on('error', (error) => {
      this.#lost ??= lost(error)
    })
    this.#worker.on('exit', () => {
      this.#lost ??= lost()
    })
    port1.unref()
  }

  newHandle(): number {
    return ++this.#handles
  }

  /** A source that the host pulls while somebody waits. `release` it when nobody will. */
  offer(iterator: Iterator<unknown>): number {
    const source = ++this.#handles
    this.#sources.set(source, { iterator, error: undefined, hasFailed: false })
    return source
  }

  /** Blocks until the answer is here. Throws what the host says went wrong, with the stack of who called `caller`. */
  call<T>(ask: Ask, caller: Caller): T {
    if (this.#lost !== undefined) throw renewed(this.#lost, caller)
    if (this.#waiting !== undefined) this.#say({ kind: 'abandoned', call: this.#waiting })
    const call = ++this.#calls
    this.#waiting = call
    this.#say({ kind: 'ask', call, ask })
    const answer = this.#await(call, caller)
    this.#waiting = undefined
    if (answer.kind === 'failed') throw this.failure(answer.error, caller)
    return answer.value as T
  }

  /** Said without waiting for anything. */
  tell(ask: Ask): void {
    if (this.#lost === undefined) this.#say({ kind: 'ask', call: ++this.#calls, ask })
  }

  /** Ends the host. Nothing can be called any more. */
  end(): void {
    this.#lost ??= new ShoalError('SHOAL_CLOSED', 'the client was closed')
    void this.#worker.terminate()
  }

  #say(message: ToHost): void {
    this.#port.postMessage(message)
  }

  #await(call: number, caller: Caller): Extract<FromHost, { kind: 'answer' | 'failed' }> {
    let silent = 0
    let pulse = Atomics.load(this.#cells, CELL.pulse)
    for (;;) {
      const said = Atomics.load(this.#cells, CELL.said)
      for (let next = receiveMessageOnPort(this.#port); next; next = receiveMessageOnPort(this.#port)) {
        const message = next.message as FromHost
        if (message.kind === 'pull') this.#pulled(message.source, message.most)
        else if (message.kind === 'enough') this.#enough(message.source)
        else if (message.call === call) return message
      }
      if (Atomics.load(this.#cells, CELL.ended) === 1) break
      if (Atomics.wait(this.#cells, CELL.said, said, sliceMs) !== 'timed-out') continue
      const now = Atomics.load(this.#cells, CELL.pulse)
      silent = now === pulse ? silent + 1 : 0
      pulse = now
      if (silent >= (now === 0 ? startSlicesMax : silentSlicesMax)) break
    }
    this.#waiting = undefined
    this.#lost ??= lost()
    throw renewed(this.#lost, caller)
  }

  /** Runs the caller's own generator, on the caller's own thread. */
  #pulled(number: number, most: number): void {
    const source = this.#sources.get(number)
    const values: unknown[] = []
    let isDone = source === undefined
    try {
      while (source !== undefined && values.length < Math.min(most, pulledMax)) {
        const step = source.iterator.next()
        isDone = step.done === true
        if (isDone) break
        values.push(step.value)
      }
      if (isDone) this.#sources.delete(number)
      this.#say({ kind: 'pulled', source: number, values, isDone, error: undefined })
    } catch (error) {
      if (source !== undefined) Object.assign(source, { error, hasFailed: true })
      this.#say({ kind: 'pulled', source: number, values: [], isDone: true, error: packError(error) })
    }
  }

  #enough(number: number): void {
    const source = this.#sources.get(number)
    if (source === undefined || source.hasFailed) return
    this.#sources.delete(number)
    source.iterator.return?.()
  }

  /** What the caller's own generator threw is thrown as it is. */
  failure(error: SentError, caller: Caller): unknown {
    for (const [number, source] of this.#sources) {
      if (!source.hasFailed) continue
      this.#sources.delete(number)
      return source.error
    }
    return unpackError(error, caller)
  }
}

function lost(cause?: unknown): ShoalError {
  const text = 'the thread behind the blocking client has ended; make another one with connectSync()'
  return new ShoalError('SHOAL_BLOCKING_HOST_LOST', text, { cause })
}

function renewed({ code, message, cause }: ShoalError, caller: Caller): ShoalError {
  const error = new ShoalError(code, message, { cause })
  Error.captureStackTrace(error, caller)
  return error
}
