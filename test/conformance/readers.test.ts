/**
 * Handles of one job in several hands, or used at an odd moment: what each of them says and does, and what it leaves alone.
 *
 * Not here: handles of whoever submits and waits (handles.test.ts).
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect } from '../../src/index.ts'
import { Mesh } from './mesh.ts'

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
