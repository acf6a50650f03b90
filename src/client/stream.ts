/**
 * A live source in its reader's hands: items as they come, as many ahead as there is room for.
 *
 * Not here: who offers it (node/sources.ts), and the line (client.ts). A stream is no record: a reader gets what comes while
 * it reads, and after its entry was lost, what comes from then on.
 */
import { isErrorCode, ShoalError } from '../errors.ts'
import { creditMax, type SourceAnswer, type SourceQuestion } from '../routing/source-messages.ts'
import { checkSignal, onlyKnown, refuse, shown, whole } from './checks.ts'
import { decodeValue } from './values.ts'

/** Items that a reader has room for if it does not say. */
const aheadDefault = 64

export interface ReadOptions {
  /** Items that are sent ahead of the reader, 1 to 256. Default 64. */
  readonly ahead?: number
  /** Ends reading with SHOAL_CANCELLED. */
  readonly signal?: AbortSignal
}

/** Throws SHOAL_BAD_OPTION. */
export function checkReading(
  name: string,
  options: ReadOptions
): { readonly ahead: number; readonly signal: AbortSignal | undefined } {
  onlyKnown(options, ['ahead', 'signal'])
  const { ahead = aheadDefault, signal } = options
  whole('ahead', ahead, 1, creditMax)
  checkSignal(signal)
  if (typeof name !== 'string' || name === '' || name.length > 128)
    refuse(`no source is called ${shown(name)}; names are 1 to 128 characters`)
  return { ahead, signal }
}

export interface LiveSource<T> extends AsyncIterableIterator<T> {
  readonly name: string
  /** Items that were missed so far, because this reader was slow and the source does not wait (`overflow: 'drop'`). */
  readonly dropped: number
  /** Why it ended, once it has. */
  readonly reason: string
}

export class Streams {
  readonly #say: (message: SourceQuestion) => void
  readonly #open = new Map<number, SourceStream<unknown>>()
  #ask = 0

  /** `say` does nothing while there is no entry. */
  constructor(say: (message: SourceQuestion) => void) {
    this.#say = say
  }

  get size(): number {
    return this.#open.size
  }

  open<T>(name: string, ahead: number, signal: AbortSignal | undefined): SourceStream<T> {
    const ask = ++this.#ask
    const stream = new SourceStream<T>(name, ahead, {
      begin: (credit) => {
        this.#open.set(ask, stream as SourceStream<unknown>)
        this.#say({ kind: 'subscribe', ask, name, credit })
      },
      more: (credit) => this.#say({ kind: 'more', ask, credit }),
      end: () => {
        signal?.removeEventListener('abort', abort)
        if (this.#open.delete(ask)) this.#say({ kind: 'unsubscribe', ask })
      }
    })
    const abort = (): void =>
      stream.fail(new ShoalError('SHOAL_CANCELLED', `reading ${name} was aborted`, { cause: signal?.reason }))
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort)
    return stream
  }

  /** To a new entry: everything is asked for anew. */
  attached(): void {
    for (const [ask, stream] of this.#open)
      this.#say({ kind: 'subscribe', ask, name: stream.name, credit: stream.again() })
  }

  message(message: SourceAnswer): void {
    const stream = this.#open.get(message.ask)
    if (stream === undefined) return
    if (message.kind === 'items') return stream.items(message.values, message.dropped)
    this.#open.delete(message.ask)
    const { code, message: text } = message
    if (code === '') stream.end(text)
    else stream.fail(new ShoalError(isErrorCode(code) ? code : 'SHOAL_SOURCE_FAILED', text))
  }

  failAll(error: Error): void {
    for (const stream of [...this.#open.values()]) stream.fail(error)
    this.#open.clear()
  }
}

interface Line {
  readonly begin: (credit: number) => void
  readonly more: (credit: number) => void
  readonly end: () => void
}

/** Read it once. Leaving a `for await` early ends it. */
export class SourceStream<T> implements AsyncIterableIterator<T> {
  readonly name: string
  readonly #ahead: number
  readonly #line: Line
  #items: T[] = []
  /** Taken out and not yet asked for again. */
  #taken = 0
  #isBegun = false
  #isOver = false
  #error: Error | undefined
  #change = Promise.withResolvers<void>()
  /** Items that were missed, because this reader was slow and the source does not wait. */
  dropped = 0
  /** Why it ended, once it has. */
  reason = ''

  constructor(name: string, ahead: number, line: Line) {
    this.name = name
    this.#ahead = ahead
    this.#line = line
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (!this.#isBegun && !this.#isOver) {
      this.#isBegun = true
      this.#line.begin(this.#ahead)
    }
    for (;;) {
      if (this.#items.length > 0) {
        const value = this.#items.shift() as T
        this.#took()
        return { done: false, value }
      }
      if (this.#error !== undefined) throw this.#error
      if (this.#isOver) return { done: true, value: undefined }
      await this.#change.promise
    }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#items = []
    this.end('its reader left')
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return this
  }

  items(values: readonly Uint8Array[], dropped: number): void {
    if (this.#isOver) return
    this.dropped += dropped
    try {
      for (const value of values) this.#items.push(decodeValue(value) as T)
    } catch (error) {
      return this.fail(error instanceof Error ? error : new Error(String(error)))
    }
    this.#changed()
  }

  /** Room there is now, for a new entry to know. */
  again(): number {
    this.#taken = 0
    return Math.max(0, this.#ahead - this.#items.length)
  }

  /** What came before is still to be read. */
  end(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.reason = reason
    this.#line.end()
    this.#changed()
  }

  fail(error: Error): void {
    if (this.#isOver) return
    this.#error = error
    this.end(error.message)
  }

  /** Asks for more by halves: a word for each item would cost as much as the item. */
  #took(): void {
    this.#taken++
    if (this.#isOver || this.#taken * 2 < this.#ahead) return
    this.#line.more(this.#taken)
    this.#taken = 0
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}
