/**
 * Tasks that wait for tasks, on nodes that are killed meanwhile.
 *
 * Not here: how they wait (test/conformance/nested.test.ts).
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
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
  expect(await untilIdle()).toHaveLength(2)
})

test('a task that runs at most once is killed with its node, and what it submitted is cancelled elsewhere', async () => {
  const [first, second] = nodes as [NodeProcess, NodeProcess]
  const lost = await lab.start('n4', [first])
  await untilStatus(client, (all) => all.some(({ id }) => id === lost.id))
  const file = join(lab.folder, 'inner')
  const args = [file, [first.id, second.id]]
  const once = { atMostOnce: true, targets: [lost.id] }
  const outer = client.submit(moduleFunction(work, 'waitsAt'), args, once)
  while (!existsSync(file) || readFileSync(file, 'utf8') !== 'inner\ninner\n') await sleep(20)
  await lost.kill()
  await expect(outer).rejects.toMatchObject({ code: 'TASK_UNKNOWN' })
  // Both would run for ever.
  await untilIdle()
  expect(await client.map((x: number) => x + 1, [1, 2])).toEqual([2, 3])
})

function untilIdle() {
  return untilStatus(client, (all) => all.every((one) => one.running + one.queued + one.waiting === 0))
}
