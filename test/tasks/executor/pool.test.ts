/**
 * That threads run what they are given, and that each task is reported once, however its engine ends.
 *
 * Not here: the codec (codec.test.ts), how functions become modules (test/client/functions.test.ts).
 * Real threads, real deaths; a test waits for events, and never for time to pass.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { moduleFunction, ship } from '../../../src/client/functions.ts'
import type { Digest, ShardKey } from '../../../src/ids.ts'
import type { OutcomeHeader } from '../../../src/tasks/batch.ts'
import { OUTCOME_HEADER_BYTES, pack, readOutcomeHeader, STATUS, valueAt } from '../../../src/tasks/batch.ts'
import { decodeValue, encodeArgs } from '../../../src/tasks/executor/codec.ts'
import type { Executor, ExecutorEvent, RunBatch } from '../../../src/tasks/executor/executor.ts'
import { decodeFailure } from '../../../src/tasks/executor/failure.ts'
import { createPool } from '../../../src/tasks/executor/pool.ts'

const MODULE = `
export default (x) => x
export const later = async (x) => { await new Promise((go) => setImmediate(go)); return x + 1 }
export function fail(what) { throw what === 'error' ? new RangeError('too far') : what }
export const exitAt = (x, at) => { if (x === at) process.exit(7); return x }
export const hangAt = (x, at) => { while (x === at); return x }
export const waitAt = (x, at) => x === at ? new Promise(() => {}) : x
export const strayAt = (x, at) => { if (x === at) Promise.reject(new Error('stray')); return x }
export const unencodable = () => ({ f() {} })
export const huge = (size) => new Uint8Array(size)
export const alien = () => ({ then(go) { go('thenable') } })
export const number = 42
export const noisy = () => { console.log('from a task') }
`

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-pool-'))
  await writeFile(join(folder, 'module.mjs'), MODULE)
  await writeFile(join(folder, 'broken.mjs'), 'throw new Error("no luck")')
  await writeFile(join(folder, 'exits.mjs'), 'process.exit(3)\nexport default () => 1')
})
afterAll(() => rm(folder, { recursive: true }))

interface Told {
  readonly index: number
  readonly header?: OutcomeHeader
  readonly value?: unknown
  readonly failure?: ReturnType<typeof decodeFailure>
  readonly lost?: string
}

interface Bench {
  readonly pool: Executor
  /** Starts a run with one task per argument list; resolves when it is done to all that was told, in order. */
  start(exportName: string, args: readonly unknown[][], more?: Partial<RunBatch>): Promise<Told[]>
  /** Resolves at the next event of any run. */
  next(): Promise<ExecutorEvent>
}

const pools: Executor[] = []
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()))
})

function told(event: ExecutorEvent): Told[] {
  if (event.kind === 'engine-lost') {
    return event.index === undefined ? [] : [{ index: event.index, lost: event.reason }]
  }
  return Array.from(event.outcomes.indexes, (index, at) => {
    const bytes = valueAt(event.outcomes, at)
    const header = readOutcomeHeader(bytes)
    const payload = bytes.subarray(OUTCOME_HEADER_BYTES)
    if (header.status === STATUS.ok) return { index, header, value: decodeValue(payload) }
    return header.status === STATUS.error
      ? { index, header, failure: decodeFailure(payload) }
      : { index, header }
  })
}

function bench(slots = 1): Bench {
  const runs = new Map<number, { told: Told[]; finish: (told: Told[]) => void }>()
  const waiting: ((event: ExecutorEvent) => void)[] = []
  let count = 0
  const onEvent = (event: ExecutorEvent): void => {
    const run = runs.get(event.run)
    expect(run).toBeDefined()
    run?.told.push(...told(event))
    if (event.kind === 'ended' && event.done) {
      run?.finish(run.told)
      runs.delete(event.run)
    }
    for (const go of waiting.splice(0)) go(event)
  }
  const code = (digest: Digest): string => join(folder, `${digest}.mjs`)
  const pool = createPool({ slots, code, node: 'node', onEvent })
  pools.push(pool)
  const start = (
    exportName: string,
    args: readonly unknown[][],
    more: Partial<RunBatch> = {}
  ): Promise<Told[]> => {
    const run = more.run ?? ++count
    const key = 'job-of-test/0/0' as ShardKey
    const indexes = args.map((_, i) => i)
    const inputs = pack(
      '',
      indexes,
      args.map((list) => encodeArgs(list))
    )
    const rest = { slot: 0, first: 0, attempt: 1, code: 'module' as Digest, timeoutMs: 0 }
    const { promise, resolve } = Promise.withResolvers<Told[]>()
    runs.set(run, { told: [], finish: resolve })
    pool.run({ run, key, exportName, inputs, ...rest, ...more })
    return promise
  }
  return { pool, start, next: () => new Promise((resolve) => waiting.push(resolve)) }
}

const upTo = (count: number, ...more: unknown[]): unknown[][] =>
  Array.from({ length: count }, (_, i) => [i, ...more])
const indexesOf = (all: readonly Told[]): number[] => all.map(({ index }) => index)
const counting = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test('10,000 tasks on two slots are each reported once', async () => {
  const { start } = bench(2)
  const runs = Array.from({ length: 100 }, (_, i) =>
    start('default', upTo(100), { slot: i % 2, first: i * 100 })
  )
  for (const all of await Promise.all(runs)) {
    expect(indexesOf(all)).toEqual(counting(100))
    expect(all.map(({ value }) => value)).toEqual(counting(100))
  }
})

test('headers tell where, which try, and when', async () => {
  const { start } = bench(2)
  const before = Date.now()
  const [first] = await start('default', [['x']], { slot: 1, attempt: 3 })
  expect(first?.header).toMatchObject({ status: STATUS.ok, slot: 1, attempt: 3 })
  expect(first?.header?.startedAt).toBeGreaterThanOrEqual(before - 1)
  expect(first?.header?.startedAt).toBeLessThanOrEqual(Date.now() + 1)
  expect(first?.header?.elapsedMs).toBeGreaterThanOrEqual(0)
})

test('promises and thenables are awaited', async () => {
  const { start } = bench()
  expect((await start('later', upTo(50))).map(({ value }) => value)).toEqual(counting(50).map((x) => x + 1))
  expect((await start('alien', [[]]))[0]?.value).toBe('thenable')
})

test('inputs may be a window on larger memory, and stay untouched', async () => {
  const { start } = bench()
  const value = encodeArgs(['here'])
  const memory = new Uint8Array(value.byteLength + 20)
  memory.set(value, 10)
  const body = memory.subarray(10, 10 + value.byteLength)
  const inputs = {
    node: '',
    indexes: Uint32Array.of(5),
    ends: Uint32Array.of(value.byteLength),
    body
  } as const
  expect(await start('default', [], { inputs })).toMatchObject([{ index: 5, value: 'here' }])
  expect(body.byteLength).toBe(value.byteLength)
})

test('results larger than the desk arrive in order among small ones', async () => {
  const { start } = bench()
  const sizes = [1, 300_000, 2, 200_000, 200_000, 3]
  const all = await start(
    'huge',
    sizes.map((size) => [size])
  )
  expect(all.map(({ value }) => (value as Uint8Array).byteLength)).toEqual(sizes)
  expect(indexesOf(all)).toEqual(counting(6))
})

test('a module with a dependency from npm runs', async () => {
  const source = join(folder, 'hex.ts')
  const library = fileURLToPath(import.meta.resolve('uint8arrays'))
  await writeFile(
    source,
    `import { toString } from '${library}'\nexport const hex = (b: Uint8Array): string => toString(b, 'hex')`
  )
  const { code, digest, exportName } = await ship(moduleFunction(source, 'hex'))
  await writeFile(join(folder, `${digest}.mjs`), code)
  const { start } = bench()
  expect((await start(exportName, [[Uint8Array.of(1, 255)]], { code: digest }))[0]?.value).toBe('01ff')
})

test('what a task throws comes back with its name, message and stack', async () => {
  const { start } = bench()
  const [error, text, nothing] = await start('fail', [['error'], ['plain text'], [null]])
  expect(error?.failure).toMatchObject({ code: 'TASK_FAILED', name: 'RangeError', message: 'too far' })
  expect(error?.failure?.stack).toMatch(/RangeError: too far\n\s+at fail .*module\.mjs/)
  expect(text?.failure).toEqual({ code: 'TASK_FAILED', name: 'Error', message: 'plain text', stack: '' })
  expect(nothing?.failure?.message).toBe('null')
})

test('a result that cannot travel fails its task, and names the place', async () => {
  const { start } = bench()
  const [first] = await start('unencodable', [[]])
  expect(first?.failure).toMatchObject({ code: 'SHOAL_BAD_VALUE', name: 'ShoalError' })
  expect(first?.failure?.message).toContain('result.f is a function')
})

test('malformed arguments fail their task only', async () => {
  const { start } = bench()
  const inputs = pack('', [0, 1], [Uint8Array.of(99), encodeArgs([1])])
  const [bad, good] = await start('default', [], { inputs })
  expect(bad?.failure?.code).toBe('SHOAL_BAD_VALUE')
  expect(good?.value).toBe(1)
})

test.each([
  ['broken', 'default', 'no luck'],
  ['absent', 'default', 'Cannot find module'],
  ['module', 'nowhere', 'export `nowhere` is missing'],
  ['module', 'number', 'export `number` is a number, not a function']
])('module %s, export %s: every task fails, saying: %s', async (code, exportName, message) => {
  const { start } = bench()
  for (const { failure } of await start(exportName, upTo(3), { code: code as Digest })) {
    expect(failure?.code).toBe('SHOAL_BAD_FUNCTION')
    expect(failure?.message).toContain(message)
  }
})

test('a task that exits loses its engine, and only itself', async () => {
  const { start } = bench()
  const [all, after] = await Promise.all([start('exitAt', upTo(6, 2)), start('default', upTo(3))])
  expect(indexesOf(all)).toEqual(counting(6))
  expect(all.map(({ value }) => value)).toEqual([0, 1, undefined, 3, 4, 5])
  expect(all[2]?.lost).toBe('the engine exited with code 7')
  expect(after.map(({ value }) => value)).toEqual([0, 1, 2])
})

test('a run whose last task exits is done', async () => {
  const { start } = bench()
  expect(await start('exitAt', upTo(2, 1))).toMatchObject([
    { value: 0 },
    { index: 1, lost: expect.any(String) }
  ])
})

test('a module that exits while it loads is held against task after task', async () => {
  const { start } = bench()
  const all = await start('default', upTo(3), { code: 'exits' as Digest })
  expect(all.map(({ lost }) => lost)).toEqual(Array(3).fill('the engine exited with code 3'))
})

test('tasks that ended before the engine died do not run again', async () => {
  const { start } = bench()
  const count = join(folder, 'count')
  await writeFile(
    join(folder, 'counts.mjs'),
    `import { appendFileSync } from 'node:fs'
export default (x) => { appendFileSync(${JSON.stringify(count)}, x + ' '); if (x === 5) process.exit() }`
  )
  const all = await start('default', upTo(10), { code: 'counts' as Digest })
  expect(indexesOf(all)).toEqual(counting(10))
  expect(await readFile(count, 'utf8')).toBe('0 1 2 3 4 5 6 7 8 9 ')
})

test('an unhandled rejection ends the engine, not the run', async () => {
  const { start } = bench()
  expect(indexesOf(await start('strayAt', upTo(5, 2)))).toEqual(counting(5))
  expect((await start('default', [['alive']]))[0]?.value).toBe('alive')
})

test.each(['hangAt', 'waitAt'])(
  'a task over its time is ended, and the rest goes on: %s',
  async (exportName) => {
    const { start } = bench()
    const [all, after] = await Promise.all([
      start(exportName, upTo(200, 100), { timeoutMs: 60 }),
      start('default', upTo(3))
    ])
    expect(indexesOf(all)).toEqual(counting(200))
    expect(all.filter(({ failure }) => failure)).toHaveLength(1)
    const { failure, header } = all[100] ?? {}
    expect(failure).toMatchObject({ code: 'TASK_TIMEOUT', message: 'ran longer than its timeout of 60 ms' })
    expect(header?.elapsedMs).toBeGreaterThanOrEqual(60)
    expect(all[199]?.value).toBe(199)
    expect(after).toHaveLength(3)
  }
)

test('each of several hanging tasks meets its own timeout', async () => {
  const { start } = bench()
  const all = await start(
    'hangAt',
    [
      [1, 1],
      [2, 0],
      [3, 3]
    ],
    { timeoutMs: 40 }
  )
  expect(all.map(({ failure }) => failure?.code)).toEqual(['TASK_TIMEOUT', undefined, 'TASK_TIMEOUT'])
})

test('a cancelled run ends at once, the running task included', async () => {
  const { pool, start, next } = bench()
  const all = start('waitAt', upTo(5, 2), { run: 70 })
  const behind = start('default', upTo(2), { run: 71 })
  await next()
  pool.cancel(70)
  const told = await all
  expect(indexesOf(told).toSorted()).toEqual(counting(5))
  const cancelled = told.filter(({ header }) => header?.status === STATUS.cancelled)
  expect(indexesOf(cancelled).toSorted()).toEqual([2, 3, 4])
  expect((await behind).map(({ value }) => value)).toEqual([0, 1])
})

test('single tasks can be cancelled, before they start and while they run', async () => {
  const { pool, start, next } = bench()
  const all = start('waitAt', upTo(6, 1), { run: 80 })
  await next()
  pool.cancel(80, Uint32Array.of(0, 3))
  pool.cancel(80, Uint32Array.of(3, 1))
  pool.cancel(99)
  const told = (await all).toSorted((a, b) => a.index - b.index)
  expect(
    told.map(({ header, value }) => (header?.status === STATUS.cancelled ? 'cancelled' : value))
  ).toEqual([0, 'cancelled', 2, 'cancelled', 4, 5])
})

test('cancelling while tasks end reports each once', async () => {
  const { pool, start, next } = bench(2)
  const runs = Array.from({ length: 40 }, (_, i) =>
    start('default', upTo(500), { run: 100 + i, slot: i % 2 })
  )
  await next()
  for (let i = 0; i < 40; i++) pool.cancel(100 + i)
  for (const all of await Promise.all(runs)) {
    expect(indexesOf(all).toSorted((a, b) => a - b)).toEqual(counting(500))
  }
})

test('what tasks print does not reach stdout', async () => {
  const { start } = bench()
  const seen: string[] = []
  const write = process.stderr.write
  const printed = new Promise<void>((resolve) => {
    process.stderr.write = ((text: Uint8Array) => {
      seen.push(String(text))
      resolve()
      return true
    }) as typeof write
  })
  await start('noisy', [[]])
  await printed
  process.stderr.write = write
  expect(seen.join('')).toBe('from a task\n')
})

test('a closed pool says nothing more', async () => {
  const { pool, start } = bench()
  void start('waitAt', upTo(3, 1)).then(() => expect.unreachable())
  await pool.close()
  pool.cancel(1)
})
