/**
 * The thread behind a blocking client: the asynchronous client lives here, and answers a caller who sleeps.
 *
 * Not here: how the caller waits (channel.ts), what it holds (stubs.ts), and what travels for what (crossing.ts). No code of the
 * user runs in this thread.
 * It does nothing that the asynchronous client does not do: each question is one call of an object of it, each answer what
 * that gave.
 */
import { once } from 'node:events'
import { type MessagePort, Worker, workerData } from 'node:worker_threads'
import { ShoalError } from '../../errors.ts'
import { keyOfText } from '../../node/key.ts'
import { moduleFunction } from '../functions.ts'
import { call as graphCall, ref } from '../graph.ts'
import { type ConnectOptions, connect } from '../remote.ts'
import { Reference } from '../views/reference.ts'
import { pack, unpack } from './crossing.ts'
import { echo, isAudible } from './echo.ts'
import { packError, unpackError } from './failures.ts'
import { Iterations } from './iterations.ts'
import { Objects } from './objects.ts'
import {
  type Ask,
  CELL,
  type FromHost,
  type Opening,
  type Packed,
  type Page,
  root,
  type SentPage,
  type Special,
  type ToHost
} from './protocol.ts'

/** Calls of listeners that wait for their thread; beyond it the oldest are not made. */
const unheardMax = 1_024
/** These give work that others began, or that is gone through item by item, and do not wait for it. */
const finders = ['job', 'task', 'imap']

type Invoke = Extract<FromHost, { kind: 'invoke' }>
/** Work that a call waits for, in the words of handles and of AsyncResults. */
interface Endless {
  readonly cancel?: () => Promise<void>
  readonly abort?: () => Promise<void>
}

const { cells: memory, options, keyText, output, port } = workerData as Opening & { port: MessagePort }
const cells = new Int32Array(memory)
const objects = new Objects()
const iterations = new Iterations()
const pulls = new Map<number, (pulled: Extract<ToHost, { kind: 'pulled' }>) => void>()
const invocations = new Map<number, PromiseWithResolvers<unknown>>()
/** What each open call waits for, and how to end that if its caller is interrupted. */
const open = new Map<number, (() => Promise<unknown>) | undefined>()
/** What ends the echo of what is gone through. */
const echoes = new Map<number, () => void>()
/** What the caller's functions are to be told while it does not wait. */
const unheard: Invoke[] = []
let lastInvocation = 0
/** The caller keeps a function for as long as it may be called. */
const uncalled = new FinalizationRegistry<number>((callback) => say({ kind: 'uncalled', callback }))

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
  switch (message.kind) {
    case 'pulled':
      return pulls.get(message.source)?.(message)
    case 'invoked':
      return invoked(message)
    case 'abandoned':
      // Ctrl-C in a REPL: what only the interrupted call waited for is not wanted any more.
      open
        .get(message.call)?.()
        .catch(() => {})
      return
    case 'ask':
      return void answer(message.call, message.ask)
  }
})

function say(message: FromHost): void {
  port.postMessage(message)
  Atomics.add(cells, CELL.said, 1)
  Atomics.notify(cells, CELL.said)
}

async function answer(call: number, ask: Ask): Promise<void> {
  open.set(call, undefined)
  for (const message of unheard.splice(0)) say(message)
  try {
    const value = await perform(ask, call)
    say({ kind: 'answer', call, value })
  } catch (error) {
    say({ kind: 'failed', call, error: packError(error) })
  } finally {
    open.delete(call)
  }
}

async function perform(ask: Ask, call: number): Promise<Packed> {
  switch (ask.verb) {
    case 'open': {
      const key = keyText === undefined ? {} : { key: keyOfText(keyText) }
      const client = await connect({ ...options, ...key } as ConnectOptions)
      // From the first answer on the caller relies on it.
      await beats
      return packed(client)
    }
    case 'call':
      return settled(called(ask), ask, call, ask.on === root && ask.name === 'run')
    case 'read':
      return settled(fieldsOf(ask.on)[ask.name], { ...ask, waits: true }, call)
    case 'iterate':
      return packed(begun(objects.at(ask.on) as AsyncIterable<unknown>))
    case 'next':
      open.set(call, () => {
        endEcho(ask.iteration)
        return iterations.leave(ask.iteration)
      })
      return pageOf(await nextOf(ask.iteration, ask.most))
    case 'leave':
      endEcho(ask.iteration)
      return packed(await iterations.leave(ask.iteration))
    case 'drop':
      return packed(objects.drop(ask.id, ask.times))
  }
}

const fieldsOf = (id: number): Record<string, unknown> => objects.at(id) as Record<string, unknown>

function called({ on, name, args }: Extract<Ask, { verb: 'call' }>): unknown {
  const given = unpack(args, restored) as unknown[]
  const object = objects.at(on)
  return typeof object === 'function'
    ? (object as (...args: unknown[]) => unknown)(...given)
    : (fieldsOf(on)[name] as (...args: unknown[]) => unknown).apply(object, given)
}

/** A promise is waited for; work that was begun, too, unless its handle is wanted. */
async function settled(
  result: unknown,
  { name, waits }: { readonly name: string; readonly waits: boolean },
  call: number,
  isProgram = false
): Promise<Packed> {
  if (result instanceof Promise) return packed(await result)
  const isWork = typeof result === 'object' && result !== null && 'then' in result
  if (!isWork || !waits || finders.includes(name)) return packed(result)
  const work = result as PromiseLike<unknown> & Endless
  open.set(call, async () => (work.cancel ?? work.abort)?.call(work))
  // What a program prints is its result.
  const stop = output && !isProgram && isAudible(result) ? echo(result) : undefined
  try {
    return packed(await work)
  } finally {
    stop?.()
  }
}

function begun(work: AsyncIterable<unknown>): number {
  const iteration = iterations.begin(work)
  if (output && isAudible(work)) echoes.set(iteration, echo(work))
  return iteration
}

async function nextOf(iteration: number, most: number): Promise<Page<unknown, Error>> {
  const page = await iterations.next(iteration, most)
  if (page.isDone || page.error !== undefined) endEcho(iteration)
  return page
}

function endEcho(iteration: number): void {
  echoes.get(iteration)?.()
  echoes.delete(iteration)
}

const packed = (value: unknown): Packed => pack(value, objects.search)

function pageOf({ values, isDone, error }: Page<unknown, Error>): Packed {
  const page: SentPage = { values: values.map(packed), isDone, error: error && packError(error) }
  return { value: page, gaps: [], aggregates: [] }
}

function restored(special: Special): unknown {
  switch (special.kind) {
    case 'object':
    case 'handed':
      return objects.at(special.id)
    case 'function':
      return standIn(special)
    case 'module':
      return moduleFunction(special.file, special.exportName)
    case 'call': {
      const [fn, args, more] = unpack(special.parts, restored) as Parameters<typeof graphCall>
      return graphCall(fn, args, more)
    }
    case 'ref':
      return ref(special.name)
    case 'reference':
      return new Reference(special.name)
    case 'url':
      return new URL(special.text)
    case 'source':
      return pulled(special)
    case 'error':
      return unpackError(special.error)
  }
}

/** It is packed for engines by its name and its text; called, it is called on the thread of its caller. */
function standIn({ name, text, callback }: Extract<Special, { kind: 'function' }>): object {
  const stand = (...args: unknown[]): Promise<unknown> => invoke(callback, args)
  if (callback !== undefined) uncalled.register(stand, callback)
  return Object.defineProperties(stand, { name: { value: name }, toString: { value: () => text } })
}

function invoke(callback: number | undefined, args: readonly unknown[]): Promise<unknown> {
  if (callback === undefined) throw new Error('a function for engines is not called by the client')
  const invocation = ++lastInvocation
  const result = Promise.withResolvers<unknown>()
  invocations.set(invocation, result)
  // Nobody waits for what a listener gives.
  result.promise.catch(() => {})
  const message: Invoke = { kind: 'invoke', callback, invocation, args: packed(args) }
  if (open.size > 0) say(message)
  else unheard.push(message)
  if (unheard.length > unheardMax) {
    const text = `more than ${unheardMax} calls wait for the thread of the blocking client; call something that waits`
    const { invocation: oldest } = unheard.shift() as Invoke
    invocations.get(oldest)?.reject(new ShoalError('SHOAL_BUSY', text))
    invocations.delete(oldest)
  }
  return result.promise
}

function invoked({ invocation, value, error }: Extract<ToHost, { kind: 'invoked' }>): void {
  const result = invocations.get(invocation)
  invocations.delete(invocation)
  if (error === undefined) result?.resolve(unpack(value, restored))
  else result?.reject(unpackError(error))
}

async function* pulled({ source, most }: Extract<Special, { kind: 'source' }>): AsyncGenerator<unknown> {
  let isAtEnd = false
  try {
    while (!isAtEnd) {
      const { promise, resolve } = Promise.withResolvers<Extract<ToHost, { kind: 'pulled' }>>()
      pulls.set(source, resolve)
      say({ kind: 'pull', source, most })
      const { values, isDone, error } = await promise
      isAtEnd = isDone
      for (const value of values) yield unpack(value, restored)
      if (error !== undefined) throw unpackError(error)
    }
  } finally {
    pulls.delete(source)
    if (!isAtEnd) say({ kind: 'enough', source })
  }
}
