/**
 * Live streams on real nodes: read through any peer, at the reader's pace, to a clean end; and on the command line.
 *
 * Not here: what the nodes say to each other (test/node/sources.test.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { connect, type LiveSource, moduleFunction } from '../../src/index.ts'
import { Mesh, until } from '../conformance/mesh.ts'
import { programOf, withBuilt } from './prepare.ts'
import { Lab } from './processes.ts'

let mesh: Mesh | undefined
let lab: Lab | undefined
const children = new Set<ChildProcess>()
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
  await Promise.all([mesh?.close(), lab?.close()])
  mesh = undefined
  lab = undefined
})

/** Numbers without end, and how many were taken. */
class Counter {
  taken = 0
  isClosed = false

  async *[Symbol.asyncIterator](): AsyncGenerator<number> {
    try {
      for (;;) {
        this.taken++
        yield this.taken
        await new Promise(setImmediate)
      }
    } finally {
      this.isClosed = true
    }
  }
}

async function some<T>(source: LiveSource<T>, count: number): Promise<T[]> {
  const items: T[] = []
  while (items.length < count) {
    const { done, value } = await source.next()
    if (done) break
    items.push(value)
  }
  return items
}

test('a source is read through any peer, at the pace of its slowest reader, and ends with its node', async () => {
  mesh = await Mesh.open(3)
  const [first, second, third] = mesh.nodes
  const counter = new Counter()
  const offered = third?.source('microscope-3', counter)
  await until(async () =>
    ((await mesh?.client.members()) ?? []).some(({ sources }) => sources.includes('microscope-3'))
  )
  expect(counter.taken).toBe(0)
  await using far = await connect({ key: mesh.key, peers: [...(second?.addresses ?? [])], mdns: false })
  const sources = [
    far.source<number>('microscope-3', { ahead: 8 }),
    first?.client.source<number>('microscope-3', { ahead: 8 }),
    third?.client.source<number>('microscope-3', { ahead: 8 })
  ].filter((one) => one !== undefined)
  const read = await Promise.all(sources.map((source) => some(source, 100)))
  for (const items of read) {
    const from = items[0] ?? 0
    expect(items).toEqual(Array.from({ length: 100 }, (_, i) => from + i))
  }
  // Nobody reads on, so nothing more is taken than there was room for.
  const taken = counter.taken
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(counter.taken - taken).toBeLessThanOrEqual(9)
  const [quick, slow, own] = sources as [LiveSource<number>, LiveSource<number>, LiveSource<number>]
  await Promise.all([slow.return?.(), own.return?.()])
  expect(await some(quick, 50)).toHaveLength(50)
  await mesh.take(third as never).stop()
  await offered?.ended
  const rest = await some(quick, 1_000)
  expect(rest.length).toBeLessThan(20)
  expect(quick.reason).not.toBe('')
  expect(counter.isClosed).toBe(true)
  await expect(some(far.source('microscope-3'), 1)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})

test('a reader whose entry is lost reads on through another node', async () => {
  mesh = await Mesh.open(3)
  const [, entry, third] = mesh.nodes
  third?.source('clock', new Counter())
  const peers = [...(entry?.addresses ?? []), ...(mesh.nodes[0]?.addresses ?? [])]
  await using client = await connect({ key: mesh.key, peers, mdns: false })
  await until(async () => (await client.members()).some(({ sources }) => sources.includes('clock')))
  const { entry: attached } = await client.status()
  const clock = client.source<number>('clock', { ahead: 4 })
  const before = await some(clock, 20)
  const lost = mesh.nodes.find(({ id }) => id === attached)
  if (lost !== undefined && lost !== third) await mesh.take(lost).stop()
  const after = await some(clock, 20)
  expect(after).toHaveLength(20)
  expect(after[0]).toBeGreaterThan(before.at(-1) ?? 0)
})

const command = programOf(new URL('../../bin/shoal.ts', import.meta.url))

function shoal(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  return child
}

async function firstLine({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('no stdout')
  const [line] = await once(createInterface({ input: stdout }), 'line')
  return line
}

async function outputOf(child: ChildProcess): Promise<{ text: string; code: number | null }> {
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  const [code] = await once(child, 'close')
  return { text, code }
}

test('shoal up offers a command as a source, shoal source reads it at another node, shoal explain says who lacks it', async () => {
  lab = await Lab.open()
  const { key, keyFile } = lab
  const common = ['--key', keyFile, '--no-mdns']
  const up = async (...args: string[]): Promise<{ child: ChildProcess; address: string; id: string }> => {
    const child = shoal(
      'up',
      ...common,
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
      '--json',
      '--slots',
      '1',
      ...args
    )
    const { id, addresses } = JSON.parse(await firstLine(child))
    return { child, id, address: addresses[0] }
  }
  const lamp = 'i=0; while :; do i=$((i+1)); echo "light $i"; sleep 0.02; done'
  const scope = await up('--source', `scope=${lamp}`, '--label', 'room=12', '--resource', 'lamp=1')
  const other = await up('--peer', scope.address)
  await using client = await connect({ key, peers: [other.address], mdns: false })
  await until(async () => (await client.members()).some(({ sources }) => sources.includes('scope')))
  const task = client.submit((n: number) => n, [7], {
    requires: { source: 'scope', labels: { room: 12 }, resources: { lamp: 2 } }
  })
  await task.accepted
  const { text, code } = await outputOf(shoal('explain', task.id, ...common, '--peer', other.address))
  expect({ text, code }).toMatchObject({ code: 0 })
  expect(text).toContain('is waiting: no node that is up has what it requires')
  expect(text).toContain('has 1 of lamp, wants 2')
  expect(text).toContain('does not offer the source scope')
  const there = client.submit((n: number) => n, [8], {
    requires: { source: 'scope', resources: { lamp: 1 } }
  })
  expect(await there).toBe(8)
  expect(there.metadata?.engine).toBe(`${scope.id}/0`)
  // As before `| head -1`.
  const args = [command, 'source', 'scope', ...common, '--peer', other.address]
  const left = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(left)
  const complaint = Array.fromAsync(left.stderr.setEncoding('utf8'))
  await firstLine(left)
  left.stdout.destroy()
  const [leftWith] = await once(left, 'exit')
  expect({ code: leftWith, complaint: await complaint }).toEqual({ code: 1, complaint: [] })
  const reader = shoal('source', 'scope', ...common, '--peer', other.address)
  const read = outputOf(reader)
  await once(reader.stdout as never, 'data')
  // Its node goes without a word; the reader comes to a clean end.
  scope.child.kill('SIGKILL')
  const ended = await read
  expect(ended.code).toBe(0)
  expect(ended.text).toMatch(/^light \d+\n(light \d+\n)*$/)
})

test('the example: a task runs at the microscope and reads it', async () => {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('../../examples/instrument/demo.ts', import.meta.url))],
    { env: withBuilt(), stdio: ['ignore', 'pipe', 'inherit'] }
  )
  children.add(child)
  const { text, code } = await outputOf(child)
  expect(code).toBe(0)
  expect(JSON.parse(text)).toEqual({ frame: 25, seen: 100, ranAtTheMicroscope: true })
})

test.each(['thread', 'process'] as const)(
  'a task in a %s reads at its own pace, and what it reads ends with it',
  async (isolation) => {
    mesh = await Mesh.open(1, { isolation })
    const counter = new Counter()
    const offered = mesh.nodes[0]?.source('counter', counter)
    const read = moduleFunction(new URL('./reading.ts', import.meta.url))
    const requires = { source: 'counter' }
    const items = await mesh.client.submit<number[]>(read, ['counter', 20, 4], { requires })
    expect(items).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    // Nothing reads on, so nothing is taken any more.
    const { taken } = counter
    expect(taken).toBeLessThanOrEqual(20 + 5)
    // The next one begins where the source is now; one that is cancelled leaves nothing behind, either.
    const endless = mesh.client.submit(read, ['counter', Number.MAX_SAFE_INTEGER, 4], { requires })
    await until(() => counter.taken > taken + 50)
    await endless.cancel()
    await expect(endless.then()).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
    const before = counter.taken
    const last = mesh.client.submit<number[]>(read, ['counter', 100_000_000, 4], { requires })
    await until(() => counter.taken > before + 50)
    await offered?.close()
    expect((await last).length).toBeLessThan(100_000_000)
    expect(counter.isClosed).toBe(true)
  }
)

test.each([false, true])(
  'a task that reads until the end of its stream gives its result when its node is drained (hosted: %s)',
  async (hosted) => {
    mesh = await Mesh.open(2)
    const instrument = await mesh.join({ hosted })
    const counter = new Counter()
    const offered = instrument.source('counter', counter)
    await until(async () =>
      ((await mesh?.client.members()) ?? []).some(({ sources }) => sources.includes('counter'))
    )
    const read = moduleFunction(new URL('./reading.ts', import.meta.url))
    const task = mesh.client.submit<number[]>(read, ['counter', 100_000_000, 4], {
      requires: { source: 'counter' }
    })
    await until(() => counter.taken > 50)
    const stream = mesh.client.source<number>('counter', { ahead: 4 })
    const [left] = await Promise.all([
      mesh.take(instrument).drain({ timeout: 4_000 }),
      Array.fromAsync(stream)
    ])
    expect(left).toEqual({ tasks: 0, shards: 0, stalled: 0 })
    expect((await task).length).toBeGreaterThan(40)
    expect(task.metadata?.attempt).toBe(1)
    expect(stream.reason).not.toBe('')
    await offered.ended
    expect(counter.isClosed).toBe(true)
  }
)
