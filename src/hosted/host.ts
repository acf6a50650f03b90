/**
 * The thread behind an app: its node lives here, or the connections of its client, so that neither waits for what the app does.
 *
 * Not here: the app's end (thread.ts), and anything that a node or a client decides. No code of the user runs in this thread;
 * what it throws ends it, and the app is told so.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { ClientData } from '../client/data.ts'
import { LocalLine } from '../client/local.ts'
import { RemoteLine } from '../client/remote.ts'
import { packError, unpackError } from '../client/sync/failures.ts'
import { ShoalError } from '../errors.ts'
import { keyOfText, type MeshKey } from '../node/key.ts'
import { type OpenNode, openNode } from '../node/node.ts'
import type { Probe } from '../node/probe.ts'
import { Porter, type PorterOptions } from './porter.ts'
import { DataThrough } from './through.ts'
import type { Answer, Call, Facts, FromHost, HostData, Question, ToHost } from './words.ts'

/** Between two looks at what the app is told of its node unasked. */
const factsEveryMs = 1_000
/** A probe that says nothing for so long sees nothing. */
const probeWithinMs = 5_000
/** As much is moved to the app, and not copied. */
const movedBytesMin = 64 << 10

const unheard = new Int32Array((workerData as HostData).unheard)
const asked = new Map<number, PromiseWithResolvers<unknown>>()
const aborts = new Map<number, AbortController>()
let questions = 0
let porter: Porter | undefined
let opened: OpenNode | undefined

parentPort?.on('message', (message: ToHost) => {
  switch (message.kind) {
    case 'says':
    case 'errand':
      return porter?.heard(message)
    case 'call':
      return void answer(message.call, message.of)
    case 'abort':
      return aborts.get(message.call)?.abort()
    case 'learn':
      return porter?.line.learn(message.addresses)
    case 'news':
      return opened?.driver.offers.tell(message.news)
    case 'answer':
      return answered(message)
  }
})

function say(message: FromHost): void {
  const bytes =
    message.kind === 'told' ? message.parts : message.kind === 'done' ? [message.value] : ([] as unknown[])
  parentPort?.postMessage(
    message,
    bytes.flatMap((one) => (isOwn(one) ? [one.buffer] : []))
  )
}

/** Nobody else has a window on its buffer. */
function isOwn(value: unknown): value is Uint8Array<ArrayBuffer> {
  if (!(value instanceof Uint8Array) || value.byteLength < movedBytesMin) return false
  return value.byteLength === value.buffer.byteLength
}

async function answer(to: number, call: Call): Promise<void> {
  const abort = new AbortController()
  aborts.set(to, abort)
  try {
    const value = await perform(call, abort.signal)
    say({ kind: 'answer', to, value, error: undefined })
  } catch (error) {
    say({ kind: 'answer', to, value: undefined, error: packError(error) })
  } finally {
    aborts.delete(to)
  }
}

async function perform(call: Call, signal: AbortSignal): Promise<unknown> {
  switch (call.verb) {
    case 'begin-node':
      return beginNode(call)
    case 'begin-client':
      return beginClient(call)
    case 'open':
      return porter?.line.open(signal)
    case 'leave':
      return porter?.line.leave()
    case 'close':
      return porter?.line.close()
    case 'drain':
      return opened?.node.drain({ timeout: call.timeout })
    case 'stop':
      return opened?.node.stop()
  }
}

async function beginNode({
  keyText,
  options,
  hasProbe
}: Extract<Call, { verb: 'begin-node' }>): Promise<string> {
  const probe = hasProbe ? { probe: farProbe } : {}
  const onNote = (text: string): void => say({ kind: 'note', text })
  opened = await openNode({ ...options, ...probe, key: keyOf(keyText), onNote })
  const { node, driver } = opened
  driver.offers.elsewhere = (name) => say({ kind: 'pull', name })
  porter = new Porter({
    ...carrying,
    openLine: (events) => new LocalLine(driver, events),
    dataOf: () => driver.data
  })
  tellFacts('')
  void node.stopped.then(() => say({ kind: 'stopped' }))
  return node.id
}

function beginClient({ keyText, search }: Extract<Call, { verb: 'begin-client' }>): void {
  porter = new Porter({
    ...carrying,
    openLine: (events) => new RemoteLine(keyOf(keyText), search, events),
    dataOf: (line) => new DataThrough(new ClientData({ door: line.data, attached: carrying.attach }))
  })
}

const carrying: Pick<PorterOptions, 'say' | 'attach' | 'unheard'> = {
  say,
  unheard,
  attach: async () => void (await ask('attach'))
}

function keyOf(text: string): MeshKey {
  const key = keyOfText(text)
  if (key === undefined) throw new ShoalError('SHOAL_BAD_KEY', 'the key did not arrive')
  return key
}

function tellFacts(last: string): void {
  if (opened === undefined) return
  const { addresses, counters } = opened.node
  const facts: Facts = { addresses, counters: { ...counters } }
  const text = JSON.stringify(facts)
  if (text !== last) say({ kind: 'facts', facts })
  setTimeout(tellFacts, factsEveryMs, text).unref()
}

/** In the app's own thread, when it has time. */
const farProbe: Probe = {
  idleMs: () => soon('idleMs'),
  load: () => soon('load'),
  close: () => say({ kind: 'probe-closed' })
}

async function soon(what: Question): Promise<number> {
  const late = Promise.withResolvers<never>()
  const text = `the app, whose \`probe\` it is, has not answered for ${probeWithinMs} ms`
  const timer = setTimeout(() => late.reject(new Error(text)), probeWithinMs)
  try {
    return Number(await Promise.race([ask(what), late.promise]))
  } finally {
    clearTimeout(timer)
  }
}

function ask(what: Question): Promise<unknown> {
  const question = Promise.withResolvers<unknown>()
  asked.set(++questions, question)
  say({ kind: 'question', ask: questions, what })
  return question.promise
}

function answered({ to, value, error }: Answer): void {
  const question = asked.get(to)
  asked.delete(to)
  if (error === undefined) question?.resolve(value)
  else question?.reject(unpackError(error))
}
