/**
 * Pulls inputs and packs them into shards, no faster than results are taken out.
 *
 * Not here: where shards go (session.ts), how far the reader is (job.ts).
 * A full shard leaves at once. A part of one leaves when the source makes us wait, so that a slow source is not held up.
 */
import { inlineBytesMax } from '../data/envelope.ts'
import { ShoalError } from '../errors.ts'
import { Gate } from '../node/gate.ts'
import { giveUp } from '../spent.ts'
import { type Batch, pack } from '../tasks/batch.ts'
import { shardsMax } from '../tasks/messages.ts'
import { encodeArgs } from './values.ts'

/** A shard is cut at this many tasks, or at `shardBytesMax` of inputs. */
export const shardTasks = 512
export const shardBytesMax = 1 << 20
/** A part of a shard waits while this many shards are on their way: what comes meanwhile travels together. */
const shardsAhead = 4
/** A job has room for `shardsMax` shards; a slow and endless source makes them larger by and by. */
const lingerAfter = 1_000
const lingerMsMax = 1_000

/** Values that are being put as data at a time. */
const shrinkingMax = 8
/** A shard holds so many times `shardBytesMax` of values that are put as data. */
const largeShare = 16

/** Where inputs go, and how much may. */
export interface Sink {
  /** Resolves with how many more inputs are wanted, at least one; 0 ends the feed. */
  room(): Promise<number>
  readonly shardsAhead: number
  submit(inputs: Batch, isLast: boolean): void
  /** An input as it travels, made for this; default: as the argument of a function. */
  encode?(input: unknown, index: number): Uint8Array
  /** What travels instead of a value that is too large. */
  shrink(value: Uint8Array): Promise<Uint8Array>
  /** No more will come; said unless the last shard was marked. */
  close(): void
}

export type Inputs = Iterable<unknown> | AsyncIterable<unknown>

/** True if the inputs may have no end: then they are pulled only as results are taken out. */
export function mayBeEndless(inputs: Inputs): boolean {
  return Symbol.asyncIterator in inputs || typeof (inputs as { next?: unknown }).next === 'function'
}

/** Rejects with SHOAL_BAD_VALUE if an input cannot travel, and with whatever the source throws; then the last part was not submitted. */
export async function feed(inputs: Inputs, sink: Sink): Promise<void> {
  const packer = new Packer(sink)
  const source: Iterator<unknown> | AsyncIterator<unknown> =
    Symbol.asyncIterator in inputs ? inputs[Symbol.asyncIterator]() : inputs[Symbol.iterator]()
  let shards = 0
  let isAtEnd = false
  const submit = async (isLast: boolean): Promise<void> => {
    if (++shards > shardsMax) {
      const text = `a job has at most ${shardsMax} shards; submit the rest of the inputs as another job`
      throw new ShoalError('SHOAL_BAD_OPTION', text)
    }
    sink.submit(await packer.take(), isLast)
  }
  try {
    for (;;) {
      const room = (await sink.room()) - packer.count
      if (room <= 0 && packer.count === 0) return
      const most = Math.min(shardTasks, packer.count + room)
      let step: IteratorResult<unknown> | undefined
      while (packer.count < most && packer.bytes < shardBytesMax) {
        const next = source.next()
        step = next instanceof Promise ? await soon(next, packer, sink, shards, () => submit(false)) : next
        if (step.done) break
        packer.add(step.value)
        if (packer.isShrinking) await packer.room()
      }
      isAtEnd = step?.done === true
      if (isAtEnd) break
      if (packer.count > 0) await submit(false)
    }
    if (packer.count > 0) await submit(true)
    else sink.close()
  } finally {
    if (!isAtEnd) await source.return?.()
  }
}

/** Waits for the next input; what was pulled before leaves meanwhile. */
async function soon(
  next: Promise<IteratorResult<unknown>>,
  packer: Packer,
  sink: Sink,
  shards: number,
  submit: () => Promise<void>
): Promise<IteratorResult<unknown>> {
  if (packer.count === 0) return next
  const isLate = Symbol('late')
  const late = new Promise<typeof isLate>((resolve) => {
    const lingerMs = shards < lingerAfter ? 0 : Math.min(lingerMsMax, shards / 50)
    if (lingerMs === 0) setImmediate(resolve, isLate)
    else setTimeout(resolve, lingerMs, isLate)
  })
  const first = await Promise.race([next, late])
  if (first !== isLate) return first
  if (sink.shardsAhead < shardsAhead) await submit()
  return next
}

class Packer {
  readonly #sink: Sink
  readonly #gate = new Gate(shrinkingMax)
  #values: (Uint8Array | Promise<Uint8Array>)[] = []
  #shrinking = 0
  bytes = 0
  #before = 0

  constructor(sink: Sink) {
    this.#sink = sink
  }

  get count(): number {
    return this.#values.length
  }

  get isShrinking(): boolean {
    return this.#shrinking > 0
  }

  /** Resolves when another large value may come. */
  room(): Promise<void> {
    return this.#gate.room()
  }

  add(input: unknown): void {
    const index = this.#before + this.#values.length
    const value = this.#sink.encode ? this.#sink.encode(input, index) : encodeInput([input], index)
    if (value.byteLength <= inlineBytesMax) {
      this.#values.push(value)
      this.bytes += value.byteLength
      return
    }
    this.#shrinking++
    const small = this.#gate.through(() => this.#shrink(value)).finally(() => this.#shrinking--)
    // Whoever takes it hears of it.
    small.catch(() => {})
    this.#values.push(small)
    // Tasks begin when their shard is full, so shards of large values are cut sooner than those of as many small ones.
    this.bytes += value.byteLength / largeShare
  }

  async #shrink(value: Uint8Array): Promise<Uint8Array> {
    const small = await this.#sink.shrink(value)
    // It was made here, and lies in the mesh now.
    if (small !== value) giveUp(value)
    return small
  }

  async take(): Promise<Batch> {
    const values = this.#values
    this.#values = []
    this.bytes = 0
    this.#before += values.length
    return pack('', Uint32Array.from(values.keys()), await Promise.all(values))
  }
}

/** Throws SHOAL_BAD_VALUE that names the input. */
export function encodeInput(args: readonly unknown[], index: number): Uint8Array {
  return ofInput(index, () => encodeArgs(args))
}

/** What `act` throws as SHOAL_BAD_VALUE names the input. */
export function ofInput<T>(index: number, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw named(index, error)
  }
}

/** The same error; if it is about a value, it names the input. */
export function named(index: number, error: unknown): unknown {
  if (!(error instanceof ShoalError) || error.code !== 'SHOAL_BAD_VALUE') return error
  return new ShoalError(error.code, `input ${index} cannot be sent: ${error.message}`, { cause: error })
}
