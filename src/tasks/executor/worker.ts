/**
 * One engine from inside: takes batches, calls the user's function task by task, and tells outcomes in bulk.
 *
 * Not here: how it speaks with its pool (engine.ts), timeouts, cancelling, and what becomes of a dead engine (pool.ts); an
 * engine is never asked, only overruled.
 * Everything paid per task is a claim, a clock reading and a copy to the desk; messages are paid per 5 ms or per batch.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { registerHooks, setSourceMapsSupport } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import type { ErrorCode } from '../../errors.ts'
import { ShoalError } from '../../errors.ts'
import { takeMemory } from '../../spent.ts'
import type { Status } from '../batch.ts'
import { STATUS, valueAt } from '../batch.ts'
import { ChildPort } from './child-port.ts'
import { encodeValue, type ReadData } from './codec.ts'
import { Context, interruption, origin } from './context.ts'
import type { Port } from './engine.ts'
import { encodeFailure, failureOf, interrupted } from './failure.ts'
import { readArgs } from './gaps.ts'
import { ear, type Told } from './guest.ts'
import { loadPlain, plainExport, type UserFunction } from './plain.ts'
import { catchPrints } from './prints.ts'
import type { RunOrder, ToWorker, WorkerData } from './protocol.ts'
import { sharedMillis } from './protocol.ts'
import { ThreadPort } from './thread-port.ts'

/** Ended tasks are reported at most this late, as long as the thread gets to it. */
const FLUSH_EVERY_MS = 5

/** A module that failed to load fails the same way for all of its tasks. */
type Loaded = { fn: UserFunction } | { error: unknown }

const port: Port =
  parentPort === null
    ? new ChildPort(process.argv.slice(2))
    : new ThreadPort(parentPort, workerData as WorkerData)
const { slot } = port
// Stacks are to point into the files that people wrote.
setSourceMapsSupport(true)
const loaded = new Map<string, Loaded>()
const queue: RunOrder[] = []
let isBusy = false
let flushedAt = 0
let isFlushAhead = false
// User code may replace the global by a fake.
const startTimer = setTimeout
/** The task that runs now. */
let running: Context | undefined

catchPrints()
// Bundles leave these out: there is one of each in an engine.
const isSource = import.meta.url.endsWith('.ts')
const ours = new Map([
  ['shoal', new URL(isSource ? '../../index.ts' : './index.js', import.meta.url).href],
  ['shoal/task', new URL(isSource ? '../../task.ts' : './task.js', import.meta.url).href]
])
registerHooks({
  resolve: (specifier, context, next) => {
    const url = ours.get(specifier)
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true }
  }
})

// What an ended task left behind must not cost its neighbours their engine. What the running one does outside of its
// promise, or nobody in particular, ends the engine like any uncaught exception.
process.on('uncaughtException', (error) => {
  const culprit = origin.getStore()
  if (culprit === undefined || culprit === running) port.die(uncaught(error))
  console.error(`${culprit.task} threw after it had ended, which changes nothing:`, error)
})
/** For who reads what the engine died of: that it was thrown is not yet why. */
function uncaught(error: unknown): Error {
  const [name, message] = error instanceof Error ? [` ${error.name}`, error.message] : ['', String(error)]
  const told = Object.assign(new Error(message), { name: `Uncaught${name}` })
  if (error instanceof Error && error.stack !== undefined) told.stack = error.stack
  return told
}
const exit = process.exit
process.exit = (code) => {
  const culprit = origin.getStore()
  if (culprit === undefined || culprit === running) return exit(code)
  throw new Error('process.exit() was called after the end of its task')
}

port.listen((message) => {
  if (message.kind === 'told' || message.kind === 'done') return ear.hear?.(message)
  if (message.kind !== 'run') return tell(message)
  queue.push(message)
  if (!isBusy) void drain()
})

function tell({ kind, run, position }: Exclude<ToWorker, { kind: 'run' | Told['kind'] }>): void {
  if (running?.run !== run || running.position !== position) return
  if (kind === 'resume') return running.resume()
  if (kind === 'interrupt') return running.interrupt()
  running.abort(new ShoalError('SHOAL_CANCELLED', 'the task was cancelled'))
}

async function drain(): Promise<void> {
  isBusy = true
  for (let next = queue.shift(); next; next = queue.shift()) await work(next)
  isBusy = false
}

async function work(run: RunOrder): Promise<void> {
  const inputs = { node: '', indexes: run.indexes, ends: run.ends, body: run.body } as const
  let now = sharedMillis()
  flushedAt = now
  let module: Loaded | undefined
  const read: ReadData = (id) => readData(join(run.dataFolder, id))
  for (let at = 0; at < run.indexes.length; at++) {
    const startedAt = now
    const isOurs = port.begin(run, at, startedAt)
    // Awaited only where it must be: most tasks take microseconds.
    if (isOurs !== true && !(await isOurs)) continue
    running = new Context(run, at, port, startedAt)
    origin.enterWith(running)
    let status: Status = STATUS.ok
    let payload: Uint8Array
    let blame: ErrorCode = 'SHOAL_BAD_FUNCTION'
    try {
      // Loading is part of the first task, so that a module that hangs or exits meets the timeout and is held to account.
      module ??= await load(run)
      if ('error' in module) throw module.error
      blame = 'SHOAL_BAD_VALUE'
      const args = readArgs(valueAt(inputs, at), read)
      blame = 'TASK_FAILED'
      // Without the module as its `this`.
      const { fn } = module
      let result = fn(...args)
      // Awaiting costs a turn of the microtask queue; most fine-grained tasks are synchronous.
      if (isThenable(result)) result = await running.orInterrupted(patiently(result))
      if (isGenerator(result)) result = await running.orInterrupted(patiently(Array.fromAsync(result)))
      blame = 'SHOAL_BAD_VALUE'
      payload = encodeValue(result, 'result')
    } catch (thrown) {
      // An earlier task has opened them all: this one has nothing to do with it, nor have those that come after it.
      if (blame !== 'TASK_FAILED' && isOutOfFiles(thrown)) port.die(thrown)
      status = STATUS.error
      payload = encodeFailure(thrown === interruption ? interrupted(port.engine) : failureOf(thrown, blame))
    }
    running.end()
    running = undefined
    now = sharedMillis()
    const header = {
      status,
      slot,
      attempt: run.attempt,
      elapsedMs: now - startedAt,
      startedAt: run.wallZero + startedAt
    }
    port.end(run, at, header, payload)
    if (now - flushedAt >= FLUSH_EVERY_MS) flush(now)
  }
  flush(now)
}

/** Data that the node has brought here and checked. */
function readData(path: string): Uint8Array {
  const file = openSync(path, 'r')
  try {
    const bytes = takeMemory(fstatSync(file).size)
    for (let at = 0; at < bytes.byteLength; ) {
      const count = readSync(file, bytes, at, bytes.byteLength - at, at)
      if (count === 0) throw new Error(`${path} ends at byte ${at}, and had ${bytes.byteLength}`)
      at += count
    }
    return bytes
  } finally {
    closeSync(file)
  }
}

/** Imports once per file and export what is not evaluated. Never throws. */
async function load({ file, exportName }: RunOrder): Promise<Loaded> {
  const name = `${exportName} of ${file}`
  const before = loaded.get(name)
  if (before) return before
  const plain = exportName === plainExport ? compiled(file) : undefined
  if (plain !== undefined) return plain
  const result = await importExport(file, exportName).catch((error: unknown) => ({ error }))
  loaded.set(name, result)
  return result
}

function compiled(file: string): Loaded | undefined {
  try {
    const fn = loadPlain(file)
    return fn && { fn }
  } catch (error) {
    return { error }
  }
}

async function importExport(file: string, exportName: string): Promise<Loaded> {
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>
  const fn = module[exportName]
  if (typeof fn === 'function') return { fn: fn as UserFunction }
  const message = `the module's export \`${exportName}\` is ${fn === undefined ? 'missing' : `a ${typeof fn}`}, not a function`
  throw new ShoalError('SHOAL_BAD_FUNCTION', message)
}

const isOutOfFiles = (thrown: unknown): boolean =>
  ['EMFILE', 'ENFILE'].includes(String((thrown as { code?: unknown } | null | undefined)?.code))

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}

/** A generator stays where it is; what it yields travels. */
function isGenerator(value: unknown): value is Generator | AsyncGenerator {
  if (typeof value !== 'object' || value === null) return false
  const tag = (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag]
  return tag === 'Generator' || tag === 'AsyncGenerator'
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

function flush(now: number): void {
  flushedAt = now
  port.flush()
}
