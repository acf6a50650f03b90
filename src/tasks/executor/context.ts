/**
 * The task that a piece of code belongs to, also when others began meanwhile in the same engine.
 *
 * Not here: when tasks begin and end (worker.ts), and what users see of it (src/task.ts).
 * Whatever a task starts, timers and promises, carries its context. Most tasks never ask: everything but the order that it
 * came with is made when it is first asked for.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { ShoalError } from '../../errors.ts'
import { type ShardKey, shardName, taskId } from '../../ids.ts'
import type { Parent } from '../messages.ts'
import { outputCharsMax } from '../output.ts'
import type { Port } from './engine.ts'
import { type RunOrder, sharedMillis } from './protocol.ts'
import { progressCharsMax } from './words.ts'

/** The signal of a task comes so long before its timeout, or a tenth of that if it is less. */
const warnMs = 1_000
/** Between two words of progress of one task; of those in between, the last one is told. */
const progressEveryMs = 100
/** A task that waits for its jobs for so long gives its slot away. */
const parkAfterMs = 2

/** What an interrupted task ends with. */
export const interruption = new Error('interrupted')

export type PrintStream = 'stdout' | 'stderr'
// User code may replace the global by a fake.
const { setTimeout: startTimer, clearTimeout: endTimer } = globalThis

export class Context {
  readonly run: number
  readonly position: number
  readonly attempt: number
  readonly seat: number
  readonly port: Port
  /** Path of the module that its function is from. */
  readonly file: string
  readonly depth: number
  readonly priority: number
  readonly submitter: string
  readonly #around: readonly string[]
  /** Jobs that it has submitted. */
  jobs = 0
  readonly #key: ShardKey
  readonly #keepers: Parent['keepers']
  readonly #first: number
  readonly #index: number
  readonly #timeoutMs: number
  readonly #startedAt: number
  /** The task has ended; what runs is left over from it. */
  isOver = false
  /** Of things that must be put away when the task ends; few tasks have any. */
  #atEnd: (() => void)[] | undefined
  #abort: AbortController | undefined
  /** Since it is awaited. */
  #interrupted: PromiseWithResolvers<never> | undefined
  /** What it waits for. */
  #waits = 0
  #parkTimer: NodeJS.Timeout | undefined
  /** Since it gave its slot away; resolved when it has it again. */
  #parked: PromiseWithResolvers<void> | undefined
  #isWanting = false
  #printed: Record<PrintStream, number> | undefined
  #progress: { timer: NodeJS.Timeout | undefined; last: [number, string] | undefined } | undefined

  // Not the order itself: what is left over from a task would keep all inputs of the run.
  constructor(order: RunOrder, position: number, port: Port, startedAt: number) {
    this.run = order.run
    this.position = position
    this.attempt = order.attempt
    this.seat = order.seat
    this.port = port
    this.file = order.file
    this.depth = order.depth
    this.priority = order.priority
    this.submitter = order.submitter
    this.#around = order.around
    this.#key = order.key
    this.#keepers = order.keepers
    this.#first = order.first
    this.#index = order.first + (order.indexes[position] as number)
    this.#timeoutMs = order.timeoutMs
    this.#startedAt = startedAt
  }

  /** Engines that wait for what it submits: of the tasks around it, and its own. */
  get engines(): readonly string[] {
    return [...this.#around, this.port.engine]
  }

  /** `<job>:<index>` */
  get task(): string {
    return taskId(shardName(this.#key).job, this.#index)
  }

  /** Of no other task, nor of one that stands for the same part of a job in a shard that was stored in place of this one. */
  get place(): string {
    return `${this.#key} ${this.#index}`
  }

  /** Where others hear how it ends. */
  get parent(): Parent {
    return { key: this.#key, keepers: this.#keepers, index: this.#index - this.#first }
  }

  /** Aborts when the task is cancelled, or its timeout is near. */
  get signal(): AbortSignal {
    this.#abort ??= this.#listen()
    return this.#abort.signal
  }

  abort(reason: ShoalError): void {
    this.#abort?.abort(reason)
  }

  /** What the task gives, unless somebody interrupts it before. */
  orInterrupted<T>(result: PromiseLike<T>): Promise<T> {
    this.#interrupted ??= Promise.withResolvers<never>()
    return Promise.race([result, this.#interrupted.promise])
  }

  interrupt(): void {
    this.abort(new ShoalError('TASK_INTERRUPTED', 'the engine was interrupted'))
    this.#interrupted?.reject(interruption)
  }

  end(): void {
    this.isOver = true
    if (this.#atEnd) for (const put of this.#atEnd) put()
  }

  /** Waits for what needs the slots of others, and perhaps this one: others may have it meanwhile, and what comes is passed on when it is here again. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    if (this.isOver) return promise
    this.#waits++
    this.#parkSoon()
    try {
      return await promise
    } finally {
      this.#waits--
      if (!this.isOver) await this.#goOn()
    }
  }

  /** It cannot come to an end here: its node ends it and gives it back, as another attempt that is nobody's failure. */
  yields(): void {
    if (!this.isOver) this.port.post({ kind: 'yields', run: this.run, position: this.position })
  }

  /** It has its slot again. */
  resume(): void {
    this.#parked?.resolve()
    this.#parked = undefined
    this.#isWanting = false
    this.#parkSoon()
  }

  #parkSoon(): void {
    this.#parkTimer ??= startTimer(() => {
      this.#parkTimer = undefined
      if (this.#waits === 0 || this.#parked || this.isOver) return
      this.#parked = Promise.withResolvers()
      this.port.post({ kind: 'parks', run: this.run, position: this.position })
    }, parkAfterMs)
  }

  #goOn(): Promise<void> | undefined {
    if (this.#parked && !this.#isWanting) {
      this.#isWanting = true
      this.port.post({ kind: 'wants', run: this.run, position: this.position })
    }
    return this.#parked?.promise
  }

  whenOver(put: () => void): void {
    this.#atEnd ??= []
    this.#atEnd.push(put)
  }

  print(stream: PrintStream, text: string): void {
    this.#printed ??= this.#beginPrinting()
    const printed = this.#printed
    const room = outputCharsMax - printed[stream]
    printed[stream] += text.length
    if (room > 0) this.#post({ kind: 'printed', stream, text: text.slice(0, room) })
  }

  progress(fraction: number, text: string): void {
    if (this.isOver) return
    this.#progress ??= { timer: undefined, last: undefined }
    const progress = this.#progress
    progress.last = [fraction, text.slice(0, progressCharsMax)]
    if (progress.timer === undefined) this.#tellProgress()
  }

  #tellProgress(): void {
    const progress = this.#progress
    if (progress?.last === undefined || this.isOver) return
    const [fraction, text] = progress.last
    progress.last = undefined
    this.#post({ kind: 'progress', fraction, text })
    progress.timer = startTimer(() => {
      progress.timer = undefined
      this.#tellProgress()
    }, progressEveryMs).unref()
  }

  #beginPrinting(): Record<PrintStream, number> {
    this.whenOver(() => this.#tellCut())
    return { stdout: 0, stderr: 0 }
  }

  #tellCut(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const cut = (this.#printed?.[stream] ?? 0) - outputCharsMax
      if (cut > 0) this.#post({ kind: 'printed', stream, text: `\n… ${cut} more characters were not kept\n` })
    }
  }

  #listen(): AbortController {
    const abort = new AbortController()
    if (this.isOver) {
      abort.abort(new ShoalError('SHOAL_CANCELLED', 'the task has ended'))
      return abort
    }
    this.#post({ kind: 'listens' })
    const timeoutMs = this.#timeoutMs
    if (timeoutMs === 0) return abort
    const leftMs = this.#startedAt + timeoutMs - Math.min(warnMs, timeoutMs / 10) - sharedMillis()
    const warn = (): void =>
      abort.abort(new ShoalError('TASK_TIMEOUT', `the task is about to reach its timeout of ${timeoutMs} ms`))
    const timer = startTimer(warn, Math.max(0, Math.min(leftMs, 2 ** 31 - 1))).unref()
    this.whenOver(() => endTimer(timer))
    return abort
  }

  #post(
    word:
      | { kind: 'printed'; stream: PrintStream; text: string }
      | { kind: 'progress'; fraction: number; text: string }
      | { kind: 'listens' }
  ): void {
    this.port.post({ ...word, run: this.run, position: this.position })
  }
}

/** Whose code is running. */
export const origin = new AsyncLocalStorage<Context>()
