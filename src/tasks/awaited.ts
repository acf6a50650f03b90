/**
 * Runs that were given to this node's engines, and wait for the data that they need.
 *
 * Not here: bringing it (node/provisions.ts, or the simulator). To the runner they are runs like any other: what is cancelled of
 * them ends, and what is taken back goes, at once and without having begun.
 */
import { encodeOutcome, pack, pickAt, STATUS } from './batch.ts'
import type { Run } from './effects.ts'
import type { RunNewsOf } from './runs.ts'

export class Awaited {
  /** What of each is still to begin. */
  readonly #runs = new Map<number, Run>()

  add(run: Run): void {
    this.#runs.set(run.run, run)
  }

  has(run: number): boolean {
    return this.#runs.has(run)
  }

  /** Its data is here: what of it is to begin, if anything is. */
  take(run: number): Run | undefined {
    const left = this.#runs.get(run)
    this.#runs.delete(run)
    return left
  }

  /** What becomes of these tasks; nothing if none of them waits. */
  cancel(number: number, indexes: Iterable<number>): (RunNewsOf<'ended'> & { slot: number }) | undefined {
    const run = this.#runs.get(number)
    if (run === undefined) return undefined
    const { slot, attempt, inputs } = run
    const unwanted = new Set(indexes)
    const isGone = (at: number): boolean => unwanted.has(inputs.indexes[at] as number)
    const all = [...inputs.indexes.keys()]
    const [gone, left] = [all.filter(isGone), all.filter((at) => !isGone(at))]
    if (gone.length === 0) return undefined
    if (left.length === 0) this.#runs.delete(number)
    else this.#runs.set(number, { ...run, inputs: pickAt(inputs, left) })
    const header = { status: STATUS.cancelled, slot, attempt, elapsedMs: 0, startedAt: 0 }
    const cancelled = encodeOutcome(header, new Uint8Array(0))
    const outcomes = pack(
      '',
      gone.map((at) => inputs.indexes[at] as number),
      gone.map(() => cancelled)
    )
    return { kind: 'ended', run: number, slot, outcomes, done: left.length === 0 }
  }

  recall(number: number): RunNewsOf<'recalled'> | undefined {
    const run = this.take(number)
    return run && { kind: 'recalled', run: number, indexes: run.inputs.indexes, done: true }
  }

  clear(): void {
    this.#runs.clear()
  }
}
