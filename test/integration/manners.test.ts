/**
 * A node on somebody's own machine: it works while nobody is there, stands still when somebody comes, and gives back.
 *
 * Not here: when that is so (test/node/presence.test.ts). The owner is a probe of the test; engines and meshes are real.
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { createKey, createNode, type Node, type NodeOptions } from '../../src/index.ts'
import { openProbe } from '../../src/node/probe.ts'
import { untilStatus } from './processes.ts'

const timeout = 180_000
const nodes: Node[] = []
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()))
})

const key = createKey()
async function start(options: Partial<NodeOptions>, ...peers: readonly Node[]): Promise<Node> {
  const node = await createNode({
    key,
    mdns: false,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    peers: peers.flatMap(({ addresses }) => addresses),
    ...options
  })
  nodes.push(node)
  return node
}

const stateOf = (pid: number): string =>
  spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()[0] ?? 'gone'

/** States of the processes that this one started as engines. */
function enginesOfThis(): string[] {
  const { stdout } = spawnSync('ps', ['-o', 'stat=,args=', '--ppid', String(process.pid)], {
    encoding: 'utf8'
  })
  return stdout
    .split('\n')
    .flatMap((line) => (/worker\.ts|engine\.js/.test(line) ? [line.trim()[0] ?? ''] : []))
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(20)
}

/** Ends when a file is there, and says in which process. */
const work = async (begun: string, go: string): Promise<number> => {
  const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs')
  writeFileSync(`${begun}-${process.pid}`, '')
  writeFileSync(begun, String(process.pid))
  while (!existsSync(go)) await new Promise((resolve) => setTimeout(resolve, 10))
  return process.pid
}

test('an owner who comes back stops what runs at once; it goes on when the owner leaves, or elsewhere when not', {
  timeout
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-manners-'))
  const owner = { idleMs: Number.POSITIVE_INFINITY }
  const probe = {
    idleMs: () => Promise.resolve(owner.idleMs),
    load: () => Promise.resolve(0),
    close: () => {}
  }
  const entry = await start({ slots: 0 })
  const lent = { slots: 1, isolation: 'process', when: 'idle', probe } as const
  const patient = await start({ ...lent, idle: { after: 100, lookEvery: 20, handBackAfter: 1_500 } }, entry)
  const begun = join(folder, 'begun')
  const read = async (): Promise<number> => {
    for (;;) {
      const pid = Number(await readFile(begun, 'utf8').catch(() => ''))
      if (pid > 0) return pid
      await sleep(20)
    }
  }
  const task = entry.client.submit(work, [begun, join(folder, 'go')])
  const pid = await read()
  owner.idleMs = 0
  await until(() => stateOf(pid) === 'T')
  await untilStatus(entry.client, (all) => all.some(({ availability }) => availability === 'paused'))
  owner.idleMs = 1e9
  await until(() => stateOf(pid) !== 'T')
  await untilStatus(entry.client, (all) => all.every(({ availability }) => availability === 'open'))
  // The owner comes back for good: another node runs it, as its second attempt, and nobody's failure.
  owner.idleMs = 0
  await until(() => stateOf(pid) === 'T')
  await untilStatus(entry.client, (all) => all.some(({ availability }) => availability === 'closed'))
  await until(() => stateOf(pid) === 'gone' || stateOf(pid) === 'Z')
  // The engine that takes its place stands still from the beginning.
  await until(() => enginesOfThis().join() === 'T')
  await rm(begun)
  await start({ slots: 1 }, entry, patient)
  expect(await read()).toBe(process.pid)
  await writeFile(join(folder, 'go'), '')
  expect(await task).toBe(process.pid)
  expect(task.metadata?.earlier.filter(({ how }) => how === 'lost')).toEqual([])
  // It keeps what it kept all the time, and works again when it may.
  owner.idleMs = 1e9
  await untilStatus(entry.client, (all) => all.every(({ availability }) => availability === 'open'))
  const { nodes: all } = await entry.client.status()
  expect(all.find(({ id }) => id === patient.id)).toMatchObject({ isKeeper: true, disk: 'sound' })
  await rm(folder, { recursive: true })
})

test('a node outside its hours says so, and explain says that a task waits for no other reason', {
  timeout
}, async () => {
  const hour = (ahead: number): string =>
    `${String((new Date().getHours() + ahead) % 24).padStart(2, '0')}:00`
  const notes: string[] = []
  const hours = `${hour(2)}-${hour(3)}`
  const node = await start({ slots: 1, hours, onNote: (text) => notes.push(text) })
  expect(notes.join()).toContain('takes no work: it is outside its hours;')
  const task = node.client.submit(() => 1, [])
  await task.accepted
  const { reason, nodes: all } = await task.explain()
  expect(reason).toBe('1 of 1 nodes could run it, but takes no work now: outside its hours')
  expect(all).toMatchObject([{ id: node.id, missing: [], waitsFor: [], unavailable: 'outside-hours' }])
})

test('Linux tells how long nobody typed, and what others compute', { timeout }, async () => {
  if (process.platform !== 'linux') {
    await expect(openProbe(() => {})).rejects.toThrow(/cannot be seen/)
    return
  }
  const probe = await openProbe(() => {})
  expect(await probe.idleMs()).toBeGreaterThanOrEqual(0)

  expect(await probe.load()).toBeGreaterThanOrEqual(0)
  probe.close()
})
