/**
 * That an engine which dies takes nothing with it but the task that killed it.
 *
 * Not here: what its owner makes of that (test/tasks/lead.test.ts), and whole nodes that die.
 * Real threads and real deaths; the neighbours in the same run are what is looked at.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Digest } from '../../../src/ids.ts'
import { bench, counting, folder, indexesOf, upTo } from './bench.ts'

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

test('a stray rejection of a task that ended costs nobody an engine', async () => {
  const { start } = bench()
  const all = await start('strayAt', upTo(5, 2))
  expect(all.map(({ value }) => value)).toEqual(counting(5))
  expect((await start('default', [['alive']]))[0]?.value).toBe('alive')
})

test.each(['throw', 'reject', 'exit'])(
  'what a task left behind does not hit its neighbour: %s',
  async (how) => {
    const { start } = bench()
    // Task 0 ends at once and leaves a timer; it fires while task 1 runs.
    const all = await start('lateAt', upTo(3, 0, how))
    expect(all.map(({ value, lost }) => lost ?? value)).toEqual([0, 1, 2])
  }
)

test('a throw outside of the promise of the running task is its own doing', async () => {
  const { start } = bench()
  const all = await start('outsideAt', upTo(4, 1))
  expect(all.map(({ value, lost }) => lost ?? value)).toEqual([0, 'Uncaught Error: outside', 2, 3])
})

test('a task that fills the heap loses its engine, and its neighbours in the run nothing', async () => {
  const { start } = bench(1, 32)
  const all = await start('fillAt', upTo(4, 1))
  expect(all.map(({ value, lost }) => lost ?? value)).toEqual([0, expect.stringMatching(/memory/), 2, 3])
})

test('an engine that an ended task keeps busy is replaced, and what it was given runs', async () => {
  const { start, next } = bench(1, undefined, 200)
  expect((await start('loopAfter', [[]]))[0]?.value).toBe('left a loop')
  const all = start('default', upTo(3))
  const reason = expect.stringContaining('began nothing')
  expect(await next()).toMatchObject({ kind: 'engine-lost', index: undefined, reason })
  expect((await all).map(({ value, lost }) => lost ?? value)).toEqual([0, 1, 2])
})
