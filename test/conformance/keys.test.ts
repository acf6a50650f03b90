/**
 * One job for all clients that submit the same key.
 *
 * Not here: the cells that it rests on (coordination.test.ts), and handles as such (handles.test.ts).
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type Client, connect, type JobHandle, moduleFunction, type TaskHandle } from '../../src/index.ts'
import { Mesh, until, upTo } from './mesh.ts'

let mesh: Mesh | undefined
const clients: Client[] = []
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  await mesh?.close()
})

async function attach(node = 0): Promise<Client> {
  const { key, nodes } = mesh as Mesh
  const client = await connect({ key, peers: nodes[node]?.addresses ?? [], mdns: false })
  clients.push(client)
  return client
}

/** Says in a file that it ran, and waits for another one. */
const gated = async ({ folder, x }: { folder: string; x: number }): Promise<number> => {
  const { appendFileSync, existsSync } = process.getBuiltinModule('node:fs')
  appendFileSync(`${folder}/ran`, `${x}\n`)
  while (!existsSync(`${folder}/open`)) await new Promise((resolve) => setTimeout(resolve, 10))
  return x * x
}
const inputs = (): { folder: string; x: number }[] => upTo(4).map((x) => ({ folder: mesh?.folder ?? '', x }))
/** Then it is never done. */
async function* unfinished<T>(...some: readonly T[]): AsyncGenerator<T, void, undefined> {
  yield* some
  await new Promise(() => {})
}
async function* throwing(): AsyncGenerator<number, void, undefined> {
  yield 1
  throw new Error('no such plate')
}
const open = (): Promise<void> => writeFile(join(mesh?.folder ?? '', 'open'), '')
const ended = (handle: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(handle).catch((error: unknown) => error)

test('CONFORMANCE 35: clients that submit one key share one job, and when one cancels, the others get the results', async () => {
  mesh = await Mesh.open(3)
  const all = await Promise.all([attach(0), attach(1), attach(2)])
  const jobs = all.map((client) => client.map(gated, inputs(), { key: 'squares' })) as JobHandle<number>[]
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(1)
  // Of one client it is the same handle.
  expect(all[0]?.map(gated, inputs(), { key: 'squares' }).id).toBe(jobs[0]?.id)
  await Promise.all(jobs.map(({ accepted }) => accepted))
  await until(async () => ((await mesh?.trace('ran')) ?? []).length >= 3)
  const [left, ...others] = jobs as [JobHandle<number>, JobHandle<number>, JobHandle<number>]
  const error = ended(left)
  await left.cancel()
  expect(await error).toMatchObject({ code: 'SHOAL_CANCELLED' })
  expect((await left.status()).state).toBe('cancelled')
  expect(await Promise.all(others.map((job) => job.status()))).toMatchObject([
    { state: 'running', done: 0, total: 4 },
    { state: 'running', done: 0, total: 4 }
  ])
  await open()
  for (const job of others) expect(await job).toEqual([0, 1, 4, 9])
  // Each task ran once, for all of them.
  expect((await mesh.trace('ran')).map(Number).sort()).toEqual([0, 1, 2, 3])
  // Who comes when it is over gets the same results, also if its inputs are others.
  const late = (await attach(1)).map(gated, [{ folder: '', x: 99 }], { key: 'squares' })
  expect(await late).toEqual([0, 1, 4, 9])
  expect(await mesh.client.job(late.id)).toEqual([0, 1, 4, 9])
})

test('the last one who cancels cancels it, and after that the key is free for a new run', async () => {
  mesh = await Mesh.open(3)
  const [one, two] = [await attach(0), await attach(1)]
  const folder = mesh.folder
  const submit = (client: Client): TaskHandle<number> =>
    client.submit(gated, [{ folder, x: 3 }], { key: 'once' })
  const [a, b] = [submit(one), submit(two)]
  await Promise.all([a.accepted, b.accepted])
  const ends = [ended(a), ended(b)]
  await until(async () => ((await mesh?.trace('ran')) ?? []).length === 1)
  await a.cancel()
  await ends[0]
  expect((await a.status()).state).toBe('cancelled')
  expect((await b.status()).state).toBe('running')
  await b.cancel()
  expect(await ends[1]).toMatchObject({ code: 'SHOAL_CANCELLED' })
  expect((await b.status()).state).toBe('cancelled')
  await until(async () => (await mesh?.status())?.every(({ running }) => running === 0) === true)
  await open()
  expect(await submit(await attach(2))).toBe(9)
  expect(await mesh.trace('ran')).toEqual(['3', '3'])
})

test('if who submits a key is gone before it is there, the next one submits it', async () => {
  mesh = await Mesh.open(3)
  const first = await attach(0)
  const stuck = first.map((x) => x, unfinished(1), { key: 'stuck' })
  stuck.catch(() => {})
  // It reads its inputs, so it has the key.
  await until(async () => (await mesh?.client.jobs())?.some(({ id }) => id === stuck.id) === true)
  const second = await attach(1)
  const taken = second.map((x: number) => x + 1, [1, 2, 3], { key: 'stuck' })
  taken.catch(() => {})
  await first.close()
  expect(await taken).toEqual([2, 3, 4])
}, 60_000)

test('if who submits a key is gone, what is to run at most once is not begun again: the next one is told to decide', async () => {
  mesh = await Mesh.open(3)
  const [first, second] = [await attach(0), await attach(1)]
  const options = { key: 'careful', atMostOnce: true }
  const lost = ended(first.map(gated, unfinished(...inputs()), options))
  await until(async () => ((await mesh?.trace('ran')) ?? []).length > 0)
  await open()
  await until(async () => (await mesh?.trace('ran'))?.length === 4)
  const next = ended(second.map(gated, inputs(), options))
  await first.close()
  await lost
  expect(await next).toMatchObject({
    code: 'SHOAL_UNDECIDED',
    message: expect.stringContaining('at most once')
  })
  expect((await mesh.trace('ran')).map(Number).sort()).toEqual([0, 1, 2, 3])
  // Whoever comes later is told so, too; under another key it is a new run.
  expect(await ended(second.map(gated, inputs(), options))).toMatchObject({ code: 'SHOAL_UNDECIDED' })
  expect(await second.map(gated, inputs(), { ...options, key: 'another' })).toEqual([0, 1, 4, 9])
}, 60_000)

test('nor is it begun again by who waited for another client, if that one gives it up', async () => {
  mesh = await Mesh.open(3)
  const [first, second] = [await attach(0), await attach(1)]
  const options = { key: 'careful', atMostOnce: true }
  const lost = first.map(gated, unfinished(...inputs()), options)
  const end = ended(lost)
  await until(async () => ((await mesh?.trace('ran')) ?? []).length === 3)
  const next = second.map(gated, inputs(), options)
  const told = ended(next)
  // Its questions are answered in turn: then it has seen who submits, and waits.
  for (let turns = 0; turns < 20; turns++) await second.variable('turn').set(turns)
  await lost.cancel()
  await end
  expect(await told).toMatchObject({ code: 'SHOAL_UNDECIDED' })
  expect(await mesh.trace('ran')).toHaveLength(3)
})

test('what a key cannot be is refused, and a released job is gone for all', async () => {
  mesh = await Mesh.open(3)
  const client = await attach()
  for (const key of ['', 'x'.repeat(257), 5 as unknown as string])
    expect(() => client.submit(() => 1, [], { key })).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
    )
  expect(() => client.balanced({ key: 'x' } as never)).toThrow(
    expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
  )
  const within = mesh.client.submit(moduleFunction(new URL('./nested.ts', import.meta.url), 'byKey'))
  await expect(within).rejects.toMatchObject({ message: expect.stringContaining('cannot submit by `key`') })
  const job = client.submit(() => 7, [], { key: 'seven' })
  expect(await job).toBe(7)
  await job.release()
  await expect((await attach(1)).submit(() => 7, [], { key: 'seven' })).rejects.toMatchObject({
    code: 'SHOAL_NOT_FOUND'
  })
})

test('what a signal or its own inputs ended is made anew by the client that submits its key again', async () => {
  mesh = await Mesh.open(1)
  const client = await attach()
  const cancelled = { code: 'SHOAL_CANCELLED' }
  const square = (x: number): number => x * x
  const early = client.map(square, [1], { key: 'early', signal: AbortSignal.abort() })
  expect(await ended(early)).toMatchObject(cancelled)
  expect(await client.map(square, [5], { key: 'early' })).toEqual([25])
  // Who did not take part ends nothing: what was done under the key is there still.
  const none = client.submit(square, [1], { key: 'early', signal: AbortSignal.abort() })
  expect(await ended(none)).toMatchObject(cancelled)
  expect(await client.map(square, [6], { key: 'early' })).toEqual([25])
  const aborting = new AbortController()
  const { signal } = aborting
  const midway = client.map(gated, inputs(), { key: 'midway', signal })
  await until(async () => ((await mesh?.trace('ran')) ?? []).length > 0)
  aborting.abort()
  expect(await ended(midway)).toMatchObject(cancelled)
  const again = client.map(square, [7], { key: 'midway' })
  // Again, it is the same handle.
  expect(client.map(square, [7], { key: 'midway' })).toBe(again)
  expect(await again).toEqual([49])
  const broken = client.map(square, throwing(), { key: 'broken' })
  await expect(broken).rejects.toThrow('no such plate')
  expect(await client.map(square, [8], { key: 'broken' })).toEqual([64])
  const unsendable = client.submit(square, [Symbol('plate') as unknown as number], { key: 'unsendable' })
  expect(await ended(unsendable)).toMatchObject({ code: 'SHOAL_BAD_VALUE' })
  expect(await client.submit(square, [9], { key: 'unsendable' })).toBe(81)
})

test('so is what was cancelled a moment ago, and inputs of the cancelled one that come late are not among the new ones', async () => {
  mesh = await Mesh.open(1)
  const client = await attach()
  const late = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const slow = async function* (): AsyncGenerator<number, void, undefined> {
    yield 100
    begun.resolve()
    await late.promise
    yield 200
  }
  const first = client.map((x: number) => x, slow(), { key: 'slow' })
  await begun.promise
  const error = ended(first)
  await first.cancel()
  const more = Promise.withResolvers<void>()
  const second = client.map(
    (x: number) => x,
    (async function* () {
      yield 1
      await more.promise
      yield 2
    })(),
    { key: 'slow' }
  )
  const both = ended(second)
  expect(await error).toMatchObject({ code: 'SHOAL_CANCELLED' })
  await until(() => second.progress.done === 1)
  late.resolve()
  await new Promise((resolve) => setImmediate(resolve))
  more.resolve()
  expect(await both).toEqual([1, 2])
})

test('who waits to submit a key anew is told that the client was closed, or leaves it again', async () => {
  mesh = await Mesh.open(1)
  const client = await attach()
  const first = client.map(gated, inputs(), { key: 'closing' })
  const ends = [ended(first)]
  await first.accepted
  await first.cancel()
  const second = client.map(gated, inputs(), { key: 'closing' })
  ends.push(ended(second))
  await second.cancel()
  expect(await ends[1]).toMatchObject({ code: 'SHOAL_CANCELLED' })
  ends.push(ended(client.map(gated, inputs(), { key: 'closing' })))
  await client.close()
  expect(await ends[2]).toMatchObject({ code: 'SHOAL_CLOSED' })
})
