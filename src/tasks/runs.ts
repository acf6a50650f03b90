/**
 * The runs of this node's engines: which slot each occupies, what is left of it, and how long nothing was heard of it.
 *
 * Not here: what to run next (runner.ts), and the engines themselves (executor/).
 * A run of short tasks reports every few milliseconds; one that is silent has come upon a long task, and those behind it
 * need not wait for that.
 */
import { fromString } from 'uint8arrays/from-string'
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Batch, encodeOutcome, STATUS } from './batch.ts'
import { type Send, seek, send } from './effects.ts'
import { HELD, type Held, inState } from './held.ts'
import type { Chunk } from './line.ts'
import type { TaskWord } from './messages.ts'
import { type Output, silence, withOutput } from './output.ts'

/** Silence after which what a run has not begun is taken back. */
const stuckMs = 200
/** Characters of what is told about the end of an engine. */
const reasonLengthMax = 200

/** For each slot of a node, tasks that may wait for jobs of their own while anything else begins in their slots. */
export const parkedFreely = 2

export interface Running extends Chunk {
  readonly slot: number
  left: number
  heardAt: Millis
  /** Its task waits for a job that it submitted, and leaves its slot to others. */
  isParked: boolean
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
      /** What that task printed. */
      output?: Output
    }
  /** What running tasks say as they run. */
  | { kind: 'said'; run: number; words: readonly TaskWord[] }
  /** Taken back before they began. */
  | { kind: 'recalled'; run: number; indexes: Uint32Array; done: boolean }
  /** Its task waits for a job of its own, and gives its slot away; or wants it back. */
  | { kind: 'parked'; run: number }
  | { kind: 'resumed'; run: number }
export type RunNewsOf<K extends RunNews['kind']> = Extract<RunNews, { kind: K }>

export class Runs {
  readonly #running = new Map<number, Running>()
  readonly #slotRuns: number[]
  readonly #parked = new Set<Running>()
  #last = 0

  constructor(slots: number) {
    this.#slotRuns = new Array(slots).fill(0)
  }

  /** Runs that occupy a slot. */
  get busy(): number {
    return this.#running.size - this.#parked.size
  }

  /** Tasks that run: one in each slot that is occupied, and those that wait for jobs of their own. */
  get runningTasks(): number {
    let slots = 0
    for (const count of this.#slotRuns) if (count > 0) slots++
    return slots + this.#parked.size
  }

  /** Tasks that wait for their turn at an engine. */
  get behind(): number {
    let sum = -this.runningTasks
    for (const { left } of this.#running.values()) sum += left
    return Math.max(0, sum)
  }

  get(run: number): Running | undefined {
    return this.#running.get(run)
  }

  entries(): Iterable<[number, Running]> {
    return this.#running
  }

  all(): Iterable<Running> {
    return this.#running.values()
  }

  /** Tasks of this shard in runs that began after this one. */
  later(run: number, key: ShardKey): Set<number> {
    const later = [...this.#running].filter(([number, one]) => number > run && one.key === key)
    return new Set(later.flatMap(([, { inputs }]) => [...inputs.indexes]))
  }

  /** Returns the number of the run. */
  start(chunk: Chunk, inputs: Batch, slot: number, now: Millis): number {
    const run = ++this.#last
    this.#running.set(run, {
      ...chunk,
      inputs,
      slot,
      left: inputs.indexes.length,
      heardAt: now,
      isParked: false
    })
    this.#grow(slot, 1)
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
    if (!this.#parked.delete(running)) this.#grow(running.slot, -1)
  }

  /** Its slot is free for others, or is not any more. */
  park(run: number, isParked: boolean, now: Millis): void {
    const running = this.#running.get(run)
    if (running === undefined || running.isParked === isParked) return
    Object.assign(running, { isParked, heardAt: now })
    if (isParked) this.#parked.add(running)
    else this.#parked.delete(running)
    this.#grow(running.slot, isParked ? -1 : 1)
  }

  /** Whether a task waits in this slot for a job of its own. */
  isLent(slot: number): boolean {
    for (const one of this.#parked) if (one.slot === slot) return true
    return false
  }

  /** How deeply a task is nested, at least, for which one may wait that waits in this slot; infinite if none does. */
  lentFrom(slot: number): number {
    let depth = Number.POSITIVE_INFINITY
    for (const one of this.#parked) if (one.slot === slot) depth = Math.min(depth, one.header.depth + 1)
    return depth
  }

  /**
   * How deeply nested a task must be to begin in this slot. Where many wait, each only lends its slot to what lies deeper: so
   * there are never more of them in a slot than there are depths, and the deepest can always go on.
   */
  depthAt(slot: number): number {
    let depth = 0
    if (this.#parked.size < this.#freely) return depth
    for (const one of this.#parked) if (one.slot === slot) depth = Math.max(depth, one.header.depth + 1)
    return depth
  }

  /** The least that is needed in any slot. */
  get depth(): number {
    if (this.#parked.size < this.#freely) return 0
    return Math.min(...this.#slotRuns.map((_, slot) => this.depthAt(slot)))
  }

  get #freely(): number {
    return parkedFreely * this.#slotRuns.length
  }

  #grow(slot: number, by: number): void {
    this.#slotRuns[slot] = (this.#slotRuns[slot] as number) + by
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
    for (const { heardAt, isParked } of this.#running.values()) {
      if (isParked) continue
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
    for (const [run, { slot, left, isParked }] of this.#running) {
      if (isParked) continue
      const isBehind = (this.#slotRuns[slot] as number) > 1
      if (stuckSlots.has(slot) && (left > 1 || isBehind)) runs.push(run)
    }
    return runs
  }
}

interface StillRunningView {
  readonly isUp: (peer: PeerId) => boolean
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
}

/** For the owners of tasks of which nothing was heard since `before`: they are still running. */
export function stillRunning(
  runs: Runs,
  held: ReadonlyMap<ShardKey, Held>,
  { isUp, mayKnow }: StillRunningView,
  before: Millis
): Send[] {
  return [...runs.entries()].flatMap(([, { key, attempt, heardAt, inputs }]) => {
    const its = held.get(key)
    if (its === undefined || heardAt > before) return []
    if (!isUp(its.trail.owner) && !its.trail.next(isUp)) return seek(key, mayKnow(key))
    const indexes = inState(its, inputs.indexes, HELD.running)
    return [send(its.trail.owner, { kind: 'holding', key, attempt, indexes })]
  })
}

/** Of a task that ended together with its engine. */
export function lostOutcome({ slot, attempt }: Running, news: RunNewsOf<'engine-lost'>): Uint8Array {
  const { reason = '', startedAt = 0, elapsedMs = 0, output = silence } = news
  const header = { status: STATUS.lost, slot, attempt, elapsedMs, startedAt }
  return withOutput(encodeOutcome(header, fromString(reason.slice(0, reasonLengthMax))), output)
}

const isStuck = ({ heardAt, isParked }: Running, now: Millis): boolean =>
  !isParked && now - heardAt >= stuckMs
