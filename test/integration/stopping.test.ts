/**
 * A node in the foreground (`shoal up`) that is told to stop while it has work: once, for too long, and twice.
 *
 * Not here: a node that leaves by its program or from elsewhere (departure.test.ts), and one that has nothing to do (command.test.ts).
 */
import { existsSync, readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Client, connect, type TaskHandle } from '../../src/index.ts'
import { until } from '../conformance/mesh.ts'
import { programOf } from './prepare.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'
import { type Script, start } from './scripts.ts'

const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))

let lab: Lab
let keeper: NodeProcess
let mesh: Client
let ups: Up[]

beforeEach(async () => {
  lab = await Lab.open()
  // It runs nothing, so that a task is where the test wants it.
  keeper = await lab.start('keeper', [], { slots: 0 })
  mesh = await lab.attach(keeper)
  ups = []
})

afterEach(async () => {
  for (const { script } of ups) script.child.kill('SIGKILL')
  await Promise.all(ups.map(({ script }) => script.ended))
  await lab.close()
})

interface Up {
  readonly id: string
  readonly address: string
  readonly script: Script
}

async function up(peers: readonly NodeProcess[], ...args: string[]): Promise<Up> {
  const listen = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']
  const script = start(lab, peers, [command, 'up', ...listen, '--json', '--slots', '1', ...args])
  const { id, addresses } = JSON.parse(await script.line('{'))
  ups.push({ id, address: addresses[0], script })
  return { id, address: addresses[0], script }
}

/** What it says at the end, and when that was. */
async function end({ script }: Up): Promise<{ code: number | null; errors: string; at: number }> {
  const { code, errors } = await script.ended
  return { code, errors, at: performance.now() }
}

/** The first run gives its engine back neither by itself nor when it is asked to; the second ends. */
const stubborn = (path: string): string => {
  const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs')
  if (existsSync(path)) return 'elsewhere'
  writeFileSync(path, '')
  for (;;);
}

/** Begun on the only engine that there is, before there is another. In an object, since a task is awaitable. */
async function stuckOn(client: Client): Promise<{ task: TaskHandle<string> }> {
  const path = join(lab.folder, 'begun')
  const task = client.submit(stubborn, [path])
  task.catch(() => {})
  await until(() => existsSync(path))
  return { task }
}

const lostRuns = async (): Promise<number> =>
  (await mesh.status()).nodes.reduce((sum, node) => sum + node.lostRuns, 0)

test('SIGTERM at work: what runs ends there, what waits goes to others, no attempt is counted, exit code 0', async () => {
  await lab.start('other', [keeper])
  const leaving = await up([keeper])
  await untilMeshed(mesh, 3)
  // It is the entry, too, and so the owner of what waits.
  const client = await connect({ key: lab.key, peers: [leaving.address, keeper.address], mdns: false })
  const job = client.map(
    async (x: number) => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      return x * x
    },
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  )
  const [, before] = await Promise.all([
    job.accepted,
    untilStatus(mesh, (all) => all.some(({ id, running, owns }) => id === leaving.id && running * owns === 1))
  ])
  expect(before.reduce((sum, { unfinished }) => sum + unfinished, 0)).toBeGreaterThan(5)
  leaving.script.child.kill('SIGTERM')
  const { code, errors } = await end(leaving)
  expect(code, errors).toBe(0)
  expect(errors).not.toContain('nobody took over')
  expect(job.progress.done).toBeLessThan(10)
  expect(await job).toEqual([0, 1, 4, 9, 16, 25, 36, 49, 64, 81])
  const runs = [...Array(10).keys()].map((index) => job.metadata(index))
  expect(runs.flatMap((run) => run?.earlier.map(({ how }) => how) ?? [])).toEqual([])
  expect(runs.map((run) => run?.attempt)).toEqual(runs.map(() => 1))
  expect(runs.some((run) => run?.engine === `${leaving.id}/0`)).toBe(true)
  expect(await lostRuns()).toBe(0)
  await client.close()
})

test('SIGTERM and a task that does not end: given back in the middle of --drain-timeout, which is no failure of it', async () => {
  const leaving = await up([keeper], '--drain-timeout', '1')
  await untilMeshed(mesh, 2)
  const { task } = await stuckOn(mesh)
  const other = await lab.start('other', [keeper])
  await untilMeshed(mesh, 3)
  const from = performance.now()
  leaving.script.child.kill('SIGTERM')
  const { code, errors, at } = await end(leaving)
  expect(code, errors).toBe(0)
  expect(at - from).toBeGreaterThan(500)
  expect(at - from).toBeLessThan(10_000)
  expect(await task).toBe('elsewhere')
  expect(task.metadata).toMatchObject({
    attempt: 2,
    engine: `${other.id}/0`,
    earlier: [{ how: 'handed back' }]
  })
  expect(await lostRuns()).toBe(0)
})

test('SIGTERM and an owner that does not answer: the end comes with --drain-timeout, and says what is left', async () => {
  const data = join(lab.folder, 'leaving')
  const leaving = await up([keeper], '--drain-timeout', '1', '--data', data)
  await untilMeshed(mesh, 2)
  const path = join(lab.folder, 'may-end')
  const task = mesh.submit(
    async (path: string) => {
      const { existsSync } = process.getBuiltinModule('node:fs')
      while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 20))
      return 'ended'
    },
    [path]
  )
  await untilStatus(mesh, (all) => all.some(({ running }) => running === 1))
  // It is silent, and nobody can know that yet; so the outcome finds nobody who takes it.
  keeper.pause()
  const from = performance.now()
  leaving.script.child.kill('SIGTERM')
  await writeFile(path, '')
  const { code, errors, at } = await end(leaving)
  expect(code, errors).toBe(0)
  expect(at - from).toBeGreaterThan(1_000)
  expect(at - from).toBeLessThan(10_000)
  expect(errors).toContain(`what was running of 1 shard; it is in ${data} until this node is started again`)
  keeper.resume()
  const again = await up([keeper], '--data', data)
  expect(again.id).toBe(leaving.id)
  expect(await task).toBe('ended')
})

const gated = async (begun: string, mayEnd: string): Promise<string> => {
  const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs')
  writeFileSync(begun, '')
  while (!existsSync(mayEnd)) await new Promise((resolve) => setTimeout(resolve, 20))
  return 'ended'
}

test('SIGINT at work, and nobody else is there: what runs may end, what waits is said to be lost', async () => {
  const alone = await up([])
  const client = await connect({ key: lab.key, peers: [alone.address], mdns: false })
  const [begun, mayEnd] = [join(lab.folder, 'begun'), join(lab.folder, 'may-end')]
  const running = client.submit(gated, [begun, mayEnd])
  const waiting = client.submit(gated, [begun, mayEnd])
  waiting.catch(() => {})
  await Promise.all([waiting.accepted, until(() => existsSync(begun))])
  alone.script.child.kill('SIGINT')
  await sleep(500)
  expect(alone.script.child.exitCode).toBe(null)
  await writeFile(mayEnd, '')
  const { code, errors } = await end(alone)
  expect(code, errors).toBe(0)
  expect(errors).not.toContain('to others')
  expect(errors).toContain(
    'nobody took over 1 shard and what was running of 0 shards; with this node it is gone'
  )
  expect(await running).toBe('ended')
  await client.close()
})

test('SIGINT and a task that does not end, and nobody else is there: the end comes in the middle of --drain-timeout', async () => {
  const data = join(lab.folder, 'leaving')
  const alone = await up([], '--drain-timeout', '2', '--data', data)
  const client = await connect({ key: lab.key, peers: [alone.address], mdns: false })
  await stuckOn(client)
  const from = performance.now()
  alone.script.child.kill('SIGINT')
  const { code, errors, at } = await end(alone)
  expect(code, errors).toBe(0)
  expect(at - from).toBeGreaterThan(1_000)
  expect(errors).toContain(
    `1 shard and what was running of 1 shard; it is in ${data} until this node is started`
  )
  await client.close()
})

test('drained from elsewhere, and nobody else is there: what waits is said to be lost, too', async () => {
  const alone = await up([])
  const client = await connect({ key: lab.key, peers: [alone.address], mdns: false })
  const [begun, mayEnd] = [join(lab.folder, 'begun'), join(lab.folder, 'may-end')]
  const jobs = [client.submit(gated, [begun, mayEnd]), client.submit(gated, [begun, mayEnd])]
  for (const job of jobs) job.catch(() => {})
  await Promise.all([...jobs.map(({ accepted }) => accepted), until(() => existsSync(begun))])
  await client.drain(alone.id)
  await writeFile(mayEnd, '')
  const { code, errors } = await end(alone)
  expect(code, errors).toBe(0)
  expect(errors).toContain(
    'nobody took over 1 shard and what was running of 0 shards; with this node it is gone'
  )
  await client.close()
})

test('SIGINT, nobody else is there, and all has ended: results that only it keeps hold nothing up', async () => {
  const alone = await up([])
  const client = await connect({ key: lab.key, peers: [alone.address], mdns: false })
  expect(await client.map((x: number) => x + 1, [1, 2, 3])).toEqual([2, 3, 4])
  const from = performance.now()
  alone.script.child.kill('SIGINT')
  const { code, errors, at } = await end(alone)
  expect(code, errors).toBe(0)
  expect(errors).not.toContain('nobody took over')
  expect(at - from).toBeLessThan(5_000)
  await client.close()
})

test('two of three leave while work is open: the second one, and who drains it, say that it stands still, and until when', async () => {
  const data = join(lab.folder, 'second')
  const first = await up([keeper])
  const second = await up([keeper], '--drain-timeout', '1', '--data', data)
  await untilMeshed(mesh, 3)
  const task = mesh.submit((x: number) => x + 1, [1], { requires: { labels: { rare: 'yes' } } })
  await task.accepted
  await untilStatus(mesh, (all) => all.every(({ keeps }) => keeps === 1))
  first.script.child.kill('SIGTERM')
  const { code, errors } = await end(first)
  expect(code, errors).toBe(0)
  expect(errors).not.toContain('stands still')
  await untilMeshed(mesh, 2)
  const drain = start(lab, [keeper], [command, 'drain', second.id, '--no-mdns'])
  await untilStatus(mesh, (all) => all.some(({ unavailable }) => unavailable === 'leaving'))
  second.script.child.kill('SIGTERM')
  const last = await end(second)
  expect(last.code, last.errors).toBe(0)
  const standing = 'open work of 1 shard stands still: too few of its keepers'
  expect(last.errors).toContain(
    `${standing} stay; it goes on when this node or another one that left is back`
  )
  expect(last.errors).not.toContain('nobody took over')
  expect(await drain.ended).toMatchObject({
    code: 0,
    out: [`node ${second.id} has left; ${standing} are up; it goes on when one of them is back`]
  })
  await up([keeper], '--data', data, '--label', 'rare=yes')
  expect(await task).toBe(2)
})

test('a second SIGTERM stops at once, and what ran there runs elsewhere as after any loss', async () => {
  const leaving = await up([keeper])
  await untilMeshed(mesh, 2)
  const { task } = await stuckOn(mesh)
  await lab.start('other', [keeper])
  await untilMeshed(mesh, 3)
  leaving.script.child.kill('SIGTERM')
  // Longer than an echo of the first takes to arrive, and shorter than the half minute that it has by default.
  await sleep(500)
  expect(leaving.script.child.exitCode).toBe(null)
  const from = performance.now()
  leaving.script.child.kill('SIGTERM')
  const { code, at } = await end(leaving)
  expect(code).toBe(1)
  expect(at - from).toBeLessThan(10_000)
  expect(await task).toBe('elsewhere')
  expect(task.metadata).toMatchObject({ attempt: 2, earlier: [{ how: 'lost' }] })
})

test('a command that is told to stop ends in time, also if the mesh does not answer, and says what may go on', async () => {
  const [work, out] = [join(lab.folder, 'work.mjs'), join(lab.folder, 'out.txt')]
  await writeFile(work, 'export default (x) => x')
  const script = start(lab, [keeper], [command, 'map', work, '1', '--no-mdns', '--out', out])
  await untilStatus(mesh, ([node]) => node?.unfinished === 1)
  keeper.pause()
  script.child.kill('SIGTERM')
  const { code, errors } = await script.ended
  keeper.resume()
  expect(code).toBe(1)
  expect(errors).toMatch(
    /the mesh did not answer within 10 s: job (\S+) may go on; `shoal cancel \1` ends it\n$/
  )
  expect(readdirSync(lab.folder).filter((name) => name.startsWith('out.txt'))).toEqual([])
})
