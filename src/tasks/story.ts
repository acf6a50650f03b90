/**
 * What became of a task's earlier attempts, as its owner heard it, and how that travels with the outcome.
 *
 * Not here: who decides that an attempt is over (lead.ts).
 * The story is written behind the outcome when that is proposed, and is part of it from then on: whoever reads the outcome,
 * whenever and wherever, reads the same story. What an owner did not live to tell is not in it.
 */
import { fromString } from 'uint8arrays/from-string'
import { toString as textOf } from 'uint8arrays/to-string'
import type { Attempt, PeerId } from '../ids.ts'
import {
  type Batch,
  OUTCOME_HEADER_BYTES,
  pack,
  readOutcomeHeader,
  STATUS,
  STORY_BIT,
  type Status,
  valueAt
} from './batch.ts'
import { type Output, silence, splitOutput } from './output.ts'

/** Attempts that are told of one task; of more, the last ones. */
export const storyLengthMax = 64
/** Bytes of the length at the end of an outcome with a story. */
const LENGTH_BYTES = 4

export const ENDINGS = ['failed', 'timed out', 'lost', 'handed back'] as const
export type Ending = (typeof ENDINGS)[number]

/** Of a run that nothing ended: another one was begun while its node was not heard of. */
const cameBackReason = 'its node was away, and came back'

/** How an attempt that was not the last ended, by its status; one that ended well is the last. */
const endings: Readonly<Record<Status, Ending>> = {
  [STATUS.ok]: 'handed back',
  [STATUS.error]: 'failed',
  [STATUS.cancelled]: 'handed back',
  [STATUS.timedOut]: 'timed out',
  [STATUS.lost]: 'lost',
  [STATUS.noRoom]: 'handed back'
}

export interface EarlierAttempt {
  readonly attempt: number
  /** `<node id>/<slot>`, or the node id alone if it was lost as a whole, or never began the task. */
  readonly engine: string
  readonly how: Ending
  /** Milliseconds since 1970, by the engine's clock; 0 if not known. */
  readonly startedAt: number
  readonly elapsedMs: number
  /** What ended the engine, as far as it was heard; empty for other endings. */
  readonly reason: string
}

export class Story {
  readonly #told = new Map<number, EarlierAttempt[]>()
  /** What their last attempts printed, of tasks that are about to fail for it. */
  readonly #printed = new Map<number, Output>()

  /** Of this task; oldest first. */
  of(index: number): readonly EarlierAttempt[] {
    return this.#told.get(index) ?? []
  }

  /** `printed`: only of one after which no further one can follow. */
  add(index: number, one: EarlierAttempt, printed?: Output): void {
    this.#told.set(index, [...this.of(index).slice(1 - storyLengthMax), one])
    if (printed !== undefined) this.#printed.set(index, printed)
  }

  /**
   * A run that was told as lost with its node goes on there: that is told instead, or nothing if it `isHeld` again. True if this
   * is news.
   */
  cameBack(index: number, attempt: Attempt, node: PeerId, isHeld: boolean): boolean {
    const told = this.of(index)
    const at = told.findIndex((one) => one.attempt === attempt && one.engine === node && one.reason === '')
    const one = told[at]
    if (one?.how !== 'lost') return false
    this.#told.set(index, told.toSpliced(at, 1, ...(isHeld ? [] : [{ ...one, reason: cameBackReason }])))
    return true
  }

  /** Told once. */
  takePrinted(index: number): Output {
    const printed = this.#printed.get(index)
    this.#printed.delete(index)
    return printed ?? silence
  }

  /**
   * The same outcomes, each with the story of what was before it; those that have none, and a batch without any, as they are.
   * A run that was given up may end well after all, and then counts: neither itself nor what was begun after it was before it.
   */
  tell(outcomes: Batch): Batch {
    if (this.#told.size === 0 || !outcomes.indexes.some((index) => this.#told.has(index))) return outcomes
    const values = Array.from(outcomes.indexes, (index, at) => {
      const value = valueAt(outcomes, at)
      const told = this.#told.get(index)
      if (told === undefined) return value
      const { attempt } = readOutcomeHeader(value)
      return withStory(
        value,
        told.filter((one) => one.attempt < attempt)
      )
    })
    return pack(outcomes.node, outcomes.indexes, values)
  }
}

/** The entry of a story for an attempt that ended with this outcome, and what it printed. */
export function earlier(node: string, whole: Uint8Array): { last: EarlierAttempt; printed: Output } {
  const { outcome, output: printed } = splitOutput(whole)
  const { status, slot, ...ran } = readOutcomeHeader(outcome)
  const reason = status === STATUS.lost ? textOf(outcome.subarray(OUTCOME_HEADER_BYTES)) : ''
  return { last: { ...ran, engine: `${node}/${slot}`, how: endings[status], reason }, printed }
}

/** Engines that were lost with it, oldest first, and what ended them. */
export function lostAt(story: readonly EarlierAttempt[]): string[] {
  const lost = story.filter(({ how, reason }) => how === 'lost' && reason !== cameBackReason)
  return lost.map(({ engine, reason }) => (reason === '' ? engine : `${engine} (${reason})`))
}

/** The entry of an attempt of which nobody told more than which node had it. */
export function untold(node: PeerId, attempt: Attempt, how: Ending): EarlierAttempt {
  return { attempt, engine: node, how, startedAt: 0, elapsedMs: 0, reason: '' }
}

export function withStory(outcome: Uint8Array, told: readonly EarlierAttempt[]): Uint8Array {
  if (told.length === 0 || outcome.byteLength === 0) return outcome
  const rows = told.map(({ attempt, engine, how, startedAt, elapsedMs, reason }) => [
    attempt,
    engine,
    ENDINGS.indexOf(how),
    startedAt,
    elapsedMs,
    reason
  ])
  const text = fromString(JSON.stringify(rows))
  const whole = new Uint8Array(outcome.byteLength + text.byteLength + LENGTH_BYTES)
  whole.set(outcome)
  whole.set(text, outcome.byteLength)
  whole[0] = (outcome[0] as number) | STORY_BIT
  new DataView(whole.buffer).setUint32(whole.byteLength - LENGTH_BYTES, text.byteLength, true)
  return whole
}

/** An outcome and the story behind it. Of a story that cannot be read, nothing is told. */
export function splitStory(whole: Uint8Array): {
  outcome: Uint8Array
  told: readonly EarlierAttempt[]
} {
  if (((whole[0] ?? 0) & STORY_BIT) === 0 || whole.byteLength < 1 + LENGTH_BYTES)
    return { outcome: whole, told: [] }
  const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength)
  const end = whole.byteLength - LENGTH_BYTES
  const size = view.getUint32(end, true)
  if (size >= end) return { outcome: whole, told: [] }
  const outcome = whole.slice(0, end - size)
  outcome[0] = (outcome[0] as number) & ~STORY_BIT
  return { outcome, told: readRows(whole.subarray(end - size, end)) }
}

function readRows(bytes: Uint8Array): EarlierAttempt[] {
  try {
    const rows: unknown = JSON.parse(textOf(bytes))
    return Array.isArray(rows) ? rows.slice(-storyLengthMax).flatMap(readRow) : []
  } catch {
    return []
  }
}

function readRow(row: unknown): EarlierAttempt[] {
  if (!Array.isArray(row)) return []
  const [attempt, engine, ending, startedAt, elapsedMs, reason] = row as unknown[]
  const how = ENDINGS[Number(ending)]
  const areNumbers = [attempt, startedAt, elapsedMs].every((value) => Number.isFinite(value))
  if (!areNumbers || typeof engine !== 'string' || typeof reason !== 'string' || how === undefined) return []
  const [tried, at, took] = [attempt, startedAt, elapsedMs] as [number, number, number]
  return [{ attempt: tried, engine, how, startedAt: at, elapsedMs: took, reason }]
}
