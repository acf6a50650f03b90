/**
 * The executor made of engines: one per slot, replaced when it dies, hangs or is told to stop.
 *
 * Not here: how an engine runs its tasks (worker.ts), how both settle races (engine.ts), which task runs where (runner.ts).
 * An engine is a horse, not a friend: nothing is asked of it while it runs; what it leaves unfinished goes to the next one.
 */
import type { Digest } from '../../ids.ts'
import { assert } from '../../machine.ts'
import type { Batch, Status } from '../batch.ts'
import { encodeOutcome, pack, pickAt, STATUS } from '../batch.ts'
import { startChild } from './child.ts'
import type { Engine, EngineEnd, EngineOptions, Started } from './engine.ts'
import type { Executor, ExecutorEvent, RunBatch } from './executor.ts'
import { timeoutFailure } from './failure.ts'
import type { Ended, Word } from './protocol.ts'
import { CLAIM, isEnded, isReport, sharedMillis } from './protocol.ts'
import { questionIn } from './reading.ts'
import { Standstill } from './standstill.ts'
import { startThread } from './thread.ts'
import { Warden } from './warden.ts'
import { isWord, type Speaking, Talk } from './words.ts'

/** The slot is one byte of an outcome's header. */
export const slotsMax = 256
/** A longer delay would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1
/** Engines that may die before they start anything, until a task is blamed for it. */
const STILLBIRTHS_MAX = 2
/** What a cancelled task has to end by itself, if it has asked for its signal. */
const graceMs = 1_000

export type Isolation = 'thread' | 'process'

export interface PoolOptions {
  /** 1 to `slotsMax`. */
  readonly slots: number
  /** Where the module of this digest lies on disk, as an `.mjs` file. */
  readonly code: (digest: Digest) => string
  /** Where data lies that inputs name: files named by their ids. */
  readonly dataFolder?: string
  /** The id of this node. */
  readonly node: string
  /** Megabytes of heap of one engine; a task that needs more ends it. */
  readonly heapMb?: number
  /** What an engine is: a thread of this process, or a process of its own. */
  readonly isolation?: Isolation
  /** How much engines give way to other processes, 0 to 19; default 0. */
  readonly nice?: number
  /** A task of this engine reads a live source; `undefined` once the engine has ended, and all its reading has. */
  readonly onReading?: ((slot: number, question: Uint8Array | undefined) => void) | undefined
  /** Called in a microtask of its own, never from within a call to the pool. */
  readonly onEvent: (event: ExecutorEvent) => void
}

interface Run extends Speaking {
  readonly batch: RunBatch
  /** Path of its module. */
  readonly file: string
  /** 1 for each position whose end was reported; keeps every report single, whatever a dying thread sent twice. */
  readonly reported: Uint8Array
  left: number
}

/** A running task whose engine is being terminated for it. */
interface Condemned {
  readonly run: Run
  readonly position: number
  readonly why: 'timeout' | 'cancelled'
  readonly elapsedMs: number
}

/** A task that died with its engine. */
interface Lost {
  readonly run: Run
  readonly position: number
  readonly startedAt: number
}

interface Slot {
  readonly index: number
  /** Unfinished runs, all sent to the engine, in its order. */
  readonly runs: Run[]
  engine: Engine | undefined
  /** Whether this engine ever reported something. */
  hasReported: boolean
  condemned: Condemned | undefined
  stillbirths: number
  readonly standstill: Standstill
}

/** Its engines start at once, and in the background. */
export function createPool(options: PoolOptions): Executor {
  const { slots } = options
  assert(Number.isInteger(slots) && slots >= 1 && slots <= slotsMax, `a pool of ${slots} slots`)
  return new Pool(options)
}

class Pool implements Executor {
  readonly #options: PoolOptions
  readonly #slots: Slot[]
  readonly #runs = new Map<number, { slot: Slot; run: Run }>()
  readonly #engines = new Set<Engine>()
  readonly #warden = new Warden()
  readonly #start: (options: EngineOptions) => Engine
  readonly #talk = new Talk((event) => this.#emit(event))
  #timer: NodeJS.Timeout | undefined
  #wakeAt = Number.POSITIVE_INFINITY
  #isClosed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#start = options.isolation === 'process' ? (one) => startChild(one, this.#warden) : startThread
    this.#slots = Array.from({ length: options.slots }, (_, index) => newSlot(index))
    for (const slot of this.#slots) this.#startEngine(slot)
  }

  run(batch: RunBatch): void {
    if (this.#isClosed) return
    const slot = this.#slots[batch.slot]
    assert(slot !== undefined, `a batch for slot ${batch.slot} of ${this.#slots.length}`)
    assert(!this.#runs.has(batch.run), `run ${batch.run} was given twice`)
    const count = batch.inputs.indexes.length
    assert(count > 0, `run ${batch.run} has no tasks`)
    const file = this.#options.code(batch.code)
    const run: Run = { batch, file, words: undefined, reported: new Uint8Array(count), left: count }
    slot.runs.push(run)
    this.#runs.set(batch.run, { slot, run })
    if (slot.engine) this.#send(slot.engine, run)
    else this.#startEngine(slot)
    if (batch.timeoutMs > 0) this.#wakeBy(sharedMillis() + batch.timeoutMs)
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
    if (running?.run === number && meant.includes(running.position)) this.#endSoon(slot, run, running)
    const cancelled = outcome(run, STATUS.cancelled, 0, new Uint8Array())
    this.#report(
      slot,
      run,
      unstarted,
      pack(
        '',
        unstarted,
        unstarted.map(() => cancelled)
      )
    )
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

  tell(slot: number, answer: Uint8Array): void {
    this.#slots[slot]?.engine?.post({ kind: 'told', bytes: answer })
  }

  suspend(isSuspended: boolean): void {
    for (const { engine, standstill } of this.#slots) {
      if (engine?.suspend(isSuspended) !== true) continue
      if (isSuspended) standstill.begin(sharedMillis())
      else standstill.end(sharedMillis(), engine.running()?.startedAt)
    }
    if (!isSuspended) this.#expire()
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
    slot.standstill.end(sharedMillis(), undefined)
    slot.hasReported = false
    slot.condemned = undefined
    this.#engines.add(engine)
    for (const run of slot.runs) this.#send(engine, run)
  }

  /** Sends the whole run, even again: the engine begins what is not claimed. */
  #send(engine: Engine, { batch, file, reported }: Run): void {
    const { run, key, first, attempt, exportName, timeoutMs, inputs } = batch
    // A copy: the batch may be a window on memory of others, which a message would carry along entirely.
    const { indexes, ends, body } = inputs
    const copy = {
      indexes: new Uint32Array(indexes),
      ends: new Uint32Array(ends),
      body: new Uint8Array(body)
    }
    const claims = reported.map((isReported) => (isReported ? CLAIM.taken : CLAIM.unstarted))
    const { dataFolder = '' } = this.#options
    const order = { run, key, first, attempt, exportName, timeoutMs, dataFolder, file, claims, ...copy }
    engine.post({ kind: 'run', ...order })
  }

  /** Those of these positions that will not run any more, because nobody has begun them. */
  #take({ engine }: Slot, run: Run, positions: readonly number[]): number[] {
    const open = positions.filter((position) => run.reported[position] === 0)
    return engine === undefined ? open : engine.take(run.batch.run, open)
  }

  #received(slot: Slot, message: unknown): void {
    if (this.#isClosed) return
    if (isWord(message)) return this.#heard(slot, message)
    const question = questionIn(message)
    if (question !== undefined) return this.#options.onReading?.(slot.index, question)
    if (!isEnded(message)) return
    slot.hasReported = true
    slot.stillbirths = 0
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
    return true
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

  /** Who has asked for its signal gets it, and a moment to end by itself. */
  #endSoon(slot: Slot, run: Run, running: Started): void {
    if (!run.words?.listens(running.position)) return this.#condemn(slot, run, running, 'cancelled')
    run.words.aborted(running.position)
    slot.engine?.post({ kind: 'abort', run: run.batch.run, position: running.position })
    setTimeout(() => this.#condemn(slot, run, running, 'cancelled'), graceMs).unref()
  }

  /** Ends a running task together with its engine. Does nothing if the task just ended, or is condemned already. */
  #condemn(slot: Slot, run: Run, { position, startedAt }: Started, why: Condemned['why']): void {
    if (run.reported[position] !== 0 || !slot.engine?.condemn(run.batch.run, position)) return
    slot.condemned = { run, position, why, elapsedMs: sharedMillis() - startedAt }
  }

  #ended(slot: Slot, engine: Engine, { reason, rest, started }: EngineEnd): void {
    this.#engines.delete(engine)
    if (this.#isClosed || slot.engine !== engine) return
    const { condemned, hasReported } = slot
    const front = slot.runs[0]
    slot.engine = undefined
    this.#options.onReading?.(slot.index, undefined)
    const found = rest && this.#runs.get(rest.run)
    if (rest && found && isReport(rest, found.run.reported.length))
      this.#report(slot, found.run, rest.positions, rest)
    if (condemned) this.#reportCondemned(slot, condemned)
    const lost = this.#unreported(started)
    if (lost.length > 0 || (front && !condemned)) this.#reportLost(slot, front, reason, lost)
    // An engine that dies idle and young, as on a broken installation, would be replaced for ever: the next run does it.
    if (slot.runs.length > 0 || hasReported || condemned) this.#startEngine(slot)
  }

  /** Those that were begun, and neither told of by the engine nor condemned: they died with it. */
  #unreported(started: readonly Started[]): Lost[] {
    return started.flatMap(({ run: number, position, startedAt }) => {
      const run = this.#runs.get(number)?.run
      return run?.reported[position] === 0 ? [{ run, position, startedAt }] : []
    })
  }

  #reportCondemned(slot: Slot, { run, position, why, elapsedMs }: Condemned): void {
    const ended =
      why === 'cancelled'
        ? outcome(run, STATUS.cancelled, elapsedMs, new Uint8Array())
        : outcome(run, STATUS.timedOut, elapsedMs, timeoutFailure(run.batch, this.#options.node, elapsedMs))
    this.#report(slot, run, [position], pack('', [position], [ended]))
  }

  /** Tells of an engine that died while `front` was its first unfinished run, and of the tasks that died with it. */
  #reportLost(slot: Slot, front: Run | undefined, reason: string, lost: Lost[]): void {
    if (front && lost.length === 0 && !slot.hasReported && ++slot.stillbirths >= STILLBIRTHS_MAX) {
      // Without somebody to blame, the same run would go from dead engine to dead engine for ever.
      const position = front.reported.indexOf(0)
      if (position >= 0) lost.push({ run: front, position, startedAt: sharedMillis() })
    }
    for (const { run, position, startedAt } of lost) {
      run.reported[position] = 1
      run.left -= 1
      const index = run.batch.inputs.indexes[position]
      const elapsedMs = sharedMillis() - startedAt
      const times = { startedAt: Date.now() - elapsedMs, elapsedMs }
      this.#emit({ kind: 'engine-lost', run: run.batch.run, slot: slot.index, index, reason, ...times })
      if (this.#forgetIfDone(slot, run)) {
        const outcomes = pack('', [], [])
        this.#emit({ kind: 'ended', run: run.batch.run, slot: slot.index, outcomes, done: true })
      }
    }
    if (lost.length > 0 || !front || front.left === 0) return
    const nobody = { index: undefined, reason, startedAt: Date.now(), elapsedMs: 0 }
    this.#emit({ kind: 'engine-lost', run: front.batch.run, slot: slot.index, ...nobody })
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

function newSlot(index: number): Slot {
  return {
    index,
    runs: [],
    engine: undefined,
    hasReported: false,
    condemned: undefined,
    stillbirths: 0,
    standstill: new Standstill()
  }
}

function outcome({ batch }: Run, status: Status, elapsedMs: number, payload: Uint8Array): Uint8Array {
  const { slot, attempt } = batch
  return encodeOutcome({ status, slot, attempt, elapsedMs, startedAt: Date.now() - elapsedMs }, payload)
}
