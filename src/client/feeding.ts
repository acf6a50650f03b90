/**
 * Sends the inputs of one job away as shards, each with what its tasks wait for.
 *
 * Not here: pulling and packing (feed.ts), what is waited for (waits.ts). A shard whose tasks wait for others leaves when it is
 * known where those are, and the shards after it behind it; without any such task nothing waits.
 */
import { type Batch, pack, valueAt } from '../tasks/batch.ts'
import type { JobHeader, Needs } from '../tasks/messages.ts'
import { encodeInput, named, ofInput, type Sink } from './feed.ts'
import type { Settings } from './options.ts'
import {
  type Asked,
  type Locate,
  NeedsOfShard,
  type Prepared,
  prepared,
  type Waits,
  waitsOf
} from './waits.ts'

/** What is begun before its inputs are fed. */
export interface Work {
  readonly header: JobHeader
  readonly code: Uint8Array
  readonly settings: Settings
  readonly encoding?: Encoding
}

/** How an input travels: as these arguments of the function, or as these bytes. Default: as its only argument. */
export interface Encoding {
  readonly argsOf?: (input: unknown) => readonly unknown[]
  readonly bytesOf?: (input: unknown, index: number) => Uint8Array
}

/** What a job under way is for its feeding. */
export interface Fed {
  readonly takesInputs: boolean
  readonly shardsAhead: number
  room(): Promise<number>
  submitted(count: number): void
}

export interface Outlet {
  /** What travels instead of a value that is too large. */
  readonly shrink: (value: Uint8Array) => Promise<Uint8Array>
  readonly add: (inputs: Batch, isLast: boolean, needs: readonly Needs[]) => void
  readonly close: () => void
  readonly locate: Locate
}

const nothing: Waits = { asked: [], args: [], paths: [] }

export class Feeding implements Sink {
  readonly #job: Fed
  readonly #outlet: Outlet
  /** What all tasks wait for. */
  readonly #common: Promise<Prepared> | undefined
  readonly #encoding: Encoding
  /** Inputs with handles among those that were pulled and not sent, by index in the job. */
  #waiting = new Map<number, Waits>()
  #sent = 0
  /** Settles when all that was submitted has left. */
  done: Promise<void> | undefined

  constructor(job: Fed, outlet: Outlet, asked: readonly Asked[], encoding: Encoding = {}) {
    this.#job = job
    this.#outlet = outlet
    this.#encoding = encoding
    if (asked.length === 0) return
    this.#common = prepared({ ...nothing, asked }, outlet.locate)
    this.#common.catch(() => {})
  }

  room(): Promise<number> {
    return this.#job.room()
  }

  get shardsAhead(): number {
    return this.#job.shardsAhead
  }

  encode(input: unknown, index: number): Uint8Array {
    const { argsOf, bytesOf } = this.#encoding
    if (bytesOf !== undefined) return bytesOf(input, index)
    const args = argsOf === undefined ? [input] : argsOf(input)
    const isSimple = args.every((arg) => typeof arg !== 'object' || arg === null)
    const waits = isSimple ? undefined : ofInput(index, () => waitsOf(args, []))
    if (waits === undefined) return encodeInput(args, index)
    this.#waiting.set(index, waits)
    return new Uint8Array(0)
  }

  shrink(value: Uint8Array): Promise<Uint8Array> {
    return this.#outlet.shrink(value)
  }

  /** What comes after the job was given up is not for another one of its name. */
  submit(inputs: Batch, isLast: boolean): void {
    if (!this.#job.takesInputs) return
    const first = this.#sent
    this.#sent += inputs.indexes.length
    this.#job.submitted(inputs.indexes.length)
    const isPlain = this.#waiting.size === 0 && this.#common === undefined && this.done === undefined
    if (isPlain) return this.#outlet.add(inputs, isLast, [])
    const waiting = this.#waiting
    this.#waiting = new Map()
    this.done = (this.done ?? Promise.resolve()).then(() => this.#add({ inputs, first, waiting }, isLast))
    this.done.catch(() => {})
  }

  close(): void {
    const close = (): void => {
      if (this.#job.takesInputs) this.#outlet.close()
    }
    if (this.done === undefined) return close()
    this.done = this.done.then(close)
    this.done.catch(() => {})
  }

  async #add(
    { inputs, first, waiting }: { inputs: Batch; first: number; waiting: ReadonlyMap<number, Waits> },
    isLast: boolean
  ): Promise<void> {
    const common = await this.#common
    const needs = new NeedsOfShard()
    const values = Array.from(inputs.indexes, (_, at) => valueAt(inputs, at))
    for (const at of values.keys()) {
      if (common !== undefined) needs.add(at, common)
      const waits = waiting.get(first + at)
      if (waits === undefined) continue
      const own = await prepared(waits, this.#outlet.locate).catch((error: unknown) => {
        throw named(first + at, error)
      })
      needs.add(at, own)
      if (own.input !== undefined) values[at] = await this.shrink(own.input)
    }
    if (this.#job.takesInputs) this.#outlet.add(pack('', inputs.indexes, values), isLast, needs.build())
  }
}
