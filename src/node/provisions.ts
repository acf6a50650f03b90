/**
 * Sees to it that what a run needs is on this node before it begins, and that large results are kept before they are told. What
 * this node's disk has no room for is no fault of the task: its owner is told so, and has it run elsewhere (tasks/roomless.ts).
 *
 * Not here: bringing it (supply.ts for code, data.ts for data), and the engines themselves (tasks/executor).
 * A kitchen: nothing goes on the fire before its ingredients are on the table. A run that waits for its ingredients counts as
 * one that runs, so nobody grants it elsewhere only because the network is slow.
 */
import { closeEnvelope, idsIn, inlineBytesMax } from '../data/envelope.ts'
import { type ErrorCode, explainError, ShoalError } from '../errors.ts'
import type { DataId, Digest } from '../ids.ts'
import { Awaited } from '../tasks/awaited.ts'
import {
  type Batch,
  encodeOutcome,
  OUTCOME_HEADER_BYTES,
  pack,
  pickAt,
  readOutcomeHeader,
  STATUS,
  valueAt
} from '../tasks/batch.ts'
import type { Run } from '../tasks/effects.ts'
import type { Executor, ExecutorEvent } from '../tasks/executor/executor.ts'
import { encodeFailure } from '../tasks/executor/failure.ts'
import { splitOutput, withOutput } from '../tasks/output.ts'
import { idsInInput, inputsIn } from '../tasks/references.ts'
import { Counts } from './counts.ts'
import type { Data } from './data.ts'
import { isDisk } from './datafiles.ts'
import { Gate } from './gate.ts'
import type { Supply } from './supply.ts'

/** Large results that are being kept at a time; the rest waits, and with it what its engine ends later. */
const keepingMax = 8
/** By then an outcome is committed, and its keepers' records name it. */
export const resultPinMs = 3_600_000

export interface ProvisionsOptions {
  readonly supply: Supply
  readonly data: Pick<Data, 'fetch' | 'put' | 'files'>
  readonly executor: Executor | undefined
  readonly onEvent: (event: ExecutorEvent) => void
}

export class Provisions {
  readonly #options: ProvisionsOptions
  readonly #awaited = new Awaited()
  /** What a run uses, until it is over. */
  readonly #uses = new Map<number, readonly DataId[]>()
  readonly #codes = new Counts<Digest>()
  /** Of each run that is not over: what ends its need of code. */
  readonly #needs = new Map<number, () => void>()
  /** Events of a run that wait for a large result before them. */
  readonly #behind = new Map<number, Promise<void>>()
  readonly #gate = new Gate(keepingMax)

  constructor(options: ProvisionsOptions) {
    this.#options = options
  }

  run(run: Run): void {
    this.#needs.set(run.run, this.#codes.add(run.header.code))
    const { supply } = this.#options
    const ids = inputsIn(run.inputs)
    if (ids.size === 0 && supply.isHere(run.header.code)) return this.#start(run)
    this.#awaited.add(run)
    void this.#prepare(run, ids)
  }

  cancel(run: number, indexes: Uint32Array): void {
    if (this.#awaited.has(run)) this.#tell(this.#awaited.cancel(run, indexes))
    else this.#options.executor?.cancel(run, indexes)
  }

  recall(run: number): void {
    if (this.#awaited.has(run)) this.#tell(this.#awaited.recall(run))
    else this.#options.executor?.recall(run)
  }

  /** What an engine says; large results are kept first, and nothing of the same run overtakes them. */
  heard(event: ExecutorEvent): void {
    const before = this.#behind.get(event.run)
    const large = event.kind === 'ended' ? largeIn(event.outcomes) : []
    if (before === undefined && large.length === 0) return this.#pass(event)
    const ready =
      event.kind === 'ended' && large.length > 0 ? this.#small(event, large) : Promise.resolve(event)
    const told = Promise.all([ready, before]).then(([small]) => {
      if (this.#behind.get(event.run) === told) this.#behind.delete(event.run)
      this.#pass(small)
    })
    this.#behind.set(event.run, told)
  }

  /** In a turn of its own, as an engine would. */
  #tell(news: ReturnType<Awaited['cancel' | 'recall']>): void {
    if (news !== undefined) queueMicrotask(() => this.#options.onEvent(news))
  }

  #pass(event: ExecutorEvent): void {
    const isOver = 'done' in event && event.done
    if (isOver) this.#release(event.run)
    this.#options.onEvent(event)
  }

  /** Some run is of this code. O(1): it is asked of each code that is here. */
  needs(code: Digest): boolean {
    return this.#codes.of(code) > 0
  }

  #release(run: number): void {
    this.#needs.get(run)?.()
    this.#needs.delete(run)
    for (const id of this.#uses.get(run) ?? []) this.#options.data.files.release(id)
    this.#uses.delete(run)
  }

  #start(run: Run): void {
    this.#options.executor?.run({ ...run, ...run.header })
  }

  async #prepare(run: Run, ids: ReadonlySet<DataId>): Promise<void> {
    const { supply, onEvent } = this.#options
    const [isHere, lost] = await Promise.all([
      supply.isHere(run.header.code) || supply.insist(run.header.code, run.keepers),
      this.#fetch(run.run, ids)
    ])
    const left = this.#awaited.take(run.run)
    if (left === undefined) return this.#release(run.run)
    const { indexes } = left.inputs
    if (!isHere) {
      this.#release(run.run)
      return onEvent({ kind: 'recalled', run: run.run, indexes, done: true })
    }
    const able = [...indexes.keys()].filter((at) => lostOf(left.inputs, at, lost).length === 0)
    if (able.length < indexes.length) this.#fail(left, able.length === 0, lost)
    if (able.length === 0) return
    this.#start(able.length === indexes.length ? left : { ...left, inputs: pickAt(left.inputs, able) })
  }

  /** Returns what cannot be had, and why. */
  async #fetch(run: number, ids: ReadonlySet<DataId>): Promise<Map<DataId, unknown>> {
    const lost = new Map<DataId, unknown>()
    const got: DataId[] = []
    const fetch = async (id: DataId): Promise<void> => {
      try {
        await this.#options.data.fetch(id)
        got.push(id)
      } catch (error) {
        lost.set(id, error)
      }
    }
    await Promise.all([...ids].map(fetch))
    if (got.length > 0) this.#uses.set(run, got)
    return lost
  }

  /** Tasks whose data is lost, or has no room here, end here, and say so. */
  #fail(run: Run, isAll: boolean, lost: ReadonlyMap<DataId, unknown>): void {
    const { slot, attempt, inputs } = run
    const failed = [...inputs.indexes.keys()].filter((at) => lostOf(inputs, at, lost).length > 0)
    const values = failed.map((at) => {
      const reasons = lostOf(inputs, at, lost).map((id) => lost.get(id))
      // Whether the rest can be had is seen where there is room.
      const full = reasons.find(isDisk)
      const [code, what, reason] =
        full === undefined
          ? (['TASK_DATA_LOST', 'had', reasons[0]] as const)
          : (['SHOAL_DISK', 'kept here', full] as const)
      const message = `data that the task needs cannot be ${what}: ${explainError(reason)}`
      return failure(code, message, { slot, attempt })
    })
    const outcomes = pack(
      '',
      failed.map((at) => inputs.indexes[at] as number),
      values
    )
    this.#pass({ kind: 'ended', run: run.run, slot, outcomes, done: isAll })
  }

  async #small(
    event: Extract<ExecutorEvent, { kind: 'ended' }>,
    large: readonly number[]
  ): Promise<ExecutorEvent> {
    const { outcomes } = event
    const values = [...outcomes.indexes.keys()].map((at) => valueAt(outcomes, at))
    await Promise.all(
      large.map(async (at) => {
        values[at] = await this.#gate.through(() => this.#keep(values[at] as Uint8Array))
      })
    )
    return { ...event, outcomes: pack(outcomes.node, outcomes.indexes, values) }
  }

  /** The outcome with the name of its value instead of the value. */
  async #keep(whole: Uint8Array): Promise<Uint8Array> {
    const { outcome, output } = splitOutput(whole)
    const header = readOutcomeHeader(outcome)
    const value = outcome.subarray(OUTCOME_HEADER_BYTES)
    try {
      const { id } = await this.#options.data.put([value], { pinMs: resultPinMs, isForJob: true, copies: 0 })
      const far = closeEnvelope({ kind: 'far', ids: [id, ...idsIn(value)], inner: new Uint8Array(0) })
      return withOutput(encodeOutcome(header, far), output)
    } catch (error) {
      const code = error instanceof ShoalError ? error.code : 'SHOAL_DISK'
      return withOutput(failure(code, `the result cannot be kept: ${explainError(error)}`, header), output)
    }
  }
}

function failure(code: ErrorCode, message: string, where: { slot: number; attempt: number }): Uint8Array {
  const status = code === 'SHOAL_DISK' ? STATUS.noRoom : STATUS.error
  const header = { startedAt: 0, elapsedMs: 0, ...where, status }
  return encodeOutcome(header, encodeFailure({ code, name: 'DataError', message, stack: '' }))
}

const largestInline = OUTCOME_HEADER_BYTES + inlineBytesMax

/** Positions of values that are too large to travel with their task. */
function largeIn(outcomes: Batch): number[] {
  const large: number[] = []
  if (outcomes.body.byteLength <= inlineBytesMax) return large
  for (let at = 0; at < outcomes.indexes.length; at++) {
    const whole = valueAt(outcomes, at)
    if (whole.byteLength <= largestInline || readOutcomeHeader(whole).status !== STATUS.ok) continue
    // What it printed stays with it: nobody who reads the data would know where the value ends.
    if (splitOutput(whole).outcome.byteLength > largestInline) large.push(at)
  }
  return large
}

const lostOf = (inputs: Batch, at: number, lost: ReadonlyMap<DataId, unknown>): DataId[] =>
  lost.size === 0 ? [] : idsInInput(valueAt(inputs, at)).filter((id) => lost.has(id))
