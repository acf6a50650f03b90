/**
 * One engine: a thread that takes batches, calls the user's function task by task, and sends outcomes back in bulk.
 *
 * Not here: timeouts, cancelling, and what becomes of a dead engine (pool.ts); the thread is never asked, only overruled.
 * Everything paid per task is a claim, a clock reading and a copy to the desk; messages are paid per 5 ms or per batch.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { pathToFileURL } from 'node:url'
import type { MessagePort } from 'node:worker_threads'
import { parentPort, workerData } from 'node:worker_threads'
import type { ErrorCode } from '../../errors.ts'
import { ShoalError } from '../../errors.ts'
import { type ShardKey, shardName, taskId } from '../../ids.ts'
import { assert } from '../../machine.ts'
import type { OutcomeHeader, Status } from '../batch.ts'
import { encodeOutcome, OUTCOME_HEADER_BYTES, STATUS, valueAt, writeOutcomeHeader } from '../batch.ts'
import { decodeArgs, encodeValue } from './codec.ts'
import { encodeFailure, failureOf } from './failure.ts'
import type { FromWorker, ToWorker, WorkerData } from './protocol.ts'
import { CLAIM, openDesk, outcomesOnDeskMax, readDesk, sharedMillis, swapClaim } from './protocol.ts'

/** Ended tasks are reported at most this late, as long as the thread gets to it. */
const FLUSH_EVERY_MS = 5

interface Origin {
  readonly task: string
}
type UserFunction = (...args: unknown[]) => unknown
/** A module that failed to load fails the same way for all of its tasks. */
type Loaded = { fn: UserFunction } | { error: unknown }

assert(parentPort !== null, 'worker.ts runs as a worker only')
const port: MessagePort = parentPort
const { slot, engine, desk: memory } = workerData as WorkerData
const desk = openDesk(memory)
const loaded = new Map<string, Loaded>()
const queue: ToWorker[] = []
let isBusy = false
let flushedAt = 0
let isFlushAhead = false
// User code may replace the global by a fake.
const startTimer = setTimeout
/** Whose code is running: whatever a task leaves behind, timers and promises, carries its name. */
const origin = new AsyncLocalStorage<Origin>()
/** The task that runs now. */
let running: Origin | undefined

/** The task that runs now. */
export const current = { key: '', index: -1, attempt: 0, engine }

// What an ended task left behind must not cost its neighbours their engine. What the running one does outside of its
// promise, or nobody in particular, ends the engine like any uncaught exception.
process.on('uncaughtException', (error) => {
  const culprit = origin.getStore()
  if (culprit === undefined || culprit === running) throw error
  console.error(`${culprit.task} threw after it had ended, which changes nothing:`, error)
})
const exit = process.exit
process.exit = (code) => {
  const culprit = origin.getStore()
  if (culprit === undefined || culprit === running) return exit(code)
  throw new Error('process.exit() was called after the end of its task')
}

port.on('message', (message: ToWorker) => {
  queue.push(message)
  if (!isBusy) void drain()
})

async function drain(): Promise<void> {
  isBusy = true
  for (let next = queue.shift(); next; next = queue.shift()) await work(next)
  isBusy = false
}

async function work(run: ToWorker): Promise<void> {
  const inputs = { node: '', indexes: run.indexes, ends: run.ends, body: run.body } as const
  let now = sharedMillis()
  const wallClock = Date.now() - now
  desk.clock[1] = run.run
  flushedAt = now
  let module: Loaded | undefined
  for (let at = 0; at < run.indexes.length; at++) {
    const startedAt = now
    // Written before the claim: the pool reads the claim first, and so never mistakes an earlier start for this one.
    desk.clock[0] = startedAt
    if (!swapClaim(run.claims, at, CLAIM.unstarted, CLAIM.running)) continue
    current.key = run.key
    current.index = run.first + (run.indexes[at] as number)
    current.attempt = run.attempt
    running = new Started(run.key, current.index)
    origin.enterWith(running)
    let status: Status = STATUS.ok
    let payload: Uint8Array
    let blame: ErrorCode = 'SHOAL_BAD_FUNCTION'
    try {
      // Loading is part of the first task, so that a module that hangs or exits meets the timeout and is held to account.
      module ??= await load(run)
      if ('error' in module) throw module.error
      blame = 'SHOAL_BAD_VALUE'
      const args = decodeArgs(valueAt(inputs, at))
      blame = 'TASK_FAILED'
      // Without the module as its `this`.
      const { fn } = module
      let result = fn(...args)
      // Awaiting costs a turn of the microtask queue; most fine-grained tasks are synchronous.
      if (isThenable(result)) result = await patiently(result)
      blame = 'SHOAL_BAD_VALUE'
      payload = encodeValue(result, 'result')
    } catch (thrown) {
      status = STATUS.error
      payload = encodeFailure(failureOf(thrown, blame))
    }
    running = undefined
    now = sharedMillis()
    const header = {
      status,
      slot,
      attempt: run.attempt,
      elapsedMs: now - startedAt,
      startedAt: wallClock + startedAt
    }
    report(run, at, header, payload)
    if (now - flushedAt >= FLUSH_EVERY_MS) flush(now)
  }
  flush(now)
}

/** Its name is put together only if somebody asks: there are many tasks, and few that throw late. */
class Started implements Origin {
  readonly #key: ShardKey
  readonly #index: number

  constructor(key: ShardKey, index: number) {
    this.#key = key
    this.#index = index
  }

  get task(): string {
    return taskId(shardName(this.#key).job, this.#index)
  }
}

/** Imports once per file and export. Never throws. */
async function load({ file, exportName }: ToWorker): Promise<Loaded> {
  const name = `${exportName} of ${file}`
  const before = loaded.get(name)
  if (before) return before
  const result = await importExport(file, exportName).catch((error: unknown) => ({ error }))
  loaded.set(name, result)
  return result
}

async function importExport(file: string, exportName: string): Promise<Loaded> {
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>
  const fn = module[exportName]
  if (typeof fn === 'function') return { fn: fn as UserFunction }
  const message = `the module's export \`${exportName}\` is ${fn === undefined ? 'missing' : `a ${typeof fn}`}, not a function`
  throw new ShoalError('SHOAL_BAD_FUNCTION', message)
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}

/** Awaits, and meanwhile sends what ended before. */
function patiently(result: PromiseLike<unknown>): PromiseLike<unknown> {
  if (isFlushAhead) return result
  isFlushAhead = true
  startTimer(() => {
    isFlushAhead = false
    flush(sharedMillis())
  }, FLUSH_EVERY_MS)
  return result
}

/** Puts an outcome on the desk, or sends it if it is too large for that. */
function report(run: ToWorker, at: number, header: OutcomeHeader, payload: Uint8Array): void {
  const size = OUTCOME_HEADER_BYTES + payload.byteLength
  let count = desk.count[0] as number
  let used = count === 0 ? 0 : (desk.ends[count - 1] as number)
  if (count === outcomesOnDeskMax || used + size > desk.body.byteLength) {
    flush(sharedMillis())
    count = used = 0
  }
  if (!swapClaim(run.claims, at, CLAIM.running, CLAIM.ended)) park()
  if (size > desk.body.byteLength) {
    const body = encodeOutcome(header, payload)
    send({ kind: 'ended', run: run.run, positions: Uint32Array.of(at), ends: Uint32Array.of(size), body })
    return
  }
  writeOutcomeHeader(desk.body.subarray(used, used + size), header)
  desk.body.set(payload, used + OUTCOME_HEADER_BYTES)
  desk.positions[count] = at
  desk.ends[count] = used + size
  desk.count[0] = count + 1
}

function flush(now: number): void {
  flushedAt = now
  if (desk.count[0] === 0) return
  send(readDesk(desk))
  desk.count[0] = 0
}

function send(message: FromWorker): void {
  port.postMessage(message, [message.body.buffer as ArrayBuffer])
}

/** The pool took the task while it ran: this thread is to die, and must not start another task before it does. */
function park(): never {
  for (;;) Atomics.wait(desk.count, 0, desk.count[0] as number)
}
