/**
 * The thread behind a blocking client: the asynchronous client lives here, and answers a caller who sleeps.
 *
 * Not here: how the caller waits (channel.ts) and what it calls (sync.ts). No code of the user runs in this thread.
 * It does nothing that the asynchronous client does not do: each question is one call of it, each answer what that gave.
 */
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type MessagePort, Worker, workerData } from 'node:worker_threads'
import { type RunMetadata, ShoalError } from '../../errors.ts'
import { keyOfText } from '../../node/key.ts'
import { type ModuleFunction, moduleFunction, type PlainFunction } from '../functions.ts'
import { type ConnectOptions, connect } from '../remote.ts'
import type { Client, JobHandle, TaskHandle } from '../types.ts'
import { packError, unpackError } from './failures.ts'
import {
  type Ask,
  CELL,
  type FromHost,
  type Look,
  type Opening,
  type Page,
  type SentFunction,
  type SentInputs,
  type ToHost
} from './protocol.ts'

/** Inputs that are asked for at a time. */
const pullMost = 512

interface Held {
  readonly handle: JobHandle<unknown> | TaskHandle<unknown>
  /** The value, once somebody asked for it; from then on it is iterated from here. */
  value: Promise<unknown> | undefined
  told: number
  results: AsyncIterator<unknown> | undefined
  /** Asked of `results`, and not told yet. */
  coming: Promise<IteratorResult<unknown>> | undefined
}

const { cells: memory, options, keyText, port } = workerData as Opening & { port: MessagePort }
const cells = new Int32Array(memory)
const held = new Map<number, Held>()
const pulls = new Map<number, (pulled: Extract<ToHost, { kind: 'pulled' }>) => void>()
/** Work that a call waits for, for the case that its caller is interrupted. */
const awaited = new Map<number, Held['handle']>()
let client: Client | undefined

const pulseFile = new URL(import.meta.url.endsWith('.ts') ? './pulse.ts' : './pulse.js', import.meta.url)
const pulse = new Worker(pulseFile, { workerData: memory })
const beats = once(pulse, 'message')
// Without its pulse this thread would be taken for lost.
pulse.on('exit', () => process.exit())
process.on('exit', () => {
  Atomics.store(cells, CELL.ended, 1)
  Atomics.notify(cells, CELL.said)
})
port.on('message', (message: ToHost) => {
  if (message.kind === 'pulled') pulls.get(message.source)?.(message)
  else if (message.kind === 'abandoned') abandon(message.call)
  else void answer(message.call, message.ask)
})

function say(message: FromHost): void {
  port.postMessage(message)
  Atomics.add(cells, CELL.said, 1)
  Atomics.notify(cells, CELL.said)
}

async function answer(call: number, ask: Ask): Promise<void> {
  try {
    const value = await perform(ask, call)
    say({ kind: 'answer', call, value })
  } catch (error) {
    say({ kind: 'failed', call, error: packError(error) })
  } finally {
    awaited.delete(call)
  }
}

/** Ctrl-C in a REPL: what only the interrupted call waited for is not wanted any more. */
function abandon(call: number): void {
  awaited
    .get(call)
    ?.cancel()
    .catch(() => {})
}

async function perform(ask: Ask, call: number): Promise<unknown> {
  if (ask.verb === 'open') {
    const key = keyText === undefined ? {} : { key: keyOfText(keyText) }
    client = await connect({ ...options, ...key } as ConnectOptions)
    // From the first answer on the caller relies on it.
    await beats
    return undefined
  }
  const mesh = opened()
  switch (ask.verb) {
    case 'submit':
      return begun(ask, call, mesh.submit(functionOf(ask.fn) as ModuleFunction, ask.args, ask.options))
    case 'map':
      return begun(
        ask,
        call,
        mesh.map(functionOf(ask.fn) as ModuleFunction, inputsOf(ask.inputs), ask.options)
      )
    case 'job':
      return begun(ask, call, mesh.job(ask.id, ask.options))
    case 'get':
      return get(ask.handle, ask.timeout)
    case 'wait':
      return wait(ask.handle, ask.timeout)
    case 'next':
      return next(heldBy(ask.handle), ask.isOrdered, ask.most)
    case 'look':
      return look(heldBy(ask.handle))
    case 'metadata':
      return metadataOf(heldBy(ask.handle), ask.index)
    case 'status':
      return heldBy(ask.handle).handle.status()
    case 'cancel':
      return heldBy(ask.handle).handle.cancel()
    case 'release':
      return heldBy(ask.handle).handle.release()
    case 'drop':
      for (const handle of ask.handles) held.delete(handle)
      return undefined
    case 'members':
      return mesh.members()
    case 'jobs':
      return mesh.jobs()
    case 'mesh-status':
      return mesh.status()
    case 'drain':
      return mesh.drain(ask.node)
    case 'close':
      return mesh.close()
  }
}

function opened(): Client {
  if (client === undefined) throw new ShoalError('SHOAL_CLOSED', 'the client has not been opened')
  return client
}

function begun(
  { handle: number }: { handle: number | undefined },
  call: number,
  handle: Held['handle']
): PromiseLike<unknown> | string {
  if (number === undefined) {
    awaited.set(call, handle)
    return handle
  }
  held.set(number, { handle, value: undefined, results: undefined, coming: undefined, told: 0 })
  return handle.id
}

function heldBy(number: number): Held {
  const one = held.get(number)
  if (one === undefined) throw new ShoalError('SHOAL_CLOSED', 'this handle was let go')
  return one
}

function wholeOf(one: Held): Promise<unknown> {
  one.value ??= Promise.resolve(one.handle as PromiseLike<unknown>)
  return one.value
}

async function get(number: number, timeout: number | undefined): Promise<unknown> {
  const one = heldBy(number)
  if (!(await isEnded(one, timeout))) {
    const text = `job ${one.handle.id} has not ended after ${timeout} ms; it goes on, and may be asked again`
    throw new ShoalError('SHOAL_TIMEOUT', text)
  }
  return wholeOf(one)
}

const wait = (number: number, timeout: number | undefined): Promise<boolean> =>
  isEnded(heldBy(number), timeout)

async function isEnded(one: Held, timeout: number | undefined): Promise<boolean> {
  const end = wholeOf(one).then(
    () => true,
    () => true
  )
  if (timeout === undefined) return end
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, timeout, false)
  try {
    return await Promise.race([end, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The first result is waited for; those that are there already come along. */
async function next(one: Held, isOrdered: boolean, most: number): Promise<Page> {
  if (one.value !== undefined) return pageOf(one, most)
  const job = one.handle as JobHandle<unknown>
  one.results ??= isOrdered ? job[Symbol.asyncIterator]() : job.asCompleted()[Symbol.asyncIterator]()
  const { results } = one
  const values: unknown[] = []
  try {
    while (values.length < most) {
      one.coming ??= results.next()
      const { coming } = one
      const step = await (values.length === 0 ? coming : Promise.race([coming, nextTurn(undefined)]))
      if (step === undefined) break
      one.coming = undefined
      if (step.done) return { values, isDone: true, error: undefined }
      values.push(plain(step.value, isOrdered))
    }
  } catch (error) {
    return { values, isDone: true, error: packError(error) }
  }
  return { values, isDone: false, error: undefined }
}

async function pageOf(one: Held, most: number): Promise<Page> {
  try {
    const all = (await one.value) as readonly unknown[]
    const values = all.slice(one.told, one.told + most)
    one.told += values.length
    return { values, isDone: one.told >= all.length, error: undefined }
  } catch (error) {
    return { values: [], isDone: true, error: packError(error) }
  }
}

/** Of results as they are completed, the error is copied as what it is. */
function plain(value: unknown, isOrdered: boolean): unknown {
  if (isOrdered || typeof value !== 'object' || value === null || !('error' in value)) return value
  return { ...value, error: packError(value.error) }
}

async function look(one: Held): Promise<Look> {
  const { handle } = one
  const { state, done, total, failed } = await handle.status()
  const isReady = state === 'done' || state === 'cancelled'
  const isSuccessful = state === 'done' && failed === 0
  return { isReady, isSuccessful, progress: { done, total, failed } }
}

function metadataOf({ handle }: Held, index: number): RunMetadata | undefined {
  return typeof handle.metadata === 'function' ? handle.metadata(index) : handle.metadata
}

function functionOf(sent: SentFunction): PlainFunction | ModuleFunction {
  if (sent.kind === 'module') return moduleFunction(sent.file, sent.exportName)
  // It is packed by its name and its text, and never called here.
  const stand = (): never => unpackable()
  Object.defineProperties(stand, { name: { value: sent.name }, toString: { value: () => sent.text } })
  return stand
}

function unpackable(): never {
  throw new Error('a function of the caller is not called in the host')
}

function inputsOf(sent: SentInputs): Iterable<unknown> | AsyncIterable<unknown> {
  return sent.kind === 'all' ? sent.values : pulled(sent.source)
}

async function* pulled(source: number): AsyncGenerator<unknown> {
  let isAtEnd = false
  try {
    while (!isAtEnd) {
      const { promise, resolve } = Promise.withResolvers<Extract<ToHost, { kind: 'pulled' }>>()
      pulls.set(source, resolve)
      say({ kind: 'pull', source, most: pullMost })
      const { values, isDone, error } = await promise
      isAtEnd = isDone
      if (error !== undefined) throw unpackError(error)
      yield* values
    }
  } finally {
    pulls.delete(source)
    if (!isAtEnd) say({ kind: 'enough', source })
  }
}
