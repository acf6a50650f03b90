/**
 * The executor made of threads: one per slot, replaced when it dies, hangs or is told to stop.
 *
 * Not here: how a thread runs its tasks (worker.ts), how both settle races (protocol.ts), which task runs where (runner.ts).
 * A thread is a horse, not a friend: nothing is asked of it while it runs; what it leaves unfinished goes to the next one.
 */
import { Worker } from 'node:worker_threads'
import type { ErrorCode } from '../../errors.ts'
import type { Digest } from '../../ids.ts'
import { assert } from '../../machine.ts'
import type { Status } from '../batch.ts'
import { encodeOutcome, isSound, pack, pickAt, STATUS } from '../batch.ts'
import type { Executor, ExecutorEvent, RunBatch } from './executor.ts'
import { encodeFailure } from './failure.ts'
import type { Claims, Desk, FromWorker, ToWorker, WorkerData } from './protocol.ts'
import { CLAIM, createDeskMemory, openDesk, readDesk, sharedMillis, swapClaim } from './protocol.ts'

/** The slot is one byte of an outcome's header. */
export const slotsMax = 256
/** A longer delay would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1
/** Engines that may die before they start anything, until a task is blamed for it. */
const STILLBIRTHS_MAX = 2

export interface PoolOptions {
  /** 1 to `slotsMax`. */
  readonly slots: number
  /** Where the module of this digest lies on disk, as an `.mjs` file. */
  readonly code: (digest: Digest) => string
  /** The id of this node. */
  readonly node: string
  /** Megabytes of heap of one engine; a task that needs more ends it. */
  readonly heapMb?: number
  /** Called in a microtask of its own, never from within a call to the pool. */
  readonly onEvent: (event: ExecutorEvent) => void
}

interface Run {
  readonly batch: RunBatch
  /** Path of its module. */
  readonly file: string
  readonly claims: Claims
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

interface Slot {
  readonly index: number
  /** Unfinished runs, all sent to the worker, in its order. */
  readonly runs: Run[]
  worker: Worker | undefined
  desk: Desk
  /** Whether this worker ever reported something. */
  hasReported: boolean
  /** What it died of, if it said so. */
  lastWords: string | undefined
  condemned: Condemned | undefined
  stillbirths: number
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
  readonly #workers = new Set<Worker>()
  #timer: NodeJS.Timeout | undefined
  #wakeAt = Number.POSITIVE_INFINITY
  #isClosed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#slots = Array.from({ length: options.slots }, (_, index) => newSlot(index))
    for (const slot of this.#slots) this.#startWorker(slot)
  }

  run(batch: RunBatch): void {
    if (this.#isClosed) return
    const slot = this.#slots[batch.slot]
    assert(slot !== undefined, `a batch for slot ${batch.slot} of ${this.#slots.length}`)
    assert(!this.#runs.has(batch.run), `run ${batch.run} was given twice`)
    const count = batch.inputs.indexes.length
    assert(count > 0, `run ${batch.run} has no tasks`)
    const file = this.#options.code(batch.code)
    const claims = new Uint8Array(new SharedArrayBuffer(count))
    const run: Run = { batch, file, claims, reported: new Uint8Array(count), left: count }
    slot.runs.push(run)
    this.#runs.set(batch.run, { slot, run })
    if (slot.worker) this.#send(slot.worker, run)
    else this.#startWorker(slot)
    if (batch.timeoutMs > 0) this.#wakeBy(sharedMillis() + batch.timeoutMs)
  }

  cancel(number: number, indexes?: Uint32Array): void {
    const found = this.#runs.get(number)
    if (!found) return
    const { slot, run } = found
    const wanted = indexes && new Set(indexes)
    const unstarted: number[] = []
    for (const [position, index] of run.batch.inputs.indexes.entries()) {
      if (wanted && !wanted.has(index)) continue
      if (swapClaim(run.claims, position, CLAIM.unstarted, CLAIM.taken)) unstarted.push(position)
      else this.#condemn(slot, run, position, 'cancelled')
    }
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
    const positions: number[] = []
    for (let position = 0; position < run.claims.length; position++) {
      if (!swapClaim(run.claims, position, CLAIM.unstarted, CLAIM.taken)) continue
      run.reported[position] = 1
      positions.push(position)
    }
    if (positions.length === 0) return
    run.left -= positions.length
    const indexes = Uint32Array.from(positions, (position) => run.batch.inputs.indexes[position] as number)
    this.#emit({ kind: 'recalled', run: number, indexes, done: this.#forgetIfDone(slot, run) })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await Promise.all([...this.#workers].map((worker) => worker.terminate()))
  }

  #startWorker(slot: Slot): void {
    const memory = createDeskMemory()
    const workerData: WorkerData = {
      slot: slot.index,
      engine: `${this.#options.node}/${slot.index}`,
      desk: memory
    }
    // The source runs from .ts, the package from .js: the neighbour has the same ending as this file.
    const file = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)
    const { heapMb } = this.#options
    const resourceLimits = heapMb === undefined ? {} : { maxOldGenerationSizeMb: heapMb }
    const worker = new Worker(file, { workerData, resourceLimits, stdout: true, stderr: true })
    slot.worker = worker
    slot.desk = openDesk(memory)
    slot.hasReported = false
    slot.lastWords = undefined
    slot.condemned = undefined
    this.#workers.add(worker)
    // What tasks print must not mix with what the node prints on stdout.
    worker.stdout.on('data', (text) => process.stderr.write(text))
    worker.stderr.on('data', (text) => process.stderr.write(text))
    worker.on('message', (message: unknown) => this.#received(slot, message))
    worker.on('error', (error: unknown) => {
      slot.lastWords ??= error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    })
    // Node delivers all messages that the thread sent before it tells of its end.
    worker.on('exit', (code) => this.#exited(slot, worker, code))
    for (const run of slot.runs) this.#send(worker, run)
  }

  /** Sends the whole run, even again: the worker starts what is unclaimed. */
  #send(worker: Worker, { batch, file, claims }: Run): void {
    const { run, key, first, attempt, exportName, inputs } = batch
    // A copy: the batch may be a window on memory of others, which a message would carry along entirely.
    const body = new Uint8Array(inputs.body)
    const indexes = new Uint32Array(inputs.indexes)
    const ends = new Uint32Array(inputs.ends)
    const message: ToWorker = {
      kind: 'run',
      run,
      key,
      first,
      attempt,
      exportName,
      file,
      claims,
      indexes,
      ends,
      body
    }
    worker.postMessage(message, [body.buffer])
  }

  #received(slot: Slot, message: unknown): void {
    if (this.#isClosed || !isFromWorker(message)) return
    slot.hasReported = true
    slot.stillbirths = 0
    const found = this.#runs.get(message.run)
    if (found?.slot !== slot) return
    if (isReport(message, found.run)) this.#report(slot, found.run, message.positions, message)
    // User code has spoken in its engine's name: nothing that comes from there can be believed.
    else void slot.worker?.terminate()
  }

  /** Reports outcomes; `positions[i]` is where outcome `i` has its task in the run. Those reported before are dropped. */
  #report(
    slot: Slot,
    run: Run,
    positions: ArrayLike<number>,
    outcomes: Pick<FromWorker, 'ends' | 'body'>
  ): void {
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
    const news = pickAt({ node: '', indexes, ends, body }, fresh)
    const done = this.#forgetIfDone(slot, run)
    this.#emit({ kind: 'ended', run: run.batch.run, slot: slot.index, outcomes: news, done })
  }

  #forgetIfDone(slot: Slot, run: Run): boolean {
    if (run.left > 0) return false
    slot.runs.splice(slot.runs.indexOf(run), 1)
    this.#runs.delete(run.batch.run)
    return true
  }

  #emit(event: ExecutorEvent): void {
    queueMicrotask(() => {
      if (!this.#isClosed) this.#options.onEvent(event)
    })
  }

  /** Ends a running task together with its engine. Does nothing if the task just ended, or is condemned already. */
  #condemn(slot: Slot, run: Run, position: number, why: Condemned['why']): void {
    const startedAt = slot.desk.clock[0] as number
    if (!swapClaim(run.claims, position, CLAIM.running, CLAIM.taken)) return
    slot.condemned = { run, position, why, elapsedMs: sharedMillis() - startedAt }
    void slot.worker?.terminate()
  }

  #exited(slot: Slot, worker: Worker, code: number): void {
    this.#workers.delete(worker)
    if (this.#isClosed || slot.worker !== worker) return
    const { desk, condemned, lastWords, hasReported } = slot
    const front = slot.runs[0]
    slot.worker = undefined
    const rest = readDesk(desk)
    const found = this.#runs.get(rest.run)
    if (found && isReport(rest, found.run)) this.#report(slot, found.run, rest.positions, rest)
    if (condemned) this.#reportCondemned(slot, condemned)
    else if (front)
      this.#reportLost(slot, front, lastWords ?? `the engine exited with code ${code}`, hasReported)
    // An engine that dies idle and young, as on a broken installation, would be replaced for ever: the next run does it.
    if (slot.runs.length > 0 || hasReported || condemned) this.#startWorker(slot)
  }

  #reportCondemned(slot: Slot, { run, position, why, elapsedMs }: Condemned): void {
    const ended =
      why === 'cancelled'
        ? outcome(run, STATUS.cancelled, elapsedMs, new Uint8Array())
        : outcome(run, STATUS.timedOut, elapsedMs, this.#timeoutFailure(run, elapsedMs))
    this.#report(slot, run, [position], pack('', [position], [ended]))
  }

  #timeoutFailure({ batch }: Run, elapsedMs: number): Uint8Array {
    const code: ErrorCode = 'TASK_TIMEOUT'
    const { slot, attempt, timeoutMs } = batch
    const where = `engine ${this.#options.node}/${slot}, attempt ${attempt}`
    const message = `ran longer than its timeout of ${timeoutMs} ms: ended after ${Math.round(elapsedMs)} ms on ${where}`
    return encodeFailure({ code, name: 'TimeoutError', message, stack: '' })
  }

  /** Tells of an engine that died by itself while `front` was its first unfinished run. */
  #reportLost(slot: Slot, front: Run, reason: string, hasReported: boolean): void {
    const lost = slot.runs.flatMap((run) => unreportedStarts(run).map((position) => ({ run, position })))
    if (lost.length === 0 && !hasReported && ++slot.stillbirths >= STILLBIRTHS_MAX) {
      // Without somebody to blame, the same run would go from dead engine to dead engine for ever.
      const position = front.claims.indexOf(CLAIM.unstarted)
      if (position >= 0 && swapClaim(front.claims, position, CLAIM.unstarted, CLAIM.taken)) {
        lost.push({ run: front, position })
      }
    }
    const elapsedMs = lost.length === 0 ? 0 : sharedMillis() - (slot.desk.clock[0] as number)
    const times = { startedAt: Date.now() - elapsedMs, elapsedMs }
    for (const { run, position } of lost) {
      // Or the next look for overdue tasks would take it for one that runs.
      run.claims[position] = CLAIM.taken
      run.reported[position] = 1
      run.left -= 1
      const index = run.batch.inputs.indexes[position]
      this.#emit({ kind: 'engine-lost', run: run.batch.run, slot: slot.index, index, reason, ...times })
      if (this.#forgetIfDone(slot, run)) {
        const outcomes = pack('', [], [])
        this.#emit({ kind: 'ended', run: run.batch.run, slot: slot.index, outcomes, done: true })
      }
    }
    if (lost.length > 0 || front.left === 0) return
    const nobody = { index: undefined, reason, ...times }
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
      for (const run of slot.runs) {
        const { timeoutMs } = run.batch
        if (timeoutMs === 0) continue
        const position = run.claims.indexOf(CLAIM.running)
        const dueAt = (position < 0 ? now : (slot.desk.clock[0] as number)) + timeoutMs
        if (dueAt <= now) this.#condemn(slot, run, position, 'timeout')
        this.#wakeBy(dueAt <= now ? now + timeoutMs : dueAt)
      }
    }
  }
}

function newSlot(index: number): Slot {
  const desk = openDesk(createDeskMemory())
  const fresh = { worker: undefined, hasReported: false, lastWords: undefined, condemned: undefined }
  return { index, runs: [], desk, stillbirths: 0, ...fresh }
}

/** Started, and neither told of by the engine nor condemned: died with it. */
function unreportedStarts({ claims, reported }: Run): number[] {
  const positions: number[] = []
  for (let position = 0; position < claims.length; position++) {
    const isStarted = claims[position] === CLAIM.running || claims[position] === CLAIM.ended
    if (isStarted && reported[position] === 0) positions.push(position)
  }
  return positions
}

function outcome({ batch }: Run, status: Status, elapsedMs: number, payload: Uint8Array): Uint8Array {
  const { slot, attempt } = batch
  return encodeOutcome({ status, slot, attempt, elapsedMs, startedAt: Date.now() - elapsedMs }, payload)
}

/** User code shares the thread, and may post messages of its own. */
function isFromWorker(message: unknown): message is FromWorker {
  return typeof message === 'object' && message !== null && (message as FromWorker).kind === 'ended'
}

/** It also shares the memory, and may write there what it likes. */
function isReport({ positions, ends, body }: FromWorker, { claims }: Run): boolean {
  const areArrays = [positions, ends].every((array) => array instanceof Uint32Array)
  if (!areArrays || !(body instanceof Uint8Array)) return false
  return isSound({ node: '', indexes: positions, ends, body }, claims.length)
}
