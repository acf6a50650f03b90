/**
 * That threads run what they are given, and that each task is reported once, however its run ends.
 *
 * Not here: engines that die (loss.test.ts), the codec (codec.test.ts), how functions become modules (test/client/functions.test.ts).
 * Real threads; a test waits for events, and never for time to pass.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { moduleFunction, ship } from '../../../src/client/functions.ts'
import type { Digest } from '../../../src/ids.ts'
import { type OutcomeHeader, pack, STATUS } from '../../../src/tasks/batch.ts'
import { setByMs } from '../../../src/tasks/executor/clock.ts'
import { encodeArgs } from '../../../src/tasks/executor/codec.ts'
import { bench, counting, folder, indexesOf, made, upTo } from './bench.ts'

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
  expect(first?.header?.startedAt).toBeGreaterThanOrEqual(before - setByMs)
  expect(first?.header?.startedAt).toBeLessThanOrEqual(Date.now() + setByMs)
  expect(first?.header?.elapsedMs).toBeGreaterThanOrEqual(0)
})

test('what begins after the end of another one says so, on the same engine or on another', async () => {
  const { start } = bench(2)
  // They follow each other without a pause.
  const behind = await Promise.all(Array.from({ length: 200 }, () => start('default', [['x']])))
  const across: typeof behind = []
  for (let i = 0; i < 60; i++) across.push(await start('default', [['x']], { slot: i % 2 }))
  for (const all of [behind, across]) {
    const runs = all.flatMap(([one]) => one?.header ?? [])
    const waits = runs.slice(1).map(({ startedAt }, at) => startedAt - endOf(runs[at] as OutcomeHeader))
    expect(runs.length).toBe(all.length)
    expect(waits.filter((ms) => ms < 0)).toEqual([])
  }
})
const endOf = ({ startedAt, elapsedMs }: OutcomeHeader): number => startedAt + elapsedMs

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

test('what has not started can be taken back, and what runs is not touched', async () => {
  const { pool, start } = bench()
  const begun = made('begun')
  // It ends a moment after it may: an engine that is a process has read by then what was said before.
  const all = start('tellAt', upTo(5, 1, join(folder, 'begun')), { run: 60 })
  const behind = start('default', upTo(2), { run: 61 })
  await begun
  pool.recall(60)
  pool.recall(60)
  pool.recall(61)
  await writeFile(join(folder, 'begun-end'), '')
  const told = (await all).toSorted((a, b) => a.index - b.index)
  expect(told.map(({ value, recalled }) => (recalled ? 'recalled' : value))).toEqual([
    0,
    1,
    'recalled',
    'recalled',
    'recalled'
  ])
  expect((await behind).map(({ recalled }) => recalled)).toEqual([true, true])
})

test.each(['hangAt', 'waitAt'])(
  'a task over its time is ended, and the rest goes on: %s',
  async (exportName) => {
    const { start } = bench()
    const [all, after] = await Promise.all([
      start(exportName, upTo(200, 100), { timeoutMs: 2_000 }),
      start('default', upTo(3))
    ])
    expect(indexesOf(all)).toEqual(counting(200))
    expect(all.filter(({ failure }) => failure)).toHaveLength(1)
    const { failure, header } = all[100] ?? {}
    expect(header?.status).toBe(STATUS.timedOut)
    expect(failure?.code).toBe('TASK_TIMEOUT')
    expect(failure?.message).toMatch(
      /^ran longer than its timeout of 2000 ms: ended after \d+ ms on engine node\/0, attempt 1$/
    )
    expect(header?.elapsedMs).toBeGreaterThanOrEqual(2_000)
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
    { timeoutMs: 400 }
  )
  expect(all.map(({ failure }) => failure?.code)).toEqual(['TASK_TIMEOUT', undefined, 'TASK_TIMEOUT'])
})

test('a cancelled run ends at once, the running task included', async () => {
  const { pool, start, untilTold } = bench()
  const all = start('waitAt', upTo(5, 2), { run: 70 })
  const behind = start('default', upTo(2), { run: 71 })
  await untilTold(70, 2)
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

test('a closed pool says nothing more', async () => {
  const { pool, start } = bench()
  void start('waitAt', upTo(3, 1)).then(() => expect.unreachable())
  await pool.close()
  pool.cancel(1)
})
