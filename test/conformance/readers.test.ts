/**
 * Handles of one job in several hands, or used at an odd moment: what each of them says and does, and what it leaves alone.
 *
 * Not here: handles of whoever submits and waits (handles.test.ts).
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect } from '../../src/index.ts'
import { Mesh, until } from './mesh.ts'

let mesh: Mesh
beforeAll(async () => {
  // More than keep one job.
  mesh = await Mesh.open(4)
})
afterAll(() => mesh.close())

const gate = (name: string): string => join(mesh.folder, name)
const open = (name: string): Promise<void> => writeFile(gate(name), '')
const behind = async ([path, value]: readonly [string, number]): Promise<number> => {
  const { existsSync } = process.getBuiltinModule('node:fs')
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5))
  return value
}

test('work that is open is not released: not in the turn in which it is submitted, nor by a node that does not keep it', async () => {
  const { client, nodes } = mesh
  const refused = { code: 'SHOAL_BAD_OPTION', message: expect.stringContaining('is not complete') }
  const first = [gate('open'), 0] as const
  const work = [client.submit(behind, [first]), client.map(behind, [first, [gate('open'), 1] as const])]
  const released = await Promise.allSettled(work.map((one) => one.release()))
  expect(released).toEqual(work.map(() => ({ status: 'rejected', reason: expect.objectContaining(refused) })))
  const [task, job] = work
  await job?.accepted
  for (const node of nodes)
    await expect(node.client.job(job?.id ?? '').release()).rejects.toMatchObject(refused)
  await open('open')
  expect([await task, await job]).toEqual([0, [0, 1]])
  for (const one of work) await one.release()
})

test('a client that was closed cancels nothing any more and says so, and what had not ended is not counted', async () => {
  const other = mesh.nodes[1]?.client as Client
  const client = await connect({ key: mesh.key, peers: mesh.nodes[0]?.addresses ?? [], mdns: false })
  const inputs = [0, 1].map((n) => [gate('closed'), n] as const)
  const [task, job] = [client.submit(behind, [[gate('closed'), 5] as const]), client.map(behind, inputs)]
  const single = job.task(1)
  await Promise.all([task.accepted, job.accepted])
  const reader = job[Symbol.asyncIterator]()
  await client.close()
  const closed = { code: 'SHOAL_CLOSED' }
  for (const one of [task, job, single]) await expect(one.cancel()).rejects.toMatchObject(closed)
  await expect(reader.next()).rejects.toMatchObject(closed)
  // Who leaves a loop in which the client was closed is not told again.
  await reader.return?.()
  for (const one of [task, single]) expect(one.progress).toEqual({ done: 0, total: 1, failed: 0 })
  for (const one of [task, job, single])
    expect(await one.status()).toMatchObject({ state: 'running', done: 0, failed: 0 })
  await open('closed')
  expect([await other.task(task.id), await other.job(job.id)]).toEqual([5, [0, 1]])
})

test('a job that was cancelled is so for everybody: who submitted it, who cancelled it, and who asks later', async () => {
  const [client, other, third] = mesh.nodes.map((node) => node.client) as [Client, Client, Client]
  const job = client.map(behind, [[gate('some'), 0] as const, [gate('none'), 1] as const])
  const first = job.task(0)
  await job.accepted
  await open('some')
  await first
  const canceller = other.job(job.id)
  await canceller.cancel()
  await expect(job).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  await canceller.wait()
  const state = { id: job.id, state: 'cancelled', done: 2, total: 2, failed: 1 }
  for (const one of [job, canceller, third.job(job.id)]) expect(await one.status()).toEqual(state)
  const listed = (await third.jobs()).find(({ id }) => id === job.id)
  expect(listed).toMatchObject({ done: 2, failed: 0, cancelled: 1 })
})

test('a job is read by its id where it was submitted as anywhere else: each handle by itself, and none ends it', async () => {
  const [client, other] = mesh.nodes.map((node) => node.client) as [Client, Client]
  const failing = async ([path, value]: readonly [string, number]): Promise<number> => {
    const { existsSync } = process.getBuiltinModule('node:fs')
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5))
    if (value === 1) throw new RangeError('no')
    return value
  }
  const inputs = [0, 1, 2].map((n) => [gate(n < 2 ? 'early' : 'late'), n] as const)
  const job = client.map(failing, inputs)
  const submitted = job.then(undefined, (error) => error)
  // In the turn in which it is submitted, and when some of its results are there.
  const [first, accepted] = [client.job<number>(job.id, { returnErrors: true }), client.job(job.id).accepted]
  const all = first.then((results) => results)
  expect(await accepted).toEqual(await job.accepted)
  await open('early')
  await job.task(0)
  await job.task(1).wait()
  for (const reader of [client, other]) {
    const loop: unknown[] = []
    for await (const result of reader.job(job.id)) {
      loop.push(result)
      break
    }
    expect(loop).toEqual([0])
    const controller = new AbortController()
    const aborted = reader.job(job.id, { signal: controller.signal }).then(undefined, (error) => error)
    const task = reader.task(`${job.id}:2`, { signal: controller.signal }).then(undefined, (error) => error)
    const seen = reader.job<number>(job.id).asCompleted()[Symbol.asyncIterator]()
    const came = [(await seen.next()).value, (await seen.next()).value]
    expect(came.map(({ index }) => index).sort()).toEqual([0, 1])
    controller.abort()
    for (const one of [aborted, task]) expect(await one).toMatchObject({ code: 'SHOAL_CANCELLED' })
    expect(await reader.task(`${job.id}:0`)).toBe(0)
    expect(await reader.job(job.id).status()).toMatchObject({ state: 'running', done: 2, failed: 1 })
  }
  await open('late')
  const results = [0, expect.objectContaining({ message: 'no' }), 2]
  expect(await all).toEqual(results)
  expect(await submitted).toMatchObject({ message: 'no', taskId: `${job.id}:1` })
  // All that there is was read; nothing is gone by that.
  expect(await client.job(job.id, { returnErrors: true })).toEqual(results)
  await client.job(job.id).release()
  await expect(client.job(job.id)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})

test('a job that is fed is cancelled by its id where it is submitted, too: its submitter hears that, and its source is left', async () => {
  const { client } = mesh
  let isLeft = false
  async function* endless() {
    try {
      for (let n = 0; ; n++) yield [gate(n < 2 ? 'fed' : 'never'), n] as const
    } finally {
      isLeft = true
    }
  }
  await open('fed')
  const job = client.map(behind, endless(), { inFlightMax: 8 })
  const theirs = client.job<number>(job.id)
  const [loop, seen] = [theirs[Symbol.asyncIterator](), [] as number[]]
  while (seen.length < 2) seen.push((await loop.next()).value)
  expect(seen).toEqual([0, 1])
  await loop.return?.()
  expect(await client.job(job.id).status()).toMatchObject({ state: 'open', done: 2 })
  // Whose reader has left it can be used as before.
  await theirs.cancel()
  await theirs.wait()
  await expect(job).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  await until(() => isLeft)
  for (const one of [job, theirs, client.job(job.id)])
    expect(await one.status()).toMatchObject({ state: 'cancelled' })
})
