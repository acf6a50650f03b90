/**
 * What users of ipyparallel and dask rely on when a task fails, hangs, is cancelled, or takes its engine along.
 *
 * Not here: nodes that are lost or leave (nodes.test.ts).
 * Names begin with the item of CONFORMANCE.md, in our words: a node's engine is a thread, and comes back by itself.
 */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { call, connect, type RunMetadata, type TaskError } from '../../src/index.ts'
import { Mesh, until, upTo } from './mesh.ts'

let mesh: Mesh
beforeAll(async () => {
  mesh = await Mesh.open(4, { heapMb: 48 })
})
afterAll(() => mesh.close())

const file = (name: string): string => join(mesh.folder, name)
const failureOf = (one: PromiseLike<unknown>): Promise<TaskError> =>
  Promise.resolve(one).then(
    () => expect.unreachable(),
    (error: unknown) => error as TaskError
  )
/** Leaves a line in a file and then, at its first run, does what it is told. */
const once = async (path: string, deed: string): Promise<string> => {
  const { appendFileSync, readFileSync } = process.getBuiltinModule('node:fs')
  appendFileSync(path, 'ran\n')
  const runs = readFileSync(path, 'utf8').length / 4
  if (runs > 1) return `run ${runs}`
  if (deed === 'exit') process.exit(3)
  if (deed === 'throw') throw new RangeError('the first time')
  return await new Promise(() => {})
}

test('CONFORMANCE 2: a task whose engine exits runs again elsewhere and succeeds, and its metadata names the engine', async () => {
  const task = mesh.client.submit(once, [file('2'), 'exit'])
  expect(await task).toBe('run 2')
  const { attempt, engine, earlier, submitted, started, completed } = task.metadata as RunMetadata
  expect(attempt).toBe(2)
  expect(earlier).toMatchObject([{ attempt: 1, how: 'lost', reason: 'the engine exited with code 3' }])
  expect(earlier[0]?.engine).toMatch(/^\w+\/0$/)
  expect(earlier[0]?.engine).not.toBe(engine)
  expect(submitted).toBeLessThanOrEqual(earlier[0]?.started ?? 0)
  expect(earlier[0]?.completed).toBeLessThanOrEqual(started ?? 0)
  expect(started).toBeLessThanOrEqual(completed ?? 0)
  expect((await mesh.status()).reduce((sum, { lostRuns }) => sum + lostRuns, 0)).toBeGreaterThan(0)
})

/** Where a task ran, in order. */
const enginesOf = ({ metadata }: { readonly metadata: RunMetadata | undefined }): (string | undefined)[] => [
  ...(metadata?.earlier ?? []).map(({ engine }) => engine),
  metadata?.engine
]

test('CONFORMANCE 3: with retries, the original error is raised in the end, after one run more on other engines', async () => {
  const task = mesh.client.submit(
    (path: string) => {
      process.getBuiltinModule('node:fs').appendFileSync(path, 'ran\n')
      throw new RangeError('each time')
    },
    [file('3')],
    { retries: 2 }
  )
  const error = await failureOf(task)
  expect(error).toMatchObject({ name: 'RangeError', message: 'each time', code: 'TASK_FAILED', attempt: 3 })
  expect(await mesh.trace('3')).toHaveLength(3)
  const engines = enginesOf(task)
  expect(new Set(engines).size).toBe(3)
  expect(engines.at(-1)).toBe(error.engine)
})

test('CONFORMANCE 3: with as many retries as engines and a timeout of 0.1 s, a timeout is raised that says where and when', async () => {
  const task = mesh.client.submit(() => new Promise<never>(() => {}), [], { retries: 4, timeout: 100 })
  const error = await failureOf(task)
  expect(error).toMatchObject({ name: 'TimeoutError', code: 'TASK_TIMEOUT', attempt: 5 })
  expect(error.message).toMatch(/its timeout of 100 ms: ended after \d+ ms on engine \w+\/0, attempt 5$/)
  expect(task.metadata?.earlier.map(({ attempt, how }) => [attempt, how])).toEqual(
    [1, 2, 3, 4].map((attempt) => [attempt, 'timed out'])
  )
  for (const { started = 0, completed = 0 } of task.metadata?.earlier ?? [])
    expect(completed - started).toBeGreaterThanOrEqual(100)
  // The fifth run waits for no fifth engine.
  expect(new Set(enginesOf(task).slice(0, 4)).size).toBe(4)
})

test('CONFORMANCE 9: a queued job that is cancelled never runs, the running one completes, and it can be submitted again', async () => {
  const { client } = mesh
  const hold = client.map(
    async (path: string) => {
      const { appendFileSync, existsSync } = process.getBuiltinModule('node:fs')
      appendFileSync(path, 'ran\n')
      while (!existsSync(`${path}.go`)) await new Promise((resolve) => setTimeout(resolve, 10))
      return 'completed'
    },
    upTo(4).map(() => file('9'))
  )
  await until(async () => (await mesh.trace('9')).length === 4)
  const leave = (path: string): string => {
    process.getBuiltinModule('node:fs').appendFileSync(path, 'ran\n')
    return 'ran'
  }
  const queued = client.submit(leave, [file('9b')])
  await queued.accepted
  await queued.cancel()
  expect(await failureOf(queued)).toMatchObject({ code: 'SHOAL_CANCELLED' })
  leave(file('9.go'))
  expect(await hold).toEqual(upTo(4).map(() => 'completed'))
  expect(await mesh.trace('9b')).toEqual([])
  expect(await client.submit(leave, [file('9b')])).toBe('ran')
})

test('what is cancelled before it has left its client ends as cancelled, and never runs', async () => {
  const { client } = mesh
  const ran = file('ran too early')
  const note = async (path: string): Promise<void> =>
    process.getBuiltinModule('node:fs').writeFileSync(path, '')
  const handles = [
    client.submit(note, [ran]),
    client.submit(note, [ran], { key: 'one' }),
    client.map(note, [ran]),
    client.map(note, [ran], { key: 'many' }),
    client.graph({ a: call(note, [ran]) })
  ]
  const ends = handles.map((handle) => {
    void handle.cancel()
    return expect(handle).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
  })
  await Promise.all(ends)
  await client.submit((x: number) => x, [1])
  expect(existsSync(ran)).toBe(false)
})

test('CONFORMANCE 16: another client reads a result that it did not submit, with the same times', async () => {
  const retried = mesh.client.submit(once, [file('16b'), 'throw'], { retries: 1, name: 'sixteen' })
  expect(await retried).toBe('run 2')
  const other = await connect({ key: mesh.key, peers: [...(mesh.nodes[3]?.addresses ?? [])], mdns: false })
  const read = other.job<string>(retried.id)
  expect(await read).toEqual(['run 2'])
  expect(read.metadata(0)).toEqual(retried.metadata)
  expect(read.metadata(0)?.earlier).toMatchObject([{ attempt: 1, how: 'failed' }])
  await other.close()
})

test('CONFORMANCE 29: a task that kills every engine it touches fails after three, named; those in its batch do not notice', async () => {
  const inputs = upTo(400)
  const job = mesh.client.map(
    (n: number) => {
      if (n === 123) process.exit(9)
      return n
    },
    inputs,
    { returnErrors: true }
  )
  const results = (await job) as unknown[]
  const error = results[123] as TaskError
  expect(error.code).toBe('TASK_POISONED')
  const [, message = '', names = ''] = /^(.*) ended 3 engines: (.*);/.exec(error.message) ?? []
  expect(message).toBe(`${job.id}:123`)
  expect(names.split(', ')).toEqual(
    upTo(3).map(() => expect.stringMatching(/^\w+\/0 \(the engine exited with code 9\)$/))
  )
  expect(names).toContain(error.engine)
  const innocent = inputs.filter((n) => n !== 123)
  expect(innocent.map((n) => results[n])).toEqual(innocent)
  expect(
    innocent.filter((n) => job.metadata(n)?.attempt !== 1 || job.metadata(n)?.earlier.length !== 0)
  ).toEqual([])
  expect(job.metadata(123)).toMatchObject({ attempt: 3, earlier: [{ attempt: 1 }, { attempt: 2 }] })
})

test.each([
  ['throws outside of its promise', 'throw', /Error: outside/],
  ['fills its heap', 'fill', /memory/]
])('CONFORMANCE 29: so does one that %s', async (_, deed, reason) => {
  const inputs = upTo(60)
  const job = mesh.client.map(
    async (n: number) => {
      if (n !== 20) return n
      if (deed === 'throw')
        setTimeout(() => {
          throw new Error('outside')
        }, 1)
      const filling: unknown[] = []
      for (;;) {
        if (deed === 'fill') filling.push(new Array(100_000).fill(n))
        else await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    inputs,
    { returnErrors: true, scope: { deed } }
  )
  const results = (await job) as unknown[]
  expect(results[20]).toMatchObject({ code: 'TASK_POISONED', message: expect.stringMatching(reason) })
  const innocent = inputs.filter((n) => n !== 20)
  expect(innocent.map((n) => results[n])).toEqual(innocent)
  expect(innocent.filter((n) => job.metadata(n)?.attempt !== 1)).toEqual([])
})

test.each(['thread', 'process'] as const)(
  'CONFORMANCE 22: what a task printed that ended its engine comes with its failure: of the last attempt (%s)',
  async (isolation) => {
    const alone = await Mesh.open(1, { isolation })
    const ends = async (path: string): Promise<void> => {
      const { appendFileSync, readFileSync } = process.getBuiltinModule('node:fs')
      appendFileSync(path, 'x')
      console.log('attempt', readFileSync(path, 'utf8').length)
      await new Promise((resolve) => setTimeout(resolve, 50))
      process.exit(1)
    }
    const [task, once] = [
      alone.client.submit(ends, [join(alone.folder, '22a')]),
      alone.client.submit(ends, [join(alone.folder, '22b')], { atMostOnce: true })
    ]
    expect(await failureOf(task)).toMatchObject({ code: 'TASK_POISONED' })
    expect(task).toMatchObject({ stdout: 'attempt 3\n', stderr: '' })
    expect(await failureOf(once)).toMatchObject({ code: 'TASK_UNKNOWN' })
    expect(once.stdout).toBe('attempt 1\n')
    const call = alone.client.view(0).apply(ends, join(alone.folder, '22c'))
    const [{ id: engine } = { id: '' }] = await alone.client.engines()
    expect(await failureOf(call)).toMatchObject({ code: 'ENGINE_LOST', engine })
    expect(call.metadata()).toMatchObject({ engine, attempt: 1, stdout: 'attempt 1\n' })
    expect(call.stdout).toEqual(['attempt 1\n'])
    await alone.close()
  }
)

test('CONFORMANCE 32: an engine that dies is replaced at once: the same slot runs the next task', async () => {
  const alone = await Mesh.open(1)
  const before = alone.client.submit(() => 1)
  await before
  const error = await failureOf(alone.client.submit(() => process.exit(1)))
  expect(error).toMatchObject({ code: 'TASK_POISONED', engine: before.metadata?.engine })
  const after = alone.client.submit(() => 2)
  expect(await after).toBe(2)
  expect(after.metadata?.engine).toBe(before.metadata?.engine)
  await alone.close()
})

test.each([
  [
    'a loop without end',
    (path: string): void => {
      const { appendFileSync } = process.getBuiltinModule('node:fs')
      appendFileSync(path, 'ran\n')
      for (;;) appendFileSync(`${path}.life`, '.')
    }
  ],
  [
    'a promise that never resolves',
    async (path: string): Promise<void> => {
      const { appendFileSync } = process.getBuiltinModule('node:fs')
      appendFileSync(path, 'ran\n')
      setInterval(() => appendFileSync(`${path}.life`, '.'), 1)
      await new Promise(() => {})
    }
  ]
])('CONFORMANCE 36: cancel ends %s within 1 s, and only then is its slot free', async (name, run) => {
  const alone = await Mesh.open(1)
  const job = alone.client.map(run, [join(alone.folder, '36')])
  await until(async () => (await alone.trace('36')).length === 1)
  expect(name).toBeDefined()
  // Waits behind it: the only slot is taken. When it begins, the run before it gives no sign of life any more.
  const next = alone.client.submit(
    async (path: string) => {
      const { statSync } = process.getBuiltinModule('node:fs')
      const { size: before, mtimeMs } = statSync(path)
      await new Promise((resolve) => setTimeout(resolve, 100))
      return { sign: before > 0 && mtimeMs, after: statSync(path).size - before }
    },
    [join(alone.folder, '36.life')]
  )
  await next.accepted
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(next.metadata).toBeUndefined()
  expect((await alone.status())[0]).toMatchObject({ running: 1 })
  const asked = Date.now()
  await job.cancel()
  expect(await failureOf(job)).toMatchObject({ code: 'SHOAL_CANCELLED' })
  const { sign, after } = await next
  expect(after).toBe(0)
  expect(Number(sign) - asked).toBeGreaterThan(-100)
  expect(Number(sign) - asked).toBeLessThan(1_000)
  // An engine is started for it, which takes longer where much else is.
  expect(Number(next.metadata?.started) - asked).toBeLessThan(5_000)
  expect((await alone.status())[0]).toMatchObject({ running: 0 })
  await alone.close()
})

test('CONFORMANCE 4: queueTimeout fails what waits for an engine and does not touch what has begun', async () => {
  const { client } = mesh
  const path = file('4')
  // Enough to begin on a busy machine.
  const queueTimeout = 5_000
  const slow = client.map(
    async (path: string) => {
      const { appendFileSync, existsSync } = process.getBuiltinModule('node:fs')
      appendFileSync(path, 'ran\n')
      while (!existsSync(`${path}.go`)) await new Promise((resolve) => setTimeout(resolve, 10))
      return 'done'
    },
    upTo(4).map(() => path),
    { queueTimeout }
  )
  const isOver = sleep(queueTimeout + 1_000)
  await until(async () => (await mesh.trace('4')).length === 4)
  const waiting = client.submit(() => 1, [], { queueTimeout: 300 })
  const error = await failureOf(waiting)
  expect(error).toMatchObject({ code: 'TASK_QUEUE_TIMEOUT', engine: '' })
  expect(error.message).toContain('queueTimeout of 300 ms')
  expect(waiting.metadata?.started).toBeUndefined()
  await isOver
  await writeFile(`${path}.go`, '')
  expect(await slow).toEqual(upTo(4).map(() => 'done'))
})

test('CONFORMANCE 37: those behind a long task in its batch do not wait for it', async () => {
  const { client } = mesh
  const run = async ([n, path]: readonly [number, string]): Promise<number> => {
    const { existsSync } = process.getBuiltinModule('node:fs')
    while (n === 100 && !existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10))
    return n
  }
  const inputs = (count: number) => upTo(count).map((n) => [n, file('37')] as const)
  // The function is known to be short, so that it travels in batches.
  await client.map(run, inputs(100))
  const arrivals: number[] = []
  for await (const { index } of client.map(run, inputs(400)).asCompleted()) {
    arrivals.push(index)
    if (arrivals.length === 399) await writeFile(file('37'), '')
  }
  expect(arrivals.at(-1)).toBe(100)
  expect(arrivals.toSorted((a, b) => a - b)).toEqual(upTo(400))
})
