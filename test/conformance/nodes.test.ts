/**
 * What users of ipyparallel and dask rely on, or wish they could, when a node dies, stands still, or comes back.
 *
 * Not here: tasks that fail by themselves (tasks.test.ts), nodes that come and go in good order (churn.test.ts).
 * Names begin with the item of CONFORMANCE.md. One mesh of processes with disks for all tests; who is killed is started again.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect } from '../../src/index.ts'
import { seededRandom } from '../../src/random.ts'
import { Lab, type NodeProcess, untilMeshed } from '../integration/processes.ts'
import { until, upTo } from './mesh.ts'

let lab: Lab
let nodes: NodeProcess[]
const clients: Client[] = []
beforeAll(async () => {
  lab = await Lab.open()
  nodes = await lab.mesh(4)
})
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()))
  await lab.close()
})

async function attach(...peers: readonly NodeProcess[]): Promise<Client> {
  const client = await connect({ key: lab.key, peers: peers.map(({ address }) => address), mdns: false })
  clients.push(client)
  return client
}

/** Kills a node and starts it again on what its disk holds, after a while. */
async function crash(node: NodeProcess, pauseMs = 0): Promise<void> {
  await node.kill()
  const at = nodes.indexOf(node)
  const others = nodes.filter((one) => one !== node)
  await sleep(pauseMs)
  nodes[at] = await lab.start(node.name, others)
}

const slowSquare = async (n: number): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 10))
  return n * n
}
const squares = (count: number): number[] => upTo(count).map((n) => n * n)
const nodeOf = (engine: string | undefined): NodeProcess => {
  const found = nodes.find(({ id }) => engine?.startsWith(`${id}/`))
  return found ?? expect.unreachable(`nobody has the engine ${engine}`)
}

// How it is attributed to its task is a thing of the handle's `stdout`, which does not exist yet.
test('CONFORMANCE 22: what a task prints comes with its outcome, once, and not at the node that ran it', async () => {
  const mesh = await attach(...nodes)
  await untilMeshed(mesh, 4)
  const task = mesh.submit((text: string) => console.log(text), ['printed by twenty-two'])
  await task
  expect(task.stdout).toBe('printed by twenty-two\n')
  const notes = nodes.flatMap(({ notes }) => notes).filter((note) => note.includes('printed by twenty-two'))
  expect(notes).toEqual([])
})

test('CONFORMANCE 17: what is released is gone at every node, and what is still running is not released', async () => {
  const mesh = await attach(nodes[0] as NodeProcess)
  const job = mesh.map(slowSquare, upTo(40))
  await job.accepted
  await expect(job.release()).rejects.toMatchObject({ code: 'SHOAL_BAD_OPTION' })
  expect(await job).toEqual(squares(40))
  await job.release()
  for (const node of nodes) {
    const other = await attach(node)
    await expect(other.job(job.id)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
    expect((await other.jobs()).map(({ id }) => id)).not.toContain(job.id)
  }
})

test('CONFORMANCE 34: the entry goes away; every future completes, nothing is cancelled, and so with each node in turn', async () => {
  const mesh = await attach(...nodes)
  const futures = upTo(20).map((n) => mesh.submit(slowSquare, [n]))
  const job = mesh.map(slowSquare, upTo(600))
  const { entry } = await mesh.status()
  for (const node of [nodeOf(`${entry}/0`), ...nodes.filter(({ id }) => id !== entry)]) {
    await crash(node)
    futures.push(mesh.submit(slowSquare, [futures.length]))
  }
  expect(await Promise.all(futures)).toEqual(squares(futures.length))
  expect(await job).toEqual(squares(600))
  expect(await mesh.submit(slowSquare, [9])).toBe(81)
})

test('CONFORMANCE 26: nodes are killed at random while a job runs; it completes, and every result is right', async () => {
  const seed = Date.now() % 100_000
  const random = seededRandom(seed)
  const mesh = await attach(...nodes)
  await untilMeshed(mesh, 4)
  let kills = 0
  // The job lasts as long as the killing does, whatever the machine's speed.
  const inputs = async function* (): AsyncGenerator<number> {
    for (let n = 0; kills < 4; n++) {
      await sleep(4)
      yield n
    }
  }
  const job = mesh.map(slowSquare, inputs(), { returnErrors: true })
  while (kills < 4) {
    // Exponential pauses make a Poisson process.
    await sleep(-300 * Math.log(1 - random.next()))
    await crash(random.pick(nodes) as NodeProcess, random.below(200))
    kills++
  }
  const results = await job
  expect({ seed, results }).toEqual({ seed, results: squares(results.length) })
})

test('CONFORMANCE 31: a node that stands still is out of the members after its time, not before, and is back when it goes on', async () => {
  const mesh = await attach(nodes[0] as NodeProcess)
  await untilMeshed(mesh, 4)
  // Asked of all, so that one of them is another node than the entry.
  const pids = mesh.map(async () => {
    await new Promise((resolve) => setTimeout(resolve, 300))
    return process.pid
  }, upTo(8))
  const all = await pids
  const at = upTo(8).find((n) => !pids.metadata(n)?.engine.startsWith(`${nodes[0]?.id}/`)) ?? -1
  const [pid, id] = [all[at] as number, nodeOf(pids.metadata(at)?.engine).id]
  const isMember = async (): Promise<boolean> => (await mesh.members()).some((member) => member.id === id)
  process.kill(pid, 'SIGSTOP')
  try {
    const stopped = performance.now()
    while (performance.now() - stopped < 3_000) {
      expect(await isMember()).toBe(true)
      await sleep(200)
    }
    await until(async () => !(await isMember()))
    // Its work goes on without it.
    expect(await mesh.map(slowSquare, upTo(40))).toEqual(squares(40))
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await until(isMember)
})

// Data that is scattered does not exist yet; what a job takes and gives is kept by three nodes.
test('CONFORMANCE 23 and 33: results survive the node that made them and kept them, its disk included', async () => {
  const mesh = await attach(...nodes)
  await untilMeshed(mesh, 4)
  const job = mesh.map(slowSquare, upTo(100))
  await job
  const maker = nodeOf(job.metadata(0)?.engine)
  await maker.kill()
  const reader = await attach(...nodes.filter((node) => node !== maker))
  const read = reader.job<number>(job.id)
  expect(await read).toEqual(squares(100))
  expect(upTo(100).some((n) => read.metadata(n)?.engine === `${maker.id}/0`)).toBe(true)
  // Dependent work takes the results where it finds them.
  expect(await reader.submit((values: number[]) => values.length, [await read])).toBe(100)
})

// A call to one engine does not exist yet; what happens to its work is item 2.
test('CONFORMANCE 1: a node that died has left the members within 5 s', async () => {
  const alive = nodes.filter(({ id }) => id !== nodes[0]?.id)
  const victim = nodes.at(-1) as NodeProcess
  const mesh = await attach(alive[0] as NodeProcess)
  await victim.kill()
  const died = performance.now()
  await until(async () => (await mesh.members()).every(({ id }) => id !== victim.id))
  expect(performance.now() - died).toBeLessThan(5_000)
})
