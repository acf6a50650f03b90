/**
 * The executor made of engines: one per slot, replaced when it dies, hangs or is told to stop.
 *
 * Not here: how an engine runs its tasks (worker.ts), how both settle races (engine.ts), which task runs where (runner.ts).
 * An engine is a horse, not a friend: nothing is asked of it while it runs; what it leaves unfinished goes to the next one.
 */
import { assert } from '../../machine.ts'
import { type Batch, pack, pickAt } from '../batch.ts'
import type { EngineOrder } from '../engine-orders.ts'
import { startChild } from './child.ts'
import type { Engine, EngineEnd, EngineOptions, Started } from './engine.ts'
import type { Executor, ExecutorEvent, RunBatch } from './executor.ts'
import { saidIn, type Told } from './guest.ts'
import { Parking } from './parking.ts'
import type { PoolOptions } from './pool-options.ts'
import type { Ended, Parking as ParkingWord, Word } from './protocol.ts'
import { isEnded, isParking, isReport, sharedMillis } from './protocol.ts'
import {
  type Condemned,
  cancelledAt,
  deaf,
  hasSpoken,
  isDeaf,
  type Lost,
  lossOf,
  lossOfNone,
  newSlot,
  outcomeOfCondemned,
  type Run,
  runMessage,
  type Slot
} from './slot.ts'
import { startThread } from './thread.ts'
import { Warden } from './warden.ts'
import { isWord, Talk } from './words.ts'

/** The slot is one byte of an outcome's header. */
export const slotsMax = 256
/** A longer delay would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1
/** Engines that may die before they start anything, until a task is blamed for it. */
const STILLBIRTHS_MAX = 2
/** Work for which no engine could be started goes back after so long, and not as fast as it comes again. */
const unstartedMs = 1_000
/** What a cancelled task has to end by itself, if it has asked for its signal. */
const graceMs = 1_000

/** Its engines start at once, and in the background. */
export function createPool(options: PoolOptions): Executor {
  const { slots } = options
  assert(Number.isInteger(slots) && slots >= 1 && slots <= slotsMax, `a pool of ${slots} slots`)
  return new Pool(options)
}

class Pool implements Executor {
  readonly #options: PoolOptions
  readonly #deafAfterMs: number
  readonly #slots: Parking<Slot>
  readonly #runs = new Map<number, { slot: Slot; run: Run }>()
  readonly #engines = new Set<Engine>()
  readonly #warden = new Warden()
  readonly #start: (options: EngineOptions) => Engine
  readonly #talk = new Talk((event) => this.#emit(event))
  #timer: NodeJS.Timeout | undefined
  #wakeAt = Number.POSITIVE_INFINITY
  #isClosed = false
  /** Engines that begin now stand still from the beginning. */
  #isSuspended = false
  #started = 0

  constructor(options: PoolOptions) {
    this.#options = options
    this.#deafAfterMs = options.deafAfterMs ?? deaf.afterMs
    this.#start = options.isolation === 'process' ? (one) => startChild(one, this.#warden) : startThread
    this.#slots = new Parking(options.slots, newSlot)
    for (const slot of this.#slots) this.#startEngine(slot)
  }

  run(batch: RunBatch): void {
    if (this.#isClosed) return
    const slot = this.#slots.at(batch.slot)
    assert(slot !== undefined, `a batch for slot ${batch.slot} of ${this.#options.slots}`)
    assert(!this.#runs.has(batch.run), `run ${batch.run} was given twice`)
    const count = batch.inputs.indexes.length
    assert(count > 0, `run ${batch.run} has no tasks`)
    const file = this.#options.code(batch.code)
    const run: Run = { batch, file, words: undefined, reported: new Uint8Array(count), left: count }
    slot.runs.push(run)
    this.#runs.set(batch.run, { slot, run })
    if (slot.engine) this.#send(slot.engine, run)
    else this.#startEngine(slot)
    this.#wakeBy(sharedMillis() + Math.min(batch.timeoutMs || this.#deafAfterMs, this.#deafAfterMs))
  }

  cancel(number: number, indexes?: Uint32Array): void {
    const found = this.#runs.get(number)
    if (!found) return
    const { slot, run } = found
    const wanted = indexes && new Set(indexes)
    const all = [...run.batch.inputs.indexes.entries()]
    const meant = all.flatMap(([position, index]) => (!wanted || wanted.has(index) ? [position] : []))
    const unstarted = this.#take(slot, run, meant)
    const running = slot.engine?.running()
    if (running?.run === number && meant.includes(running.position))
      this.#endSoon(slot, run, running, 'cancelled')
    this.#report(slot, run, unstarted, cancelledAt(run, unstarted))
  }

  recall(number: number): void {
    const found = this.#runs.get(number)
    if (!found) return
    const { slot, run } = found
    const positions = this.#take(slot, run, [...run.reported.keys()])
    for (const position of positions) run.reported[position] = 1
    if (positions.length === 0) return
    run.left -= positions.length
    const indexes = Uint32Array.from(positions, (position) => run.batch.inputs.indexes[position] as number)
    this.#emit({ kind: 'recalled', run: number, indexes, done: this.#forgetIfDone(slot, run) })
  }

  tell(number: number, told: Told): void {
    for (const slot of this.#slots) if (slot.number === number) slot.engine?.post(told)
  }

  turn(index: number): void {
    if (this.#isClosed || this.#options.mayResume?.(index) === false) return
    const turned = this.#slots.next(index)
    if (turned?.left) this.#dismiss(turned.left)
    const run = turned?.next.runs[0]
    // It has one task that has begun: nothing else of its run was left to it.
    if (run)
      turned?.next.engine?.post({ kind: 'resume', run: run.batch.run, position: run.reported.indexOf(0) })
  }

  /** Nobody replaces it. */
  #dismiss(slot: Slot): void {
    const { engine, number } = slot
    slot.engine = undefined
    this.#options.onSaid?.(number, undefined)
    void engine?.terminate()
  }

  suspend(isSuspended: boolean): void {
    this.#isSuspended = isSuspended
    for (const { engine, standstill } of this.#slots) {
      if (engine?.suspend(isSuspended) !== true) continue
      if (isSuspended) standstill.begin(sharedMillis())
      else standstill.end(sharedMillis(), engine.running()?.startedAt)
    }
    if (!isSuspended) this.#expire()
  }

  order(index: number, order: EngineOrder): void {
    for (const slot of this.#slots) {
      if (slot.index !== index) continue
      if (order === 'restart') void slot.engine?.terminate()
      const running = order === 'interrupt' ? slot.engine?.running() : undefined
      const run = running && this.#runs.get(running.run)?.run
      if (running && run) this.#endSoon(slot, run, running, 'interrupted')
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#talk.close()
    await Promise.all([...this.#engines].map((engine) => engine.terminate()))
    this.#warden.close()
  }

  #startEngine(slot: Slot): void {
    const { node, heapMb, nice = 0 } = this.#options
    const engine: Engine = this.#start({
      slot: slot.index,
      name: `${node}/${slot.index}`,
      heapMb,
      nice,
      onMessage: (message) => this.#received(slot, message),
      onEnd: (end) => this.#ended(slot, engine, end)
    })
    slot.engine = engine
    slot.number = ++this.#started
    slot.standstill.end(sharedMillis(), undefined)
    slot.hasReported = false
    slot.condemned = undefined
    this.#engines.add(engine)
    if (this.#isSuspended && engine.suspend(true)) slot.standstill.begin(sharedMillis())
    for (const run of slot.runs) this.#send(engine, run)
  }

  /** Even again: the engine begins what is not claimed. */
  #send(engine: Engine, run: Run): void {
    engine.post(runMessage(run, this.#options.dataFolder ?? ''))
  }

  /** Those of these positions that will not run any more, because nobody has begun them. */
  #take({ engine }: Slot, run: Run, positions: readonly number[]): number[] {
    const open = positions.filter((position) => run.reported[position] === 0)
    return engine === undefined ? open : engine.take(run.batch.run, open)
  }

  #received(slot: Slot, message: unknown): void {
    if (this.#isClosed) return
    if (isWord(message)) return this.#heard(slot, message)
    const said = saidIn(message)
    if (said !== undefined) return this.#options.onSaid?.(slot.number, said)
    if (isParking(message)) return this.#parking(slot, message)
    if (!isEnded(message)) return
    hasSpoken(slot)
    const found = this.#runs.get(message.run)
    if (found?.slot !== slot) return
    if (isReport(message, found.run.reported.length))
      this.#report(slot, found.run, message.positions, message)
    // User code has spoken in its engine's name: nothing that comes from there can be believed.
    else void slot.engine?.terminate()
  }

  /** Reports outcomes; `positions[i]` is where outcome `i` has its task in the run. Those reported before are dropped. */
  #report(slot: Slot, run: Run, positions: ArrayLike<number>, outcomes: Pick<Ended, 'ends' | 'body'>): void {
    const indexes = new Uint32Array(positions.length)
    const fresh: number[] = []
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i] as number
      if (run.reported[position] !== 0) continue
      run.reported[position] = 1
      indexes[i] = run.batch.inputs.indexes[position] as number
      fresh.push(i)
    }
    if (fresh.length === 0) return
    run.left -= fresh.length
    const { ends, body } = outcomes
    const all: Batch = { node: '', indexes, ends, body }
    const news = pickAt(run.words?.tell(positions, all) ?? all, fresh)
    const done = this.#forgetIfDone(slot, run)
    this.#emit({ kind: 'ended', run: run.batch.run, slot: slot.index, outcomes: news, done })
  }

  #forgetIfDone(slot: Slot, run: Run): boolean {
    if (run.left > 0) return false
    slot.runs.splice(slot.runs.indexOf(run), 1)
    slot.engine?.forget(run.batch.run)
    this.#runs.delete(run.batch.run)
    // Over before it took its slot back: now its engine is free for others.
    if (slot.isParked && slot.runs.length === 0) slot.isWanting = true
    this.turn(slot.index)
    return true
  }

  #parking(slot: Slot, { kind, run, position }: ParkingWord): void {
    const found = this.#runs.get(run)
    if (found?.slot !== slot || found.run.reported[position] !== 0) return
    if (kind === 'yields')
      return this.cancel(run, found.run.batch.inputs.indexes.slice(position, position + 1))
    if (slot.isParked !== (kind === 'wants')) return
    for (const { batch } of [...slot.runs, ...this.#slots.top(slot.index).runs]) this.recall(batch.run)
    if (kind === 'wants') slot.isWanting = true
    else this.#slots.park(slot)
    this.#emit({ kind: kind === 'parks' ? 'parked' : 'resumed', run })
    this.turn(slot.index)
  }

  #emit(event: ExecutorEvent): void {
    queueMicrotask(() => {
      if (!this.#isClosed) this.#options.onEvent(event)
    })
  }

  /** What a task says as it runs. */
  #heard(slot: Slot, word: Word): void {
    const found = this.#runs.get(word.run)
    if (found?.slot === slot) this.#talk.heard(found.run, word)
  }

  /** Who has asked for its signal, or is interrupted, gets a moment to end by itself: what waits does, and its engine stays. */
  #endSoon(slot: Slot, run: Run, running: Started, why: 'cancelled' | 'interrupted'): void {
    const { position } = running
    const isCancelled = why === 'cancelled'
    if (isCancelled && !run.words?.listens(position)) return this.#condemn(slot, run, running, why)
    if (isCancelled) run.words?.aborted(position)
    slot.engine?.post({ kind: isCancelled ? 'abort' : 'interrupt', run: run.batch.run, position })
    setTimeout(() => this.#condemn(slot, run, running, why), graceMs).unref()
  }

  /** Ends a running task together with its engine. Does nothing if the task just ended, or is condemned already. */
  #condemn(slot: Slot, run: Run, { position, startedAt }: Started, why: Condemned['why']): void {
    if (run.reported[position] !== 0 || !slot.engine?.condemn(run.batch.run, position)) return
    slot.condemned = { run, position, why, startedAt, elapsedMs: sharedMillis() - startedAt }
  }

  #ended(slot: Slot, engine: Engine, { reason, hasStarted, rest, started }: EngineEnd): void {
    this.#engines.delete(engine)
    if (this.#isClosed || slot.engine !== engine) return
    const isDropped = this.#slots.drop(slot)
    const { condemned, hasReported } = slot
    const front = slot.runs[0]
    slot.engine = undefined
    this.#options.onSaid?.(slot.number, undefined)
    const found = rest && this.#runs.get(rest.run)
    if (rest && found && isReport(rest, found.run.reported.length))
      this.#report(slot, found.run, rest.positions, rest)
    if (condemned) this.#reportCondemned(slot, condemned)
    const lost = this.#unreported(started)
    if (!hasStarted) return this.#handBackSoon(slot, reason)
    if (lost.length > 0 || (front && !condemned)) this.#reportLost(slot, front, reason, lost)
    if (isDropped) {
      this.#handBack(slot)
      return this.turn(slot.index)
    }
    // An engine that dies idle and young, as on a broken installation, would be replaced for ever: the next run does it.
    if (slot.runs.length > 0 || hasReported || condemned) this.#startEngine(slot)
  }

  #handBack(slot: Slot): void {
    for (const { batch } of [...slot.runs]) this.recall(batch.run)
  }

  /** There is no engine for it here, and that is not its fault. */
  #handBackSoon(slot: Slot, reason: string): void {
    const [front] = slot.runs
    if (front) this.#emit(lossOfNone(slot.index, front, reason))
    setTimeout(() => {
      if (!this.#isClosed && slot.engine === undefined) this.#handBack(slot)
    }, unstartedMs).unref()
  }

  /** Those that were begun, and neither told of by the engine nor condemned: they died with it. */
  #unreported(started: readonly Started[]): Lost[] {
    return started.flatMap(({ run: number, position, startedAt }) => {
      const run = this.#runs.get(number)?.run
      return run?.reported[position] === 0 ? [{ run, position, startedAt }] : []
    })
  }

  #reportCondemned(slot: Slot, condemned: Condemned): void {
    const { run, position } = condemned
    const ended = outcomeOfCondemned(condemned, this.#options.node)
    this.#report(slot, run, [position], pack('', [position], [ended]))
  }

  /** Tells of an engine that died while `front` was its first unfinished run, and of the tasks that died with it. */
  #reportLost(slot: Slot, front: Run | undefined, reason: string, lost: Lost[]): void {
    if (front && lost.length === 0 && !slot.hasReported && ++slot.stillbirths >= STILLBIRTHS_MAX) {
      // Without somebody to blame, the same run would go from dead engine to dead engine for ever.
      const position = front.reported.indexOf(0)
      if (position >= 0) lost.push({ run: front, position, startedAt: sharedMillis() })
    }
    for (const one of lost) {
      const { run, position } = one
      run.reported[position] = 1
      run.left -= 1
      this.#emit(lossOf(one, reason))
      if (this.#forgetIfDone(slot, run)) {
        const outcomes = pack('', [], [])
        this.#emit({ kind: 'ended', run: run.batch.run, slot: slot.index, outcomes, done: true })
      }
    }
    if (lost.length > 0 || !front || front.left === 0) return
    this.#emit(lossOfNone(slot.index, front, reason))
  }

  #wakeBy(at: number): void {
    if (at >= this.#wakeAt) return
    clearTimeout(this.#timer)
    this.#wakeAt = at
    const delay = Math.min(Math.ceil(at - sharedMillis()), TIMER_MAX_MS)
    this.#timer = setTimeout(() => this.#expire(), delay).unref()
  }

  /** Ends tasks whose time is over. A task that starts after this look cannot be due before `now + timeoutMs`. */
  #expire(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY
    const now = sharedMillis()
    for (const slot of this.#slots) {
      if (isDeaf(slot, now, this.#deafAfterMs)) void slot.engine?.terminate(deaf.words)
      if (slot.runs.length > 0) this.#wakeBy(now + this.#deafAfterMs)
      if (slot.standstill.isNow || slot.runs.every(({ batch }) => batch.timeoutMs === 0)) continue
      const running = slot.engine?.running()
      for (const run of slot.runs) {
        const { timeoutMs } = run.batch
        if (timeoutMs === 0) continue
        const its = running?.run === run.batch.run ? running : undefined
        const dueAt = (its ? its.startedAt + slot.standstill.of(its.startedAt) : now) + timeoutMs
        if (its && dueAt <= now) this.#condemn(slot, run, its, 'timeout')
        this.#wakeBy(dueAt <= now ? now + timeoutMs : dueAt)
      }
    }
  }
}
