/**
 * What users of ipyparallel and dask rely on, or wish they could, when a node dies, stands still, or comes back.
 *
 * Not here: tasks that fail by themselves (tasks.test.ts), nodes that come and go in good order (churn.test.ts).
 * Names begin with the item of CONFORMANCE.md. One mesh of processes with disks for all tests; who is killed is started again.
 */
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
  const go = join(lab.folder, 'go')
  const wait = async (path: string): Promise<void> => {
    const { existsSync } = process.getBuiltinModule('node:fs')
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const job = mesh.map(
    wait,
    Array.from({ length: 4 }, () => go)
  )
  await job.accepted
  await expect(job.release()).rejects.toMatchObject({ code: 'SHOAL_BAD_OPTION' })
  await writeFile(go, '')
  await job
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
  const still = nodes[1] as NodeProcess
  const isMember = async (): Promise<boolean> => (await mesh.members()).some(({ id }) => id === still.id)
  // Silence is counted from the last that was heard of it, and this is heard.
  await mesh.view(`${still.id}/0`).apply(() => 1)
  still.pause()
  const paused = performance.now()
  try {
    let gone = 0
    await until(async () => {
      const asked = performance.now()
      if (await isMember()) return false
      gone = asked - paused
      return true
    })
    // 5 s without a word, seen at the next heartbeat at the latest. A busy machine adds what it delays by itself.
    expect(gone).toBeGreaterThan(4_800)
    expect(gone).toBeLessThan(20_000)
    // Its work goes on without it.
    expect(await mesh.map(slowSquare, upTo(40))).toEqual(squares(40))
  } finally {
    still.resume()
  }
  await until(isMember)
})

test('CONFORMANCE 23 and 33: dependants and readers get the results of a node that is gone with its disk', async () => {
  const mesh = await attach(...nodes)
  await untilMeshed(mesh, 4)
  const job = mesh.map(slowSquare, upTo(100))
  // More than travels within messages: what is kept is data.
  const large = mesh.map(async (n: number) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return String(n % 10).repeat(100_000)
  }, upTo(12))
  await Promise.all([job, large])
  // The entry is the first keeper of both.
  const maker = nodeOf(`${(await mesh.status()).entry}/0`)
  const rest = nodes.filter((node) => node !== maker)
  await maker.kill()
  await rm(join(lab.folder, maker.name), { recursive: true })
  const reader = await attach(...rest)
  const [small, big] = [reader.job<number>(job.id), reader.job<string>(large.id)]
  // The mesh brings them to the dependant: this client has not read any.
  const length = reader.submit((texts: string[]) => texts.map((text) => text.length), [big])
  const total = reader.submit((all: number[]) => all.reduce((sum, n) => sum + n, 0), [small])
  const after = reader.submit(() => 'after', [], { after: [big, small] })
  expect(await Promise.all([length, total, after])).toEqual([upTo(12).map(() => 100_000), 328_350, 'after'])
  expect(await small).toEqual(squares(100))
  expect(await big).toEqual(upTo(12).map((n) => String(n % 10).repeat(100_000)))
  // It had made some of each.
  expect(upTo(12).map((n) => big.metadata(n)?.engine)).toContain(`${maker.id}/0`)
  expect(upTo(100).map((n) => small.metadata(n)?.engine)).toContain(`${maker.id}/0`)
  nodes[nodes.indexOf(maker)] = await lab.start(maker.name, rest)
})

test('CONFORMANCE 1: a directed call to a node that is killed fails within 10 s, naming its engine, and 5 s later nobody lists it', async () => {
  const mesh = await attach(nodes[0] as NodeProcess)
  await untilMeshed(mesh, 4)
  const victim = nodes.at(-1) as NodeProcess
  const engine = `${victim.id}/0`
  const view = mesh.view(engine)
  const begun = join(lab.folder, 'begun')
  const call = view.apply((path: string) => {
    process.getBuiltinModule('node:fs').writeFileSync(path, '')
    return new Promise(() => {})
  }, begun)
  await until(() => existsSync(begun))
  await victim.kill()
  const died = performance.now()
  await expect(call.get()).rejects.toMatchObject({ code: 'ENGINE_LOST', engine })
  const failed = performance.now()
  expect(failed - died).toBeLessThan(10_000)
  await until(async () => (await mesh.members()).every(({ id }) => id !== victim.id))
  await until(async () => (await mesh.engines()).every(({ id }) => id !== engine))
  expect(performance.now() - failed).toBeLessThan(5_000)
  await expect(view.apply(() => 1).get()).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})
