/**
 * The runs of this node's engines: which slot each occupies, what is left of it, and how long nothing was heard of it.
 *
 * Not here: what to run next (runner.ts), and the engines themselves (executor/).
 * A run of short tasks reports every few milliseconds; one that is silent has come upon a long task, and those behind it
 * need not wait for that.
 */
import { fromString } from 'uint8arrays/from-string'
import type { Millis } from '../machine.ts'
import { type Batch, encodeOutcome, STATUS } from './batch.ts'
import type { Chunk } from './line.ts'
import type { TaskWord } from './messages.ts'

/** Silence after which what a run has not begun is taken back. */
const stuckMs = 200
/** Characters of what is told about the end of an engine. */
const reasonLengthMax = 200

export interface Running extends Chunk {
  readonly slot: number
  left: number
  heardAt: Millis
}

/** What the engines tell of a run. */
export type RunNews =
  /** `done` with the last of the run. */
  | { kind: 'ended'; run: number; outcomes: Batch; done: boolean }
  /** An engine ended by itself; `index` is the task that it ran, if it did. Times are those of that task. */
  | {
      kind: 'engine-lost'
      run: number
      index: number | undefined
      reason?: string
      startedAt?: Millis
      elapsedMs?: Millis
    }
  /** What running tasks say as they run. */
  | { kind: 'said'; run: number; words: readonly TaskWord[] }
  /** Taken back before they began. */
  | { kind: 'recalled'; run: number; indexes: Uint32Array; done: boolean }
export type RunNewsOf<K extends RunNews['kind']> = Extract<RunNews, { kind: K }>

export class Runs {
  readonly #running = new Map<number, Running>()
  readonly #slotRuns: number[]
  #last = 0

  constructor(slots: number) {
    this.#slotRuns = new Array(slots).fill(0)
  }

  get size(): number {
    return this.#running.size
  }

  get tasks(): number {
    let sum = 0
    for (const { left } of this.#running.values()) sum += left
    return sum
  }

  get(run: number): Running | undefined {
    return this.#running.get(run)
  }

  entries(): Iterable<[number, Running]> {
    return this.#running
  }

  /** Returns the number of the run. */
  start(chunk: Chunk, inputs: Batch, slot: number, now: Millis): number {
    const run = ++this.#last
    this.#running.set(run, { ...chunk, inputs, slot, left: inputs.indexes.length, heardAt: now })
    this.#slotRuns[slot] = (this.#slotRuns[slot] as number) + 1
    return run
  }

  /** So many of its tasks are over; with `done`, all. */
  ended(run: number, count: number, done: boolean, now: Millis): void {
    const slot = this.#running.get(run)?.slot
    // Those behind it in the same slot had no chance to be heard of before.
    for (const one of this.#running.values()) if (one.slot === slot) one.heardAt = now
    this.left(run, count, done)
  }

  /** So many of its tasks went elsewhere, which says nothing of the one that runs. */
  left(run: number, count: number, done: boolean): void {
    const running = this.#running.get(run)
    if (running === undefined) return
    running.left -= count
    if (!done) return
    this.#running.delete(run)
    this.#slotRuns[running.slot] = (this.#slotRuns[running.slot] as number) - 1
  }

  /** The slot with the fewest runs, if those are fewer than `most`; never one that is stuck, or that may not be taken. */
  freeSlot(most: number, now: Millis, mayTake?: (slot: number) => boolean): number | undefined {
    let best: number | undefined
    const stuck = new Set<number>()
    for (const one of this.#running.values()) if (isStuck(one, now)) stuck.add(one.slot)
    for (const [slot, count] of this.#slotRuns.entries()) {
      const isFewer = count < (best === undefined ? most : (this.#slotRuns[best] as number))
      if (isFewer && !stuck.has(slot) && mayTake?.(slot) !== false) best = slot
    }
    return best
  }

  /** What a task takes here at least, if `taskMs` is what was measured: one that has not ended yet may tell more. */
  pace(taskMs: Millis, now: Millis): Millis {
    let pace = taskMs
    for (const { heardAt } of this.#running.values()) {
      const age = now - heardAt
      if (age >= stuckMs) pace = Number.isFinite(pace) ? Math.max(pace, age) : age
    }
    return pace
  }

  /** Runs with tasks that nothing is heard of, because of one that is long. */
  stuck(now: Millis): number[] {
    const stuckSlots = new Set<number>()
    for (const one of this.#running.values()) if (isStuck(one, now)) stuckSlots.add(one.slot)
    const runs: number[] = []
    for (const [run, { slot, left }] of this.#running) {
      const isBehind = (this.#slotRuns[slot] as number) > 1
      if (stuckSlots.has(slot) && (left > 1 || isBehind)) runs.push(run)
    }
    return runs
  }
}

/** Of a task that ended together with its engine. */
export function lostOutcome({ slot, attempt }: Running, news: RunNewsOf<'engine-lost'>): Uint8Array {
  const { reason = '', startedAt = 0, elapsedMs = 0 } = news
  const header = { status: STATUS.lost, slot, attempt, elapsedMs, startedAt }
  return encodeOutcome(header, fromString(reason.slice(0, reasonLengthMax)))
}

const isStuck = ({ heardAt }: Running, now: Millis): boolean => now - heardAt >= stuckMs
