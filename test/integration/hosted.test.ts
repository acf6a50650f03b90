/**
 * Nodes and clients in threads of their own: an app that computes for seconds stays a member and a keeper, whose client works.
 *
 * Not here: what clients do at all (test/conformance), and a line that is not read (test/hosted/porter.test.ts).
 * The app computes in the background of the other tests, which kill nobody whom it works with.
 */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect, createNode, type Node, type NodeOptions } from '../../src/index.ts'
import { until } from '../conformance/mesh.ts'
import { programOf } from './prepare.ts'
import { Lab, type NodeProcess, untilMeshed } from './processes.ts'

const computes = 10_000
/** Less than the app computes, so that a keeper which is silent as long would lose its place meanwhile. */
const replaceAfter = 1_000

let lab: Lab
let nodes: NodeProcess[]
/** One at each node. */
let plains: Client[]
let plain: Client
let hosted: Client
let app: Promise<Watched>
const onLoopback = { mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] }

beforeAll(async () => {
  lab = await Lab.open()
  const more = { replaceAfter }
  const first = await lab.start('n1', [], { more })
  const others = ['n2', 'n3'].map((name) => lab.start(name, [first], { more }))
  nodes = [first, ...(await Promise.all(others))]
  const attach = ({ address }: NodeProcess) => connect({ key: lab.key, peers: [address], mdns: false })
  plains = await Promise.all(nodes.map(attach))
  plain = plains[0] as Client
  await untilMeshed(plain, 3)
  app = watchApp()
  app.catch(() => {})
  hosted = await connect({ key: lab.key, peers: addressesOf(nodes), mdns: false, hosted: true })
})
afterAll(async () => {
  await hosted?.close()
  await Promise.all(plains.map((client) => client.close()))
  await lab.close()
})

const addressesOf = (some: readonly NodeProcess[]): string[] => some.map(({ address }) => address)

/** What was seen while an app computed. */
interface Watched {
  readonly id: string
  /** How often each node was asked who is up, and by whom the app was missed. */
  readonly looks: number
  readonly missed: string[]
  /** Owner and keepers of its job, before and after. */
  readonly before: object
  readonly after: object
  readonly took: number
  readonly isRight: boolean
  readonly ranHere: number
  readonly exit: unknown
}

async function watchApp(): Promise<Watched> {
  const options = { key: lab.keyFile, peers: addressesOf(nodes), slots: 1, replaceAfter, hosted: true }
  const work = { computes, tasks: 60, takes: 400 }
  const program = programOf(new URL('./app.ts', import.meta.url))
  const child = spawn(process.execPath, [program, JSON.stringify({ ...options, ...work })])
  lab.undo(() => child.kill('SIGKILL'))
  child.stderr.pipe(process.stderr)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value ?? '{}')
  const { id } = await next()
  const { job } = await next()
  const ends = Promise.withResolvers<void>()
  const missed: string[] = []
  let looks = 0
  const watching = Promise.all(
    plains.map(async (client, at) => {
      const sees = async () => (await client.members()).some((member) => member.id === id)
      await until(sees)
      for (let isOver = false; !isOver; looks++) {
        if (!(await sees())) missed.push(`n${at + 1}`)
        const pause = new Promise((resolve) => setTimeout(resolve, 100, false))
        isOver = (await Promise.race([ends.promise.then(() => true), pause])) as boolean
      }
    })
  )
  watching.catch(() => {})
  const placed = async (): Promise<object> => {
    const { owner, keepers } = await plain.explain(`${job}:0`)
    return { owner, keepers }
  }
  const before = await placed()
  const { took, isRight } = await next()
  ends.resolve()
  await watching
  const { ranHere } = await next()
  const after = await placed()
  child.stdin.end()
  const [exit] = await once(child, 'exit')
  return { id, looks, missed, before, after, took, isRight, ranHere, exit }
}

test('a hosted client is a client: results in order and as they come, errors, cancelling, questions', async () => {
  expect(await hosted.map((x) => 2 * x, [1, 2, 3])).toEqual([2, 4, 6])
  const seen: number[] = []
  async function* endless(): AsyncGenerator<number> {
    for (let n = 0; ; n++) yield n
  }
  const job = hosted.map((n: number) => n + 1, endless(), { inFlightMax: 4 })
  for await (const value of job) {
    seen.push(value)
    if (seen.length === 6) break
  }
  expect(seen).toEqual([1, 2, 3, 4, 5, 6])
  expect(await job.status()).toMatchObject({ state: 'cancelled' })
  const failing = hosted.submit(() => {
    throw new RangeError('too far')
  })
  await expect(failing).rejects.toMatchObject({ name: 'RangeError', message: 'too far', code: 'TASK_FAILED' })
  const waiting = hosted.submit(() => new Promise(() => {}), [], { signal: AbortSignal.timeout(100) })
  await expect(waiting).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  const ended = plain.map((x) => 2 * x, [1, 2, 3])
  await ended
  const { id } = ended
  expect(await hosted.job(id).status()).toEqual({ id, state: 'done', done: 3, total: 3, failed: 0 })
  const unknown = hosted.job('nobody-knows-it0').status()
  await expect(unknown).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  await expect(hosted.job('nobody-knows-it1')).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  expect((await hosted.view(0).execute('6 * 7')) as unknown).toBe(42)
})

test('32 MiB go out and come back through the thread as they are; a source that throws takes nothing along', async () => {
  const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  const bytes = randomBytes(32 << 20)
  const ref = await hosted.put(bytes)
  expect(ref.hash).toBe((await plain.put(bytes.subarray())).hash)
  expect(hash(await hosted.get(ref))).toBe(hash(bytes))
  let pieces = 0
  for await (const piece of hosted.stream(ref)) {
    expect(hash(piece)).toBe(hash(bytes.subarray(0, piece.byteLength)))
    if (++pieces === 1) break
  }
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 1 << 20)
    throw new Error('torn off')
  }
  await expect(hosted.put(broken())).rejects.toThrow('torn off')
  await hosted.free(ref)
})

test('nobody there, another key, wrong options, a folder in use: the same errors as without a thread', async () => {
  const nobody = connect({
    key: lab.key,
    peers: ['/ip4/127.0.0.1/tcp/1'],
    mdns: false,
    timeout: 100,
    hosted: true
  })
  await expect(nobody).rejects.toMatchObject({
    code: 'SHOAL_NO_MESH',
    message: expect.stringContaining('is a node running there?')
  })
  const wrong: [Partial<NodeOptions>, string][] = [
    [{ slots: -1 }, 'SHOAL_BAD_OPTION'],
    [{ hosted: 'yes' } as object, 'SHOAL_BAD_OPTION'],
    [{ peers: [() => 'here'] } as object, 'SHOAL_BAD_OPTION'],
    [{ data: `${lab.folder}/n1` }, 'SHOAL_DATA_IN_USE']
  ]
  for (const [options, code] of wrong) {
    const started = createNode({ key: lab.key, ...onLoopback, hosted: true, ...options })
    await expect(started).rejects.toMatchObject({ code })
  }
})

test('an app that computes for ten seconds is missed by nobody, owns and keeps what it did, and its job ends right afterwards', async () => {
  const { id, looks, missed, before, after, took, isRight, ranHere, exit } = await app
  expect(looks).toBeGreaterThan(30)
  expect(missed).toEqual([])
  expect(before).toMatchObject({ owner: id, keepers: expect.arrayContaining([id]) })
  expect(after).toMatchObject({ keepers: (before as { keepers: string[] }).keepers })
  expect(isRight).toBe(true)
  expect(took).toBeLessThan(2_000)
  expect(ranHere).toBeGreaterThan(1)
  expect(exit).toBe(0)
})

test('functions of the app stay in its thread: notes, sources, a probe; when the thread is lost, all that waits says so', async () => {
  const threads: Worker[] = []
  const watch = (thread: Worker): void => void threads.push(thread)
  process.on('worker', watch)
  const notes: string[] = []
  const owner = { idleMs: Number.POSITIVE_INFINITY, isClosed: false }
  const node: Node = await createNode({
    ...onLoopback,
    key: lab.key,
    peers: addressesOf(nodes),
    slots: 1,
    roles: ['engine'],
    hosted: true,
    when: 'idle',
    idle: { after: 100, lookEvery: 20 },
    probe: {
      idleMs: async () => owner.idleMs,
      load: async () => 0,
      close: () => {
        owner.isClosed = true
      }
    },
    onNote: (text) => notes.push(text)
  })
  process.off('worker', watch)
  const { client } = node
  const availability = async (): Promise<string> =>
    (await client.status()).nodes.find(({ id }) => id === node.id)?.availability ?? ''
  expect(await availability()).toBe('open')
  owner.idleMs = 0
  await until(async () => (await availability()) === 'paused')
  expect(notes.join()).toContain('this machine is in use')
  owner.idleMs = Number.POSITIVE_INFINITY
  let pulled = 0
  async function* ticks(): AsyncGenerator<number> {
    for (;;) yield pulled++
  }
  const source = node.source('ticks', ticks())
  expect(() => node.source('ticks', ticks())).toThrow(/already/)
  const read: number[] = []
  for await (const tick of client.source<number>('ticks', { ahead: 4 })) {
    read.push(tick)
    if (read.length === 20) break
  }
  expect(read).toEqual(Array.from({ length: 20 }, (_, i) => i))
  expect(pulled).toBeLessThan(30)
  expect(node.addresses[0]).toContain(node.id)

  const job = client.map(() => new Promise(() => {}), [1, 2], { requires: { source: 'ticks' } })
  await job.accepted
  const pieces = Promise.withResolvers<Uint8Array>()
  async function* stalled(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(1 << 20)
    yield await pieces.promise
  }
  const waiting = [job, client.put(stalled()), client.status(), node.drain()]
  const settled = Promise.allSettled(waiting)
  const from = performance.now()
  expect(threads).toHaveLength(1)
  await threads[0]?.terminate()
  pieces.resolve(new Uint8Array(1))
  const codes = (await settled).map((one) => one.status === 'rejected' && one.reason.code)
  expect(codes).toEqual(waiting.map(() => 'SHOAL_HOST_LOST'))
  await Promise.all([node.stopped, source.ended])
  // At once, and not when a call has waited for long enough (20 s and more); a busy machine takes its time.
  expect(performance.now() - from).toBeLessThan(5_000)
  await expect(client.members()).rejects.toMatchObject({ code: 'SHOAL_HOST_LOST' })
  expect(() => node.source('more', ticks())).toThrow(expect.objectContaining({ code: 'SHOAL_HOST_LOST' }))
  expect(notes.at(-1)).toContain('the thread of this node has ended')
  await node.stop()
  expect(owner.isClosed).toBe(true)
})

test('a hosted client goes on with another entry when its own is killed', async () => {
  const { entry } = await hosted.status()
  const job = hosted.map(
    async (x: number) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      return -x
    },
    Array.from({ length: 100 }, (_, i) => i + 1)
  )
  const results: number[] = []
  for await (const result of job) {
    results.push(result)
    if (results.length === 10) await nodes.find(({ id }) => id === entry)?.kill()
  }
  expect(results).toEqual(Array.from({ length: 100 }, (_, i) => -1 - i))
  expect((await hosted.status()).entry).not.toBe(entry)
})
