/**
 * Two executors on the same slots: functions and programs, never both at once in one slot.
 *
 * Not here: either of them (pool.ts, programs.ts).
 * A run waits at the door of its slot as long as one of the other kind is inside; runs of one kind follow each other freely.
 */
import { encodeOutcome, pack, pickAt, STATUS } from '../batch.ts'
import type { EngineOrder } from '../engine-orders.ts'
import type { Executor, ExecutorEvent, RunBatch } from './executor.ts'
import type { Told } from './guest.ts'
import { programExport } from './program.ts'

interface Waiting {
  readonly batch: RunBatch
  /** Its task waits, and left the slot to others. */
  isParked: boolean
  readonly executor: Executor | undefined
}

export interface SharedSlots extends Executor {
  /** What either of the two tells. */
  heard(event: ExecutorEvent): void
  /** Whether a function may go on in this slot. */
  mayResume(slot: number): boolean
}

/** `programs`: undefined if this node runs none; such runs go back. */
export function shareSlots(
  functions: Executor,
  programs: Executor | undefined,
  onEvent: (event: ExecutorEvent) => void
): SharedSlots {
  return new Slots(functions, programs, onEvent)
}

class Slots implements SharedSlots {
  readonly #functions: Executor
  readonly #programs: Executor | undefined
  readonly #onEvent: (event: ExecutorEvent) => void
  readonly #inside = new Map<number, Waiting>()
  /** At the doors, in order. */
  #waiting: Waiting[] = []

  constructor(functions: Executor, programs: Executor | undefined, onEvent: (event: ExecutorEvent) => void) {
    this.#functions = functions
    this.#programs = programs
    this.#onEvent = onEvent
  }

  run(batch: RunBatch): void {
    const isProgram = batch.exportName === programExport
    this.#waiting.push({ batch, isParked: false, executor: isProgram ? this.#programs : this.#functions })
    if (isProgram && this.#programs === undefined) this.recall(batch.run)
    else this.#admit()
  }

  cancel(run: number, indexes?: Uint32Array): void {
    const inside = this.#inside.get(run)
    if (inside !== undefined) return inside.executor?.cancel(run, indexes)
    const found = this.#waiting.find(({ batch }) => batch.run === run)
    if (found === undefined) return
    const { batch } = found
    const wanted = indexes && new Set(indexes)
    const [gone, left] = split(batch, (index) => wanted?.has(index) ?? true)
    if (gone.length === 0) return
    const { slot, attempt } = batch
    const header = { status: STATUS.cancelled, slot, attempt, elapsedMs: 0, startedAt: 0 }
    const outcome = encodeOutcome(header, new Uint8Array())
    const outcomes = pack(
      '',
      gone,
      gone.map(() => outcome)
    )
    this.#keep(found, left)
    this.#emit({ kind: 'ended', run, slot, outcomes, done: left === undefined })
  }

  recall(run: number): void {
    const inside = this.#inside.get(run)
    if (inside !== undefined) return inside.executor?.recall(run)
    const found = this.#waiting.find(({ batch }) => batch.run === run)
    if (found === undefined) return
    this.#keep(found, undefined)
    this.#emit({ kind: 'recalled', run, indexes: found.batch.inputs.indexes, done: true })
  }

  tell(engine: number, told: Told): void {
    this.#functions.tell?.(engine, told)
  }

  mayResume(slot: number): boolean {
    const inside = [...this.#inside.values()]
    return !inside.some(({ batch, executor }) => batch.slot === slot && executor !== this.#functions)
  }

  suspend(isSuspended: boolean): void {
    this.#functions.suspend?.(isSuspended)
    this.#programs?.suspend?.(isSuspended)
  }

  order(slot: number, order: EngineOrder): void {
    this.#functions.order?.(slot, order)
    this.#programs?.order?.(slot, order)
  }

  async close(): Promise<void> {
    this.#waiting = []
    await Promise.all([this.#functions.close(), this.#programs?.close()])
  }

  heard(event: ExecutorEvent): void {
    const one = this.#inside.get(event.run)
    if (event.kind === 'parked' || event.kind === 'resumed') {
      if (one !== undefined) one.isParked = event.kind === 'parked'
    }
    const isDone = (event.kind === 'ended' || event.kind === 'recalled') && event.done
    if (isDone) this.#inside.delete(event.run)
    this.#onEvent(event)
    this.#admit()
    if (isDone && one !== undefined && one.executor !== this.#functions)
      this.#functions.turn?.(one.batch.slot)
  }

  /** Lets in what may, in order for each slot. */
  #admit(): void {
    const barred = new Set<number>()
    for (const one of [...this.#waiting]) {
      const { batch, executor } = one
      const isAlone = [...this.#inside.values()].every(
        (other) => other.batch.slot !== batch.slot || other.executor === executor || other.isParked
      )
      if (!isAlone || barred.has(batch.slot)) {
        barred.add(batch.slot)
        continue
      }
      this.#waiting.splice(this.#waiting.indexOf(one), 1)
      this.#inside.set(batch.run, one)
      executor?.run(batch)
    }
  }

  /** What is left of a run that waits. */
  #keep(one: Waiting, left: RunBatch | undefined): void {
    const rest = left === undefined ? [] : [{ ...one, batch: left }]
    this.#waiting.splice(this.#waiting.indexOf(one), 1, ...rest)
  }

  #emit(event: ExecutorEvent): void {
    queueMicrotask(() => this.#onEvent(event))
  }
}

/** The indexes that are wanted, and the run without them. */
function split(batch: RunBatch, isWanted: (index: number) => boolean): [number[], RunBatch | undefined] {
  const { indexes } = batch.inputs
  const gone = [...indexes].filter(isWanted)
  const left = [...indexes.keys()].filter((at) => !isWanted(indexes[at] as number))
  return [gone, left.length === 0 ? undefined : { ...batch, inputs: pickAt(batch.inputs, left) }]
}
