/**
 * Nodes that leave in good order, and keepers that are replaced: real nodes on the loopback interface.
 *
 * Not here: nodes that are killed (mesh.test.ts), and every order of messages (the simulator).
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createKey, createNode, type Node, type NodeStatus } from '../../src/index.ts'

vi.setConfig({ testTimeout: 30_000 })

const key = createKey()
let folder = ''
let nodes: Node[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-departure-'))
})
afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()))
  nodes = []
  await rm(folder, { recursive: true })
})

async function start(count: number, slots = 1): Promise<void> {
  for (let i = 0; i < count; i++) {
    const peers = nodes.slice(0, 1).flatMap(({ addresses }) => addresses)
    const data = join(folder, `n${nodes.length}`)
    const listen = ['/ip4/127.0.0.1/tcp/0']
    nodes.push(await createNode({ key, data, slots, listen, peers, mdns: false, replaceAfter: 1_000 }))
  }
  await until((all) => all.length === nodes.length && all.every(({ peers }) => peers === nodes.length - 1))
}

/** Asks the first node until that is so. */
async function until(isSo: (all: readonly NodeStatus[]) => boolean): Promise<readonly NodeStatus[]> {
  for (;;) {
    const { nodes: all } = await (nodes[0] as Node).client.status()
    if (isSo(all)) return all
    await sleep(25)
  }
}

const nap = async (n: number): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 20))
  return n * n
}

test('a node that leaves in the middle of a job fails no task and counts no attempt, and what it kept is kept elsewhere', async () => {
  await start(4)
  const [first, , , last] = nodes as [Node, Node, Node, Node]
  const inputs = Array.from({ length: 200 }, (_, n) => n)
  const job = first.client.map(nap, inputs)
  await new Promise<void>((resolve) => job.onProgress(({ done }) => void (done >= 40 && resolve())))
  expect(await last.drain()).toEqual({ tasks: 0, shards: 0, stalled: 0 })
  expect(await job).toEqual(inputs.map((n) => n * n))
  expect(inputs.map((n) => job.metadata(n)?.attempt)).toEqual(inputs.map(() => 1))
  const engines = new Set(inputs.map((n) => job.metadata(n)?.engine.split('/')[0]))
  expect(engines).toContain(last.id)
  nodes.pop()
  const kept = await until((all) => all.length === 3 && all.every(({ keeps }) => keeps > 0))
  expect(new Set(kept.map(({ keeps }) => keeps)).size).toBe(1)
})

test('what runs longer than a leaving node waits is given back and runs elsewhere', async () => {
  await start(1, 0)
  await start(2)
  const [first] = nodes as [Node]
  const task = first.client.submit(
    async (path: string) => {
      const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs')
      if (existsSync(path)) return 'elsewhere'
      writeFileSync(path, '')
      await new Promise((resolve) => setTimeout(resolve, 600_000))
      return 'never'
    },
    [join(folder, 'begun')]
  )
  const busy = (await until((all) => all.some(({ running }) => running === 1))).find(
    ({ running }) => running === 1
  )
  while (!existsSync(join(folder, 'begun'))) await sleep(10)
  const leaving = nodes.find(({ id }) => id === busy?.id) as Node
  expect(await leaving.drain({ timeout: 1_000 })).toMatchObject({ tasks: 0 })
  nodes = nodes.filter((node) => node !== leaving)
  expect(await task).toBe('elsewhere')
  // A run that was cut short is another attempt, for who tells runs apart by it; no retry was allowed, and none was needed.
  expect(task.metadata?.attempt).toBe(2)
})

test('a node leaves when somebody who holds the key asks it to, from anywhere', async () => {
  await start(3)
  const [first, second] = nodes as [Node, Node]
  const job = first.client.map(nap, [1, 2, 3])
  await job
  await first.client.drain(second.id)
  await second.stopped
  nodes = nodes.filter((node) => node !== second)
  await until((all) => all.length === 2)
  expect(await first.client.job(job.id)).toEqual([1, 4, 9])
  await expect(first.client.drain(second.id)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})

test.each([
  { by: 'from elsewhere', hosted: false },
  { by: 'from elsewhere', hosted: true },
  { by: 'by its app', hosted: true }
])(
  'a node that is drained $by takes the time that it was started with (hosted: $hosted)',
  async ({ by, hosted }) => {
    await start(1, 0)
    const [first] = nodes as [Node]
    const [data, listen] = [join(folder, 'hasty'), ['/ip4/127.0.0.1/tcp/0']]
    const hasty = {
      key,
      data,
      slots: 1,
      listen,
      peers: first.addresses,
      mdns: false,
      hosted,
      drainTimeout: 0
    }
    const leaving = await createNode(hasty)
    nodes.push(leaving)
    const task = first.client.submit(() => new Promise(() => {}))
    await until((all) => all.some(({ running }) => running === 1))
    const since = performance.now()
    await (by === 'by its app' ? leaving.drain() : first.client.drain(leaving.id))
    await leaving.stopped
    // Of the usual 30 s what runs has the first half.
    expect(performance.now() - since).toBeLessThan(12_000)
    nodes = [first]
    await task.cancel()
  }
)

test('a node that keeps as much as it may takes nothing more, until some of it is released', async () => {
  const data = join(folder, 'full')
  const quota = { bytes: 50_000 }
  const listen = ['/ip4/127.0.0.1/tcp/0']
  nodes.push(await createNode({ key, data, slots: 1, listen, mdns: false, quota }))
  const [only] = nodes as [Node]
  const wide = (n: number): string => 'x'.repeat(n)
  const big = only.client.map(wide, new Array(20).fill(5_000))
  await big
  await until((all) => all.every(({ bytes }) => bytes > 50_000))
  const refused = await until(() => true).then(async () => {
    for (;;) {
      const failure = await only.client.submit(wide, [1]).catch((error: unknown) => error)
      if (failure instanceof Error) return failure
    }
  })
  expect(refused).toMatchObject({
    code: 'SHOAL_NO_KEEPERS',
    message: expect.stringContaining('release jobs')
  })
  await big.release()
  for (;;) {
    const result = await only.client.submit(wide, [3]).catch(() => sleep(50))
    if (result === 'xxx') break
  }
})

test('a node that keeps as many shards as it may leaves further ones to others, until some are released', async () => {
  const listen = ['/ip4/127.0.0.1/tcp/0']
  nodes.push(await createNode({ key, slots: 1, listen, mdns: false, quota: { shards: 3 } }))
  const [full] = nodes as [Node]
  const untilKept = (...shards: number[]): Promise<unknown> =>
    until((all) => nodes.every(({ id }, at) => all.find((one) => one.id === id)?.keeps === shards[at]))
  const jobs = [1, 2, 3].map((n) => full.client.map(nap, [n]))
  expect(await Promise.all(jobs)).toEqual([[1], [4], [9]])
  await expect(full.client.map(nap, [4])).rejects.toMatchObject({
    code: 'SHOAL_NO_KEEPERS',
    message: expect.stringContaining('release jobs')
  })
  await untilKept(3)
  // The other one becomes the second keeper of these, and the only one of what comes now.
  await start(1)
  await untilKept(3, 3)
  expect(await full.client.map(nap, [5])).toEqual([25])
  await untilKept(3, 4)
  await jobs[0]?.release()
  await untilKept(3, 3)
})

test('a keeper that stays away is replaced, and a list that was short grows', async () => {
  await start(2)
  const [first] = nodes as [Node]
  const job = first.client.map(nap, [1, 2, 3])
  expect(await job).toEqual([1, 4, 9])
  expect((await until(() => true)).map(({ keeps }) => keeps)).toEqual([1, 1])
  await start(2)
  // Three copies of it, as it should have had from the beginning.
  await until((all) => all.reduce((sum, { keeps }) => sum + keeps, 0) === 3)
  const { nodes: all } = await first.client.status()
  const gone = nodes.find(({ id }) => id !== first.id && all.some((one) => one.id === id && one.keeps === 1))
  nodes = nodes.filter((node) => node !== gone)
  await gone?.stop()
  await until((some) => some.length === 3 && some.every(({ keeps }) => keeps === 1))
  expect(await (nodes[2] as Node).client.job(job.id)).toEqual([1, 4, 9])
})
