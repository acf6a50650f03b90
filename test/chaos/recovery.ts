/**
 * How long work that a killed node held stood still: the time from the kill to the first new result of that work.
 *
 * Not here: who is killed (faults.ts). Work is what ran on the node when it was killed and what it owned without an outcome,
 * as it said itself a moment before. A result counts only if its run ended after the kill, by the engine's own clock, which is
 * this machine's: whatever ended before may have been on its way out of the dead node already, and would flatter the figure.
 * Two kinds of kill are measured apart: those while another node was away as well, because then a majority of the keepers may be
 * missing, and nobody promises speed for that; and power cuts, which wait for the nodes to come back.
 */
import type { HeldWork } from './nodes.ts'

/** How long work of a killed node may stand still. Below so many measured kills their percentiles say nothing, and are not judged. */
export const recoveryBudget = { p50Ms: 1_000, p99Ms: 3_000, leastMeasured: 10 }

interface Open {
  readonly name: string
  readonly at: number
  readonly wallClock: number
  readonly work: ReadonlySet<string>
  /** Another node was away at some time before the work went on. */
  isAlone: boolean
}

export class Recoveries {
  #open: Open[] = []
  /** Milliseconds. */
  readonly alone: number[] = []
  readonly amongOthers: number[] = []
  /** Kills of nodes that held nothing. */
  idle = 0
  readonly #say: (text: string) => void

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  killed(name: string, held: HeldWork | undefined, isAlone: boolean): void {
    const work = new Set([...(held?.ran ?? []), ...(held?.owned ?? [])])
    if (work.size === 0) this.idle++
    else this.#open.push({ name, at: performance.now(), wallClock: Date.now(), work, isAlone })
  }

  /** Another node went away, so that what is not recovered yet may have to wait for one of them. */
  disturbed(): void {
    for (const open of this.#open) open.isAlone = false
  }

  /** A result of a task whose run ended at `endedAt`, in ms since 1970. */
  came(task: string, endedAt: number): void {
    const now = performance.now()
    this.#open = this.#open.filter((open) => {
      if (!open.work.has(task) || endedAt <= open.wallClock) return true
      const tookMs = now - open.at
      const list = open.isAlone ? this.alone : this.amongOthers
      list.push(tookMs)
      if (open.isAlone && tookMs > 1_000)
        this.#say(`work of ${open.name} stood still for ${Math.round(tookMs)} ms; then ${task} came`)
      return false
    })
  }

  /** Kills whose work gave no result that could be told apart: all of it had ended just before, or nobody was reading it. */
  get unmeasured(): number {
    return this.#open.length
  }
}

/** The value that `share` of all do not exceed; `undefined` of nothing. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]
}
