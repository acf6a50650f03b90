/**
 * Brings large results to the client before their job hears of them.
 *
 * Not here: where they lie (data.ts), what a job does with results (job.ts). Each is told when it is here, whatever came before;
 * nobody hears of the end of a job before.
 */
import { idsIn, openEnvelope } from '../data/envelope.ts'
import { explainError } from '../errors.ts'
import type { DataId, JobName } from '../ids.ts'
import { Gate } from '../node/gate.ts'
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
import { splitOutput, withOutput } from '../tasks/output.ts'
import { splitStory, withStory } from '../tasks/story.ts'
import type { SessionEffect } from './shards.ts'
import { encodeFailure } from './values.ts'

/** Large results on their way to one client at a time. */
const arrivingMax = 8

/** Brings the bytes, which `make` may not keep. */
export type With = <T>(id: DataId, make: (bytes: Uint8Array) => T) => Promise<T>

/** A job that hears of outcomes; of a single one whose value lay elsewhere, with the value, which is not to be kept. */
export interface Hearer {
  ended(first: number, outcomes: Batch, value?: Uint8Array): void
  completed(tasks: number): void
}

type Effect<K extends SessionEffect['kind']> = Omit<Extract<SessionEffect, { kind: K }>, 'kind'>

/** For who asked for it when it was on its way. */
interface Bound {
  readonly first: number
  readonly hearer: Hearer
  readonly isWanted: () => boolean
}

export class Arrivals {
  readonly #with: With
  readonly #hearerOf: (job: JobName) => Hearer | undefined
  readonly #behind = new Map<JobName, Promise<unknown>>()
  readonly #gate = new Gate(arrivingMax)

  constructor(bringWith: With, hearerOf: (job: JobName) => Hearer | undefined) {
    this.#with = bringWith
    this.#hearerOf = hearerOf
  }

  /** Tells the outcomes to their job: those that are here at once, each other one when its value is. */
  take({ job, first, outcomes }: Effect<'outcomes'>): void {
    const hearer = this.#hearerOf(job)
    if (hearer === undefined) return
    const far = new Set(farIn(outcomes))
    if (far.size === 0) return hearer.ended(first, outcomes)
    const here = [...outcomes.indexes.keys()].filter((at) => !far.has(at))
    if (here.length > 0) hearer.ended(first, pickAt(outcomes, here))
    // One that is opened again under its name hears all of it for itself.
    const bound = { first, hearer, isWanted: () => this.#hearerOf(job) === hearer }
    const bring = (at: number): Promise<void> => this.#bring(pickAt(outcomes, [at]), bound)
    this.#after(
      job,
      [...far].map((at) => this.#gate.through(() => bring(at)))
    )
  }

  /** Tells the job that it is complete once all is here that was taken before. */
  end({ job, tasks, missing = [] }: Effect<'complete'>): void {
    const before = this.#behind.get(job)
    const hearer = this.#hearerOf(job)
    for (const { first, count } of missing) hearer?.ended(first, cancelled(count))
    if (before === undefined) return hearer?.completed(tasks)
    void before.then(() => {
      if (this.#hearerOf(job) === hearer) hearer?.completed(tasks)
    })
  }

  #after(job: JobName, coming: readonly Promise<void>[]): void {
    const all = Promise.all([this.#behind.get(job), ...coming]).then(() => {
      if (this.#behind.get(job) === all) this.#behind.delete(job)
    })
    this.#behind.set(job, all)
  }

  /** The value of a single outcome. */
  async #bring(far: Batch, { first, hearer, isWanted }: Bound): Promise<void> {
    if (!isWanted()) return
    const { outcome: printed, told } = splitStory(valueAt(far, 0))
    const { outcome, output } = splitOutput(printed)
    const [id] = idsIn(outcome.subarray(OUTCOME_HEADER_BYTES))
    let isHere = false
    try {
      await this.#with(id as DataId, (value) => {
        isHere = true
        if (isWanted()) hearer.ended(first, far, value)
      })
    } catch (error) {
      if (isHere) throw error
      const message = `the result cannot be had: ${explainError(error)}`
      const failure = { code: 'TASK_DATA_LOST', name: 'DataError', message, stack: '' } as const
      const header = { ...readOutcomeHeader(outcome), status: STATUS.error }
      const failed = withStory(withOutput(encodeOutcome(header, encodeFailure(failure)), output), told)
      if (isWanted()) hearer.ended(first, pack(far.node, far.indexes, [failed]))
    }
  }
}

/** Outcomes of tasks that nobody has. */
function cancelled(count: number): Batch {
  const header = { status: STATUS.cancelled, slot: 0, attempt: 0, elapsedMs: 0, startedAt: 0 }
  const outcome = encodeOutcome(header, new Uint8Array(0))
  return pack(
    '',
    Array.from({ length: count }, (_, at) => at),
    new Array(count).fill(outcome)
  )
}

/** Positions of outcomes whose value lies elsewhere. */
function farIn(outcomes: Batch): number[] {
  const far: number[] = []
  for (let at = 0; at < outcomes.indexes.length; at++) {
    const value = valueAt(outcomes, at)
    // A story behind it says nothing of its first bytes.
    const isFar = openEnvelope(value.subarray(OUTCOME_HEADER_BYTES))?.kind === 'far'
    if (isFar && readOutcomeHeader(value).status === STATUS.ok) far.push(at)
  }
  return far
}
