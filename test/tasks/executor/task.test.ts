/**
 * That a task can ask about itself, and that what it prints is its own, however it ends and whoever runs beside it.
 *
 * Not here: how both reach a client (test/conformance). Real threads, and a module that imports `shoal/task` as users do.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import type { Digest } from '../../../src/ids.ts'
import { STATUS } from '../../../src/tasks/batch.ts'
import { outputCharsMax } from '../../../src/tasks/output.ts'
import { bench, folder, upTo } from './bench.ts'

const MODULE = `
import { setTimeout as sleep } from 'node:timers/promises'
import { task } from 'shoal/task'
export const self = async () => { await null; return [task.id, task.attempt, task.engine] }
export const prints = async (x) => {
  console.log('out', x)
  await sleep(5)
  console.error('err', x)
  process.stdout.write(new TextEncoder().encode('bytes ' + x + '\\n'))
  await new Promise((go) => process.stdout.write(Buffer.from('last').toString('hex'), 'hex', go))
  if (x === 2) throw new Error('two')
  return x
}
export const bit = async (x) => {
  const [first, ...rest] = Buffer.from('€')
  process.stdout.write(Uint8Array.of(first))
  await sleep(5)
  process.stdout.write(Buffer.from(rest))
  process.stdout.write(Uint8Array.of(first))
  process.stdout.write(x)
  process.stderr.write(Uint8Array.of(first))
}
export const late = async (x) => {
  if (x === 0) { setTimeout(() => { console.log('too late'); seen.push(asked()) }, 5); return }
  await sleep(50)
  console.log('mine')
  return seen
}
const seen = []
const asked = () => { try { return [task.id, task.signal.aborted] } catch (error) { return error.code } }
export const tooMuch = () => { for (let i = 0; i < 3; i++) process.stdout.write('x'.repeat(40_000)); console.error('short') }
export const printsAndHangs = () => { console.log('before'); for (;;); }
export const printsAndDies = async () => { console.log('before'); console.error('why'); await sleep(5); process.exit(5) }
export const obeys = async () => {
  const { signal } = task
  console.log('waits')
  await new Promise((go) => signal.addEventListener('abort', go))
  return [signal.reason.code, 'ended by itself']
}
export const refuses = async () => { task.signal; console.log('waits'); await new Promise(() => {}) }
export const throws = async () => { const { signal } = task; console.log('waits'); await new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason))) }
export const wrongProgress = () => task.progress(2)
`
const code = 'tasks' as Digest
beforeAll(() => writeFile(join(folder, `${code}.mjs`), MODULE))

test('a task knows its id, attempt and engine, also after an await', async () => {
  const { start } = bench(2)
  const [first, second] = await start('self', upTo(2), { code, slot: 1, first: 40, attempt: 3 })
  expect(first?.value).toEqual(['job-of-test:40', 3, 'node/1'])
  expect(second?.value).toEqual(['job-of-test:41', 3, 'node/1'])
})

test('what a task prints comes with its outcome, and with no other', async () => {
  const { start } = bench()
  const all = await start('prints', upTo(3), { code })
  for (const [x, { stdout, stderr }] of all.entries()) {
    expect(stdout).toBe(`out ${x}\nbytes ${x}\nlast`)
    expect(stderr).toBe(`err ${x}\n`)
  }
  expect(all.map(({ value, failure }) => failure?.message ?? value)).toEqual([0, 1, 'two'])
})

test('a character is whole that a task prints byte by byte, and what never becomes one is told', async () => {
  const { start } = bench()
  const all = await start('bit', [['a'], ['b']], { code })
  expect(all.map(({ stdout, stderr }) => [stdout, stderr])).toEqual([
    ['€\ufffda', '\ufffd'],
    ['€\ufffdb', '\ufffd']
  ])
})

test('what is left over from a task prints and asks in its own name', async () => {
  const { start } = bench()
  const [first, second] = await start('late', upTo(2), { code })
  expect(first?.stdout).toBe('')
  expect(second).toMatchObject({ stdout: 'mine\n', value: [['job-of-test:0', true]] })
})

test('of much output the beginning is kept, and it is said how much is not', async () => {
  const { start } = bench()
  const [only] = await start('tooMuch', [[]], { code })
  expect(only?.stdout?.slice(outputCharsMax)).toBe('\n… 54464 more characters were not kept\n')
  expect(only?.stdout?.slice(0, outputCharsMax)).toBe('x'.repeat(outputCharsMax))
  expect(only?.stderr).toBe('short\n')
})

test('what a task printed before it was ended by force is known', async () => {
  const { start } = bench()
  const [only] = await start('printsAndHangs', [[]], { code, timeoutMs: 6_000 })
  expect(only).toMatchObject({ header: { status: STATUS.timedOut }, stdout: 'before\n' })
})

test('what a task printed before it ended its engine is known, and of nobody else', async () => {
  const { start } = bench()
  const [died, other] = await Promise.all([
    start('printsAndDies', [[]], { code }),
    start('prints', [[0]], { code })
  ])
  expect(died).toMatchObject([{ lost: expect.any(String), stdout: 'before\n', stderr: 'why\n' }])
  expect(other[0]?.stdout).toBe('out 0\nbytes 0\nlast')
})

test('the signal comes before the timeout does', async () => {
  const { start } = bench()
  const [only] = await start('obeys', [[]], { code, timeoutMs: 10_000 })
  expect(only?.value).toEqual(['TASK_TIMEOUT', 'ended by itself'])
  const { elapsedMs = 0 } = only?.header ?? {}
  expect(elapsedMs).toBeGreaterThanOrEqual(8_990)
})

test.each([
  ['obeys', STATUS.ok],
  ['throws', STATUS.cancelled],
  ['refuses', STATUS.cancelled]
])('a cancelled task that asked for its signal may end by itself: %s', async (exportName, status) => {
  const { pool, start, next } = bench()
  const all = start(exportName, [[]], { code, run: 90 })
  await next()
  pool.cancel(90)
  const [only] = await all
  expect(only).toMatchObject({ header: { status }, stdout: 'waits\n' })
  if (status === STATUS.ok) expect(only?.value).toEqual(['SHOAL_CANCELLED', 'ended by itself'])
})

test('progress is a part of the whole', async () => {
  const { start } = bench()
  const [only] = await start('wrongProgress', [[]], { code })
  expect(only?.failure).toMatchObject({ name: 'ShoalError' })
  expect(only?.failure?.message).toContain('a number from 0 to 1')
})
