/**
 * The caller's end: says something to the host and sleeps until it is answered.
 *
 * Not here: verbs (stubs.ts) and what the host does (host.ts).
 * The caller sleeps on a counter that it read before it looked into its letter box, so no message falls between. It sleeps in
 * slices: a host that ended cannot say so, but its pulse stops.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { ShoalError } from '../../errors.ts'
import { pack } from './crossing.ts'
import { packError, unpackError } from './failures.ts'
import {
  type Ask,
  CELL,
  cellsBytes,
  type FromHost,
  type Opening,
  type Packed,
  pulseEveryMs,
  type SentError,
  type ToHost
} from './protocol.ts'

const sliceMs = 2 * pulseEveryMs
/** Slices without a pulse after which the host is lost. Counted, not timed: a machine that slept has lost nothing. */
const silentSlicesMax = 4
/** Slices until the first beat: a host takes its time to start on a busy machine. */
const startSlicesMax = 150

// biome-ignore lint/suspicious/noExplicitAny: any function may be the one that a user called.
export type Caller = (...args: any[]) => unknown

interface Source {
  readonly iterator: Iterator<unknown>
  error: unknown
  hasFailed: boolean
}

/** The caller's own values, in the words of the border. */
export interface Border {
  pack(value: unknown): Packed
  unpack(value: Packed): unknown
  /** A function that was handed to the host. */
  callback(number: number): ((...args: unknown[]) => unknown) | undefined
  uncalled(callback: number): void
}

type Answer = Extract<FromHost, { kind: 'answer' | 'failed' }>

export class Channel {
  readonly #cells: Int32Array
  readonly #port: MessagePort
  readonly #worker: Worker
  readonly #sources = new Map<number, Source>()
  #calls = 0
  #offered = 0
  /** A call whose answer is waited for; still set if the wait was interrupted. */
  #waiting: number | undefined
  /** Calls in the middle of which a function of the user runs, and their answers if these came meanwhile. */
  readonly #outer = new Map<number, Answer | undefined>()
  #lost: ShoalError | undefined

  constructor({ options, keyText, output }: Omit<Opening, 'cells'>) {
    const cells = new SharedArrayBuffer(cellsBytes)
    this.#cells = new Int32Array(cells)
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const opening: Opening & { port: MessagePort } = { cells, options, keyText, output, port: port2 }
    // Where this is a source, its neighbour is one; in the package there is a file for each purpose (build/package.ts).
    const file = new URL(import.meta.url.endsWith('.ts') ? './host.ts' : './blocking.js', import.meta.url)
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

  /** A source that the host pulls while somebody waits. `release` it when nobody will. */
  offer(iterator: Iterator<unknown>): number {
    const source = ++this.#offered
    this.#sources.set(source, { iterator, error: undefined, hasFailed: false })
    return source
  }

  /** Blocks until the answer is here. Throws what the host says went wrong, with the stack of who called `caller`. */
  call(ask: Ask, border: Border, caller: Caller): unknown {
    if (this.#lost !== undefined) throw renewed(this.#lost, caller)
    if (this.#waiting !== undefined) this.#say({ kind: 'abandoned', call: this.#waiting })
    const call = ++this.#calls
    this.#say({ kind: 'ask', call, ask })
    this.#waiting = call
    const answer = this.#await(call, border, caller)
    this.#waiting = undefined
    if (answer.kind === 'failed') throw this.failure(answer.error, caller)
    return border.unpack(answer.value)
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

  #await(call: number, border: Border, caller: Caller): Answer {
    let silent = 0
    let pulse = Atomics.load(this.#cells, CELL.pulse)
    for (;;) {
      const said = Atomics.load(this.#cells, CELL.said)
      for (let next = receiveMessageOnPort(this.#port); next; next = receiveMessageOnPort(this.#port)) {
        const message = next.message as FromHost
        if (message.kind !== 'answer' && message.kind !== 'failed') this.#asked(message, border, call)
        else if (message.call === call) return message
        else if (this.#outer.has(message.call)) this.#outer.set(message.call, message)
        const early = this.#outer.get(call)
        this.#outer.delete(call)
        if (early !== undefined) return early
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

  /** Runs functions of the user, who may call the mesh in them. */
  #asked(message: Exclude<FromHost, Answer>, border: Border, call: number): void {
    this.#outer.set(call, undefined)
    this.#waiting = undefined
    switch (message.kind) {
      case 'pull':
        this.#pulled(message.source, message.most, border)
        break
      case 'enough':
        this.#enough(message.source)
        break
      case 'invoke':
        this.#invoked(message, border)
        break
      case 'uncalled':
        border.uncalled(message.callback)
        break
    }
    this.#waiting = call
  }

  /** Runs the caller's own generator, on the caller's own thread. */
  #pulled(number: number, most: number, border: Border): void {
    const source = this.#sources.get(number)
    const values: Packed[] = []
    let isDone = source === undefined
    let failure: SentError | undefined
    try {
      while (source !== undefined && !isDone && values.length < most) {
        const step = source.iterator.next()
        isDone = step.done === true
        if (!isDone) values.push(border.pack(step.value))
      }
      if (isDone) this.#sources.delete(number)
    } catch (error) {
      if (source !== undefined) Object.assign(source, { error, hasFailed: true })
      isDone = true
      failure = packError(error)
    }
    this.#tellPulled({ source: number, values, isDone, error: failure })
  }

  #tellPulled(pulled: Omit<Extract<ToHost, { kind: 'pulled' }>, 'kind'>): void {
    try {
      this.#say({ kind: 'pulled', ...pulled })
    } catch (error) {
      // One of them cannot be copied.
      this.#say({ kind: 'pulled', ...pulled, values: [], isDone: true, error: packError(uncopied(error)) })
    }
  }

  #invoked({ callback, invocation, args }: Extract<FromHost, { kind: 'invoke' }>, border: Border): void {
    try {
      const value = border.callback(callback)?.(...(border.unpack(args) as unknown[]))
      this.#say({ kind: 'invoked', invocation, value: pack(value), error: undefined })
    } catch (error) {
      this.#say({ kind: 'invoked', invocation, value: pack(undefined), error: packError(error) })
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

/** What structured clone refuses is a value that cannot be used. */
export function uncopied(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'DataCloneError') return error
  return new ShoalError('SHOAL_BAD_VALUE', `a value cannot be copied: ${error.message}`, { cause: error })
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
