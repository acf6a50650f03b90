/**
 * That programs give way, keep to their memory, and stand still when they are told to, and that they end all the same.
 *
 * Not here: when a node tells them (test/integration/manners.test.ts). Real processes.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { STATUS } from '../../../src/tasks/batch.ts'
import { count, executor, fifo, folder, open, shell, start } from './program-bench.ts'

test('who stands still is told to end like anybody, and cleans up', async () => {
  await open()
  const trace = join(folder, 'still')
  const { path, said } = await fifo('stopped')
  const script = `trap 'echo tidy > ${trace}; exit 0' TERM; echo up > ${path}; while :; do sleep 0.02; done`
  const ended = start(shell(script))
  await said
  executor.suspend?.(true)
  executor.cancel(count)
  expect(await ended).toMatchObject([{ status: STATUS.cancelled }])
  expect(await readFile(trace, 'utf8')).toBe('tidy\n')
})

test('what begins while others stand still does so too, until all go on', async () => {
  await open()
  executor.suspend?.(true)
  const slow = { ...shell('sleep 0.2; echo done'), killAfterMs: 100 }
  expect(await start(slow, [{}], { timeoutMs: 600 })).toMatchObject([{ status: STATUS.timedOut }])
  executor.suspend?.(false)
  expect((await start(slow, [{}]))[0]?.value?.stdout).toBe('done\n')
})

test('programs give way to others', async () => {
  await open(1, { nice: 7 })
  const [told] = await start(shell('sleep 0.1; nice'))
  expect(told?.value?.stdout).toBe('7\n')
})

test('a program that uses more memory than it may, with what it started, fails and says so', async () => {
  await open(1, { memoryMb: 64 })
  const hog = `${process.execPath} -e 'const a = Buffer.alloc(200e6, 1); setInterval(() => a.at(0), 1e3)'`
  const [told] = await start(shell(`${hog} & wait`))
  expect(told?.failure).toMatchObject({ code: 'TASK_EXIT', exit: { signal: 'SIGKILL' } })
  expect(told?.failure?.message).toMatch(/used \d+ MB of memory where it may use 64/)
})
