/**
 * The promises that users rely on first, on real processes with real disks, sockets and kills.
 *
 * Not here: the protocol's corner cases, which the simulator searches for by the hundred thousand.
 */
import { fork } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  type Client,
  CompositeError,
  connect,
  createKey,
  createNode,
  moduleFunction,
  ShoalError,
  TaskError
} from '../../src/index.ts'
import { programOf, withBuilt } from './prepare.ts'
import { Lab, type NodeProcess, untilMeshed, untilStatus } from './processes.ts'

let lab: Lab

beforeEach(async () => {
  lab = await Lab.open()
})

afterEach(() => lab.close())

const slowSquare = async (x: number): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 10))
  return x * x
}

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

test('a client whose entry is killed half way gets every result once and in order, from another node', async () => {
  const [a, b, c] = (await lab.mesh(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const mesh = await lab.attach(a, b, c)
  await untilMeshed(mesh, 3)
  const results: number[] = []
  for await (const result of mesh.map(slowSquare, count(600))) {
    results.push(result)
    if (results.length === 200) await a.kill()
  }
  expect(results).toEqual(count(600).map((x) => x * x))
})

test('a job whose submitter is gone completes, and any peer gives its results', async () => {
  const [a, b] = (await lab.mesh(3)) as [NodeProcess, NodeProcess]
  const submitter = await lab.attach(a)
  await untilMeshed(submitter, 3)
  const job = submitter.map(slowSquare, count(200), { name: 'left alone' })
  await job.accepted
  job.catch(() => {})
  await submitter.close()
  await a.kill()
  const reader = await lab.attach(b)
  expect(await reader.job(job.id)).toEqual(count(200).map((x) => x * x))
  expect((await reader.jobs())[0]).toMatchObject({ id: job.id, name: 'left alone', tasks: 200, done: 200 })
})

test('results survive that every node is killed at once and started again', async () => {
  const nodes = (await lab.mesh(3)) as [NodeProcess, NodeProcess, NodeProcess]
  const before = await lab.attach(...nodes)
  await untilMeshed(before, 3)
  const job = before.map(slowSquare, count(100))
  await job.accepted
  job.catch(() => {})
  await before.close()
  await Promise.all(nodes.map((node) => node.kill()))
  const again = await lab.mesh(3)
  const after = await lab.attach(...again)
  expect(await after.job(job.id)).toEqual(count(100).map((x) => x * x))
})

describe('one node and one client', () => {
  let lab: Lab
  let a: NodeProcess
  let mesh: Client

  beforeAll(async () => {
    lab = await Lab.open()
    a = await lab.start('n1')
    mesh = await lab.attach(a)
  })
  afterAll(() => lab.close())

  test('an error comes back with its name, message, stack, engine and attempt', async () => {
    const task = mesh.submit(
      (n: number) => {
        throw new RangeError(`not ${n}`)
      },
      [7],
      { retries: 2 }
    )
    const error = await task.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TaskError)
    expect(error).toMatchObject({
      name: 'RangeError',
      message: 'not 7',
      code: 'TASK_FAILED',
      attempt: 3,
      engine: `${a.id}/0`,
      taskId: `${task.id}:0`
    })
    expect((error as TaskError).stack).toContain('RangeError: not 7\n')
  })

  test('several failures come together in input order, or among the results if that is asked for', async () => {
    const odd = (n: number): number => {
      if (n % 2 === 1) throw new Error(`odd ${n}`)
      return n
    }
    const error = await mesh.map(odd, count(6)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(CompositeError)
    expect((error as CompositeError).errors.map(({ message }) => message)).toEqual([
      'odd 1',
      'odd 3',
      'odd 5'
    ])
    const values = await mesh.map(odd, count(4), { returnErrors: true })
    const shown = (values as unknown[]).map((value) => (value instanceof Error ? value.message : value))
    expect(shown).toEqual([0, 'odd 1', 2, 'odd 3'])
  })

  test('an argument that cannot travel is named by index and path, and nothing from there on runs', async () => {
    const inputs = [1, 2, { rows: [0, () => 1] }, 4]
    const before = (await mesh.jobs()).map(({ id }) => id)
    const job = mesh.map((x: unknown) => x, inputs)
    await expect(job).rejects.toMatchObject({ code: 'SHOAL_BAD_VALUE' })
    await expect(job).rejects.toThrow(/input 2 .*rows\[1\]/)
    const since = (await mesh.jobs()).filter(({ id }) => !before.includes(id))
    expect(since.filter(({ tasks }) => tasks > 2)).toEqual([])
  })

  test('endless inputs are pulled with a bound, and leaving early cancels what is left', async () => {
    let pulled = 0
    async function* endless(): AsyncGenerator<number> {
      for (;;) yield pulled++
    }
    let next = 0
    const job = mesh.map((x: number) => -x, endless(), { inFlightMax: 32 })
    for await (const result of job) {
      expect(result).toBe(next === 0 ? -0 : -next)
      expect(pulled - next).toBeLessThanOrEqual(33)
      if (++next === 300) break
    }
    expect(await job.status()).toMatchObject({ state: 'cancelled' })
  })

  test('cancel ends waiting and running tasks', async () => {
    const job = mesh.map(
      (ms: number) => new Promise((resolve) => setTimeout(resolve, ms, ms)),
      [0, 60_000, 60_000]
    )
    const first = await new Promise((resolve) => job.onProgress(resolve))
    expect(first).toMatchObject({ done: 1 })
    await job.cancel()
    await expect(job).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  })

  test('who holds another key is refused, hears why, and the node says it', async () => {
    const stranger = connect({ key: createKey(), peers: [a.address], mdns: false })
    await expect(stranger).rejects.toMatchObject({ code: 'SHOAL_REFUSED' })
    await a.noted('refused')
    await expect(connect({ key: createKey(), peers: [a.address], mdns: false })).rejects.toThrow(ShoalError)
    expect(await (await lab.attach(a)).members()).toHaveLength(1)
  })

  test('a node with another key is told what to do, if it was given the address of a node here', async () => {
    const told = Promise.withResolvers<string>()
    const onNote = (text: string): void => {
      if (text.includes('key file')) told.resolve(text)
    }
    const peers = [a.address]
    await using stray = await createNode({ key: createKey(), slots: 0, peers, mdns: false, onNote })
    expect(await told.promise).toBe(
      `refused ${a.address}: it holds another mesh key; if this node should join that mesh, start it with a copy of the key file used there`
    )
    expect(await stray.client.members()).toHaveLength(1)
  })

  test('a second node on the same data folder refuses to start', async () => {
    const second = createNode({ key: lab.key, data: join(lab.folder, 'n1'), mdns: false })
    await expect(second).rejects.toMatchObject({ code: 'SHOAL_DATA_IN_USE' })
  })

  test('wrong options are refused by name', async () => {
    const wrong = [{ retries: -1 }, { timeout: 0 }, { keepers: 16 }, { retry: 1 }] as object[]
    for (const options of wrong) {
      expect(() => mesh.map((x: number) => x, [1], options)).toThrow(ShoalError)
      expect(() => mesh.map((x: number) => x, [1], options)).toThrow(`\`${Object.keys(options)[0]}\``)
    }
    const captured = 1
    await expect(mesh.map((x: number) => x + captured, [1])).rejects.toThrow('`captured`')
    expect(await mesh.map((x: number) => x + captured, [1], { scope: { captured } })).toEqual([2])
  })
})

test('a module travels with its imports, and its code is run by nodes that never saw the client', async () => {
  const [a, b] = (await lab.mesh(2)) as [NodeProcess, NodeProcess]
  const mesh = await lab.attach(a, b)
  const file = fileURLToPath(new URL('../../examples/word-count/words.ts', import.meta.url))
  const job = mesh.map<Map<string, number>>(moduleFunction(file, 'countWords'), [
    { name: 'a', packed: gzipSync('Nodes node NODE') },
    { name: 'b', packed: gzipSync('meshes') }
  ])
  expect((await job).map((counts) => [...counts])).toEqual([[['node', 3]], [['mesh', 1]]])
})

test('nobody there: the error says what to do', async () => {
  const nobody = connect({ key: lab.key, peers: ['/ip4/127.0.0.1/tcp/1'], mdns: false, timeout: 300 })
  await expect(nobody).rejects.toMatchObject({
    code: 'SHOAL_NO_MESH',
    message: expect.stringContaining('is a node running there?')
  })
})

test('addresses in $SHOAL_PEERS come first, and if nobody is there hide no node of this machine; `peers` are all that is tried', async () => {
  const [a, b] = (await lab.mesh(2)) as [NodeProcess, NodeProcess]
  const nowhere = '/ip4/127.0.0.1/tcp/1'
  const entry = async (hosted = false): Promise<string> => {
    await using client = await connect({ key: lab.key, mdns: false, timeout: 10_000, hosted })
    return (await client.status()).entry
  }
  try {
    for (const { id, address } of [a, b]) {
      vi.stubEnv('SHOAL_PEERS', `${nowhere},${address}`)
      expect(await entry()).toBe(id)
    }
    vi.stubEnv('SHOAL_PEERS', nowhere)
    expect([a.id, b.id]).toContain(await entry())
    expect([a.id, b.id]).toContain(await entry(true))
    const alone = connect({ key: lab.key, peers: [nowhere], mdns: false, timeout: 300 })
    await expect(alone).rejects.toMatchObject({ code: 'SHOAL_NO_MESH' })
  } finally {
    vi.unstubAllEnvs()
  }
})

test('the demo ends with nothing lost, wrong or delivered twice', { timeout: 240_000 }, async () => {
  const file = fileURLToPath(new URL('../../examples/word-count/demo.ts', import.meta.url))
  // It allows itself 60 s; other tests keep this machine busy meanwhile, and how busy nobody knows.
  const demo = fork(file, ['200'], { env: withBuilt(), stdio: ['ignore', 'pipe', 'ignore', 'ipc'] })
  let text = ''
  demo.stdout?.on('data', (chunk) => {
    text += chunk
  })
  const code = await new Promise((resolve) => demo.once('exit', resolve))
  expect(JSON.parse(text.trim().split('\n').at(-1) ?? '')).toMatchObject({
    nodes: 3,
    killed: 1,
    lost: 0,
    wrong: 0,
    duplicatesDelivered: 0
  })
  expect(code).toBe(0)
})

test('a demo that is interrupted takes its nodes and its folder along', async () => {
  const file = fileURLToPath(new URL('../../examples/word-count/demo.ts', import.meta.url))
  const env = { ...withBuilt(), TMPDIR: lab.folder }
  const demo = fork(file, { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  const ended = new Promise((resolve) => demo.once('exit', resolve))
  let text = ''
  for await (const chunk of demo.stderr ?? []) {
    text += chunk
    if (text.includes('see each other')) demo.kill('SIGINT')
  }
  const code = await ended
  const nodes = [...text.matchAll(/is up: process (\d+)/g)].map(([, pid]) => Number(pid))
  const left = nodes.filter((pid) => {
    try {
      return process.kill(pid, 'SIGKILL')
    } catch {
      return false
    }
  })
  expect({ code, nodes: nodes.length, left }).toEqual({ code: 130, nodes: 3, left: [] })
  expect((await readdir(lab.folder)).filter((name) => name.startsWith('shoal-demo-'))).toEqual([])
})

test("the demo's client ends without a word when the demo is gone", async () => {
  const file = fileURLToPath(new URL('../../examples/word-count/submit.ts', import.meta.url))
  const node = await lab.start('n1', [], { slots: 0 })
  const env = { ...withBuilt(), SHOAL_KEY: lab.keyFile }
  const client = fork(file, [node.address], { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  const ended = new Promise((resolve) => client.once('exit', resolve))
  let text = ''
  client.stderr?.on('data', (chunk) => {
    text += chunk
  })
  lab.undo(() => client.kill('SIGKILL'))
  await untilStatus(await lab.attach(node), ([one]) => (one?.unfinished ?? 0) > 0)
  client.disconnect()
  expect(await ended).toBe(1)
  expect(text).toBe('')
})

test("the README's ten lines do what they say", async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
  const [, code = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? []
  expect(code.trim().split('\n').length).toBeLessThanOrEqual(10)
  const runnable = code.replace(
    "'shoal'",
    JSON.stringify(pathToFileURL(programOf(new URL('../../src/index.ts', import.meta.url))).href)
  )
  const lines: unknown[] = []
  const log = console.log
  console.log = (...values) => void lines.push(...values)
  try {
    await import(`data:text/javascript,${encodeURIComponent(runnable)}`)
  } finally {
    console.log = log
  }
  expect(lines).toEqual([[1, 4, 9]])
})
