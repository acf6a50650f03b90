/**
 * Tasks that wait for tasks, on nodes that are killed meanwhile.
 *
 * Not here: how they wait (test/conformance/nested.test.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect, moduleFunction } from '../../src/index.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'

const work = new URL('../conformance/nested.ts', import.meta.url)
let lab: Lab
let nodes: NodeProcess[]
let client: Client

beforeAll(async () => {
  lab = await Lab.open()
  nodes = await lab.mesh(3)
  client = await connect({ key: lab.key, peers: [nodes[0]?.address ?? ''], mdns: false, timeout: 60_000 })
  lab.undo(() => client.close())
  await untilMeshed(client, 3)
})
afterAll(() => lab.close())

test('a node is killed in the midst of nested maps, which end with the exact result, and nothing goes on after', async () => {
  const trees = client.map<number>(moduleFunction(work, 'level'), new Array(6).fill([2, 2]))
  // Jobs within jobs have begun everywhere.
  while ((await client.jobs()).length < 10) await sleep(20)
  await nodes[2]?.kill()
  expect(await trees).toEqual(new Array(6).fill(2 ** 3))
  const idle = await untilStatus(client, (all) =>
    all.every((one) => one.running + one.queued + one.waiting === 0)
  )
  expect(idle).toHaveLength(2)
})
