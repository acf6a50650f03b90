/**
 * How long tasks take, by function: what a node has learned from the outcomes of its own engines.
 *
 * Not here: what follows from it (runner.ts). Nobody is asked to estimate; the first run of a function is small, and tells.
 */
import type { Millis } from '../machine.ts'
import { type Batch, readOutcomeHeader, STATUS, valueAt } from './batch.ts'
import type { JobHeader } from './messages.ts'

/** Functions whose speed is remembered; the oldest is forgotten. */
const speedsMax = 256
/** Cheapest cost of one task that is believed. */
const taskMsMin = 0.005

export class Speeds {
  readonly #byFunction = new Map<string, Millis>()
  /** Of the function that was measured last; infinite before. */
  last: Millis = Number.POSITIVE_INFINITY

  /** What was ended before its end, or never begun, tells nothing: a task that takes its engine with it did not do so fast. */
  measure(header: JobHeader, outcomes: Batch): void {
    let [sum, count] = [0, 0]
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const { status, elapsedMs } = readOutcomeHeader(valueAt(outcomes, at))
      if (status === STATUS.lost || status === STATUS.cancelled || status === STATUS.noRoom) continue
      sum += elapsedMs
      count++
    }
    if (count > 0) this.#learn(nameOf(header), Math.max(taskMsMin, sum / count))
  }

  /** The first outcome stands for all of them; one that failed tells nothing. */
  sample(header: JobHeader, outcomes: Batch): void {
    if (outcomes.indexes.length === 0) return
    const { status, elapsedMs } = readOutcomeHeader(valueAt(outcomes, 0))
    if (status === STATUS.ok) this.#learn(nameOf(header), Math.max(taskMsMin, elapsedMs))
  }

  #learn(name: string, taskMs: Millis): void {
    const old = this.#byFunction.get(name)
    if (old === undefined && this.#byFunction.size >= speedsMax) {
      for (const oldest of this.#byFunction.keys()) {
        this.#byFunction.delete(oldest)
        break
      }
    }
    // Slower is believed at once, faster by and by: too little work in hand costs a round trip, too much costs others.
    this.last = old === undefined || taskMs > old ? taskMs : old + (taskMs - old) / 4
    this.#byFunction.set(name, this.last)
  }

  /** Tasks that take about `ms` together, at most `most`; 1 while nothing is known. */
  batchOf(header: JobHeader, ms: Millis, most: number): number {
    const taskMs = this.of(header)
    return Number.isFinite(taskMs) ? Math.max(1, Math.min(most, Math.floor(ms / taskMs))) : 1
  }

  /** What a task counts: what it takes as far as that is known, else what was measured last. */
  costOf(header: JobHeader): Millis {
    return [this.of(header), this.last, 1].find(Number.isFinite) ?? 1
  }

  /** Infinite for a function that never ran here. */
  of(header: JobHeader): Millis {
    return this.#byFunction.get(nameOf(header)) ?? Number.POSITIVE_INFINITY
  }
}

const nameOf = (header: JobHeader): string => `${header.code}#${header.exportName}`
