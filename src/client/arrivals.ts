/**
 * Brings large results to the client before their job hears of them.
 *
 * Not here: where they lie (data.ts), what a job does with results (job.ts). What a job is told stays in order, so nobody hears
 * of its end before its results are here.
 */
import { idsIn, openEnvelope } from '../data/envelope.ts'
import { explainError } from '../errors.ts'
import type { DataId, JobId } from '../ids.ts'
import { Gate } from '../node/gate.ts'
import { discard } from '../node/spent.ts'
import {
  type Batch,
  encodeOutcome,
  OUTCOME_HEADER_BYTES,
  type OutcomeHeader,
  pack,
  readOutcomeHeader,
  STATUS,
  valueAt
} from '../tasks/batch.ts'
import { splitOutput, withOutput } from '../tasks/output.ts'
import { splitStory, withStory } from '../tasks/story.ts'
import { encodeFailure } from './values.ts'

/** Large results on their way to one client at a time. */
const arrivingMax = 8

/** Brings the bytes, and says what was made of them; they are not to be kept. */
export type With = (id: DataId, make: (bytes: Uint8Array) => Uint8Array) => Promise<Uint8Array>

export class Arrivals {
  readonly #with: With
  readonly #behind = new Map<JobId, Promise<void>>()
  readonly #gate = new Gate(arrivingMax)

  constructor(bringWith: With) {
    this.#with = bringWith
  }

  /** Calls `then` with the outcomes as they are once their values are here, after everything that was taken before of this job. */
  take(job: JobId, outcomes: Batch, then: (outcomes: Batch) => void): void {
    const before = this.#behind.get(job)
    const far = farIn(outcomes)
    if (before === undefined && far.length === 0) return then(outcomes)
    const told = Promise.all([this.#fetch(outcomes, far), before]).then(([near]) => {
      if (this.#behind.get(job) === told) this.#behind.delete(job)
      then(near)
    })
    this.#behind.set(job, told)
  }

  async #fetch(outcomes: Batch, far: readonly number[]): Promise<Batch> {
    if (far.length === 0) return outcomes
    const values = [...outcomes.indexes.keys()].map((at) => valueAt(outcomes, at))
    const fetch = async (at: number): Promise<void> => {
      values[at] = await this.#near(values[at] as Uint8Array)
    }
    await Promise.all(far.map((at) => this.#gate.through(() => fetch(at))))
    const whole = pack(outcomes.node, outcomes.indexes, values)
    if (values.length > 1) for (const at of far) discard(values[at] as Uint8Array)
    return whole
  }

  async #near(whole: Uint8Array): Promise<Uint8Array> {
    const { outcome: printed, told } = splitStory(whole)
    const { outcome, output } = splitOutput(printed)
    const header = readOutcomeHeader(outcome)
    const [id] = idsIn(outcome.subarray(OUTCOME_HEADER_BYTES))
    const near = (as: OutcomeHeader, payload: Uint8Array): Uint8Array =>
      withStory(withOutput(encodeOutcome(as, payload), output), told)
    try {
      return await this.#with(id as DataId, (bytes) => near(header, bytes))
    } catch (error) {
      const message = `the result cannot be had: ${explainError(error)}`
      const failure = { code: 'TASK_DATA_LOST', name: 'DataError', message, stack: '' } as const
      return near({ ...header, status: STATUS.error }, encodeFailure(failure))
    }
  }
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
