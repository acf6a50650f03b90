/**
 * A node on somebody's own machine: it works while nobody is there, stands still when somebody comes, and gives back.
 *
 * Not here: when that is so (test/node/presence.test.ts), and how it is seen (test/node/probe.test.ts). The owner is a probe of the
 * test, or says what he wants by flags; engines and meshes are real.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { createKey, createNode, type Node, type NodeOptions, writeKey } from '../../src/index.ts'
import { programOf } from './prepare.ts'
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

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

function spawned(program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: 'pipe' })
  children.push(child)
  return child
}

async function shoal(...args: string[]): Promise<Ended> {
  const child = spawned(process.execPath, [command, ...args])
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text) => {
      said[name] += text
    })
  const [code] = await once(child, 'close')
  return { code, ...said }
}

async function firstLine({ stdout, spawnargs }: ChildProcess): Promise<string> {
  const lines = createInterface({ input: stdout as Readable })
  const [line] = await Promise.race([once(lines, 'line'), once(lines, 'close')])
  return line ?? expect.unreachable(`${spawnargs.join(' ')} said nothing`)
}

/** Says its nice value, and how much memory it may use. */
const confession = `
import { getPriority } from 'node:os'
import { getHeapStatistics } from 'node:v8'
export default () => ({ nice: getPriority(), heapMb: getHeapStatistics().heap_size_limit / 2 ** 20 })
`

/** A terminal in which somebody typed a minute ago. */
async function terminal(): Promise<void> {
  const open =
    'import os, pty, sys; _, end = pty.openpty(); print(os.ttyname(end), flush=True); sys.stdin.read()'
  const path = await firstLine(spawned('python3', ['-c', open]))
  await utimes(path, Date.now() / 1_000 - 60, Date.now() / 1_000)
}

test('`shoal up` takes every manner as a flag, and a status tells what it does', { timeout }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-manners-'))
  const keyFile = join(folder, 'lab.key')
  await writeKey(keyFile, key)
  const near = ['--key', keyFile, '--no-mdns']
  if (process.platform !== 'linux') {
    expect(await shoal('up', ...near, '--when', 'idle')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('cannot be seen')
    })
    return
  }
  const up = async (...flags: string[]): Promise<{ id: string; addresses: string[] }> => {
    const listen = ['--listen', '/ip4/127.0.0.1/tcp/0', '--slots', '1', '--json']
    return JSON.parse(
      await firstLine(spawned(process.execPath, [command, 'up', ...near, ...listen, ...flags]))
    )
  }
  const hour = new Date().getHours()
  const hours = (from: number): string => `${(hour + from) % 24}:00-${(hour + from + 3) % 24}:00`
  const anyLoad = ['--idle-load', '100000']
  const isolated = ['--isolation', 'process', '--nice', '7', '--memory-limit', '64']
  const always = ['--when', 'idle', ...anyLoad, '--idle-after', '0.001', '--hours', hours(23)]
  const first = await up(...isolated, ...always)
  const peer = ['--peer', first.addresses[0] as string]
  await terminal()
  const expected: Record<string, string[]> = {
    'not at these hours': ['--hours', hours(4)],
    'never idle, for others would compute': ['--when', 'idle', '--idle-load', '0'],
    'gives back at once': ['--when', 'idle', '--idle-load', '0', '--hand-back-after', '0.001'],
    'in use, as of the last hour': ['--when', 'idle', ...anyLoad, '--idle-after', '3600']
  }
  const names = await Promise.all(
    Object.entries(expected).map(async ([name, flags]) => [(await up(...peer, ...flags)).id, name] as const)
  )
  const nameOf = new Map([[first.id, 'free'], ...names])
  const seen = async (): Promise<Record<string, string>> => {
    const { stdout } = await shoal('status', ...near, ...peer, '--json')
    const { nodes } = JSON.parse(stdout) as {
      nodes: { id: string; availability: string; unavailable?: string }[]
    }
    return Object.fromEntries(
      nodes.map(({ id, availability, unavailable = 'free' }) => [
        nameOf.get(id),
        `${availability}, ${unavailable}`
      ])
    )
  }
  let all = await seen()
  // It gives back at its second look, a second after the first.
  while (Object.keys(all).length < 5 || all['gives back at once'] === 'paused, in-use') all = await seen()
  expect(all).toEqual({
    free: 'open, free',
    'not at these hours': 'paused, outside-hours',
    'never idle, for others would compute': 'paused, in-use',
    'gives back at once': 'closed, in-use',
    'in use, as of the last hour': 'paused, in-use'
  })
  const table = (await shoal('status', ...near, ...peer)).stdout
  for (const why of ['(paused: outside hours)', '(paused: in use)', '(closed: in use)'])
    expect(table).toContain(why)
  const module = join(folder, 'work.mjs')
  await writeFile(module, confession)
  const { stdout } = await shoal('map', module, 'one', ...near, ...peer)
  const { nice, heapMb } = JSON.parse(stdout)
  expect(nice).toBe(7)
  // With what Node adds for short-lived things; without the flag it is half of this machine, or 4,096.
  expect(heapMb).toBeGreaterThanOrEqual(64)
  expect(heapMb).toBeLessThan(400)
  const wrong = ['--nice=20', '--memory-limit=1', '--when=never', '--hours=9-5', '--idle-load=no']
  const refused = await Promise.all(wrong.map((flag) => shoal('up', ...near, flag)))
  for (const [at, { code, stderr }] of refused.entries()) {
    expect(code, wrong[at]).toBe(2)
    expect(stderr, wrong[at]).toContain('SHOAL_BAD_OPTION')
  }
  await rm(folder, { recursive: true })
})
