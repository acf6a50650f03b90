/**
 * Jobs that were released or are past their retention: gone from every node, its memory and its disk, for good.
 *
 * Not here: what keepers say to each other about it (the simulator, test/tasks).
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createKey, createNode, type Node, type NodeStatus } from '../../src/index.ts'
import { UNFINISHED } from '../../src/node/spares.ts'

vi.setConfig({ testTimeout: 30_000 })

const key = createKey()
let folder = ''
let nodes: Node[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-forgetting-'))
  for (let i = 0; i < 3; i++) await start(i)
  await until((all) => all.length === 3 && all.every(({ peers }) => peers === 2))
})
afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()))
  nodes = []
  await rm(folder, { recursive: true })
})

async function start(i: number): Promise<void> {
  const peers = nodes.slice(0, 1).flatMap(({ addresses }) => addresses)
  const [data, listen] = [join(folder, `n${i}`), ['/ip4/127.0.0.1/tcp/0']]
  nodes.push(await createNode({ key, data, slots: 1, listen, peers, mdns: false }))
}

async function until(isSo: (all: readonly NodeStatus[]) => boolean): Promise<readonly NodeStatus[]> {
  for (;;) {
    const { nodes: all } = await (nodes[0] as Node).client.status()
    if (isSo(all)) return all
    await sleep(25)
  }
}

const work = (n: number): string => 'x'.repeat(n)

test('a released job is gone everywhere, also from a node that was away', async () => {
  const [first, second, third] = nodes as [Node, Node, Node]
  const job = first.client.map(work, [1, 2, 3])
  const kept = second.client.map(work, [4, 5])
  expect(await Promise.all([job, kept])).toEqual([
    ['x', 'xx', 'xxx'],
    ['xxxx', 'xxxxx']
  ])
  await until((all) => all.every(({ keeps }) => keeps === 2))
  await third.stop()
  await job.release()
  nodes = [first, second]
  await expect(second.client.job(job.id)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  expect((await until((all) => all.length === 2)).map(({ keeps }) => keeps)).toEqual([1, 1])
  await start(2)
  const all = await until((some) => some.length === 3 && some.every(({ keeps }) => keeps === 1))
  expect(all.map(({ tombstones }) => tombstones)).toEqual([1, 1, 1])
  expect(await (nodes[2] as Node).client.job(kept.id)).toEqual(['xxxx', 'xxxxx'])
})

test('who releases a job with open tasks is told to cancel it first', async () => {
  const [first] = nodes as [Node]
  const never = first.client.map(() => new Promise(() => {}), [1])
  await never.accepted
  await expect(never.release()).rejects.toMatchObject({
    code: 'SHOAL_BAD_OPTION',
    message: expect.stringContaining('cancel it before')
  })
  await never.cancel()
  await expect(never).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  await never.release()
  await until((all) => all.every(({ keeps }) => keeps === 0))
})

test('a job is not over before its last task is, however short its retention and however early its first part ended', async () => {
  const [first] = nodes as [Node]
  const slowLast = async (n: number): Promise<number> => {
    if (n === 600) await new Promise((resolve) => setTimeout(resolve, 8_000))
    return n
  }
  const inputs = Array.from({ length: 601 }, (_, n) => n)
  const job = first.client.map(slowLast, inputs, { retention: 500 })
  expect(await job).toEqual(inputs)
  // From then on its time runs.
  await until((all) => all.every(({ keeps }) => keeps === 0))
})

test('results are forgotten after their retention, and what they took on disk is free again', async () => {
  const [first] = nodes as [Node]
  const many = Array.from({ length: 2_000 }, () => 5_000)
  const job = first.client.map(work, many, { retention: 1_000 })
  expect(await job).toHaveLength(2_000)
  await until((all) => all.every(({ bytes }) => bytes > 9_000_000))
  await until((all) => all.every(({ keeps, bytes }) => keeps === 0 && bytes === 0))
  await expect(first.client.job(job.id)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  // The store gives space back when it is opened again, at the latest.
  await Promise.all(nodes.map((node) => node.stop()))
  nodes = []
  for (let i = 0; i < 3; i++) await start(i)
  for (let i = 0; i < 3; i++) expect(await bytesIn(join(folder, `n${i}`, 'store'))).toBeLessThan(2_000_000)
})

test('large inputs and results go with their job, and what a user put stays', async () => {
  const [first, second] = nodes as [Node, Node]
  const ref = await first.client.put(new Uint8Array(200_000).fill(7))
  const reverse = (bytes: Uint8Array): Uint8Array => bytes.reverse()
  const inputs = [1, 2, 3].map((n) => new Uint8Array(300_000).fill(n, 1_000))
  const job = first.client.map(reverse, inputs)
  const results = await job
  expect(results.map((bytes) => [bytes[0], bytes.at(-1)])).toEqual([
    [1, 0],
    [2, 0],
    [3, 0]
  ])
  // Files of what went wait under such a name to be written over.
  const lying = async (): Promise<string[]> =>
    (await Promise.all(nodes.map((_, i) => readdir(join(folder, `n${i}`, 'data')))))
      .flat()
      .filter((name) => !name.endsWith(UNFINISHED))
  expect((await lying()).length).toBeGreaterThan(2 * 7)
  await job.release()
  while ((await lying()).length > 3) await sleep(100)
  expect(new Set(await lying())).toEqual(new Set([`${ref.hash}.${ref.size}`]))
  expect((await second.client.get(ref)).byteLength).toBe(200_000)
})

async function bytesIn(path: string): Promise<number> {
  const files = await readdir(path)
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(path, file))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}
