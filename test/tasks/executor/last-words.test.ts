/**
 * That what a program printed is there however it ended: by itself, by a limit, or because somebody took it back.
 *
 * Not here: what is kept of one that ended well (programs.test.ts). Real processes; a test waits for events, and never for time to pass.
 */
import { expect, test } from 'vitest'
import { STATUS } from '../../../src/tasks/batch.ts'
import { stdoutBytesMax } from '../../../src/tasks/executor/program.ts'
import { count, executor, fifo, open, shell, start } from './program-bench.ts'

const printed = { stdout: 'before\n', stderr: 'oh\n' }
const prints = 'echo before; echo oh >&2'

test('of one that ran out of time there is what it printed, and how it ended', async () => {
  await open()
  const [told] = await start(shell(`${prints}; exec sleep 600`), [{}], { timeoutMs: 1_500 })
  expect(told?.status).toBe(STATUS.timedOut)
  expect(told?.failure).toMatchObject({
    code: 'TASK_TIMEOUT',
    exit: { code: null, signal: 'SIGTERM', ...printed }
  })
})

test('of one that used too much memory there is what it printed', async () => {
  await open(1, { memoryMb: 64 })
  const hog = `${process.execPath} -e 'const a = Buffer.alloc(200e6, 1); setInterval(() => a.at(0), 1e3)'`
  const [told] = await start(shell(`${prints}; ${hog} & wait`))
  expect(told?.failure).toMatchObject({ code: 'TASK_EXIT', exit: { signal: 'SIGKILL', ...printed } })
})

test('of one that did not make its output there is what it printed', async () => {
  await open()
  const [told] = await start({ ...shell(prints), outputs: ['made'] })
  expect(told?.failure).toMatchObject({
    code: 'TASK_NO_OUTPUT',
    exit: { code: 0, signal: null, ...printed }
  })
})

test('of one that was cancelled there is what it printed', async () => {
  await open()
  const { path, said } = await fifo('printed')
  const ended = start(shell(`${prints}; echo up > ${path}; exec sleep 600`))
  await said
  executor.cancel(count)
  expect(await ended).toMatchObject([{ status: STATUS.cancelled, output: printed }])
})

test.each([
  ['a failure', 'exit 3', 0, { code: 'TASK_EXIT', exit: { code: 3, stderr: '' } }],
  ['a timeout', 'exec sleep 600', 1_500, { code: 'TASK_TIMEOUT', exit: { signal: 'SIGTERM' } }],
  ['a missing output', ':', 0, { code: 'TASK_NO_OUTPUT', exit: { code: 0 } }]
])('what went to a file of its own is told after %s, its end', async (_, script, timeoutMs, failure) => {
  await open()
  const recipe = { stdoutFile: 'log-{}', outputs: ['log-{}', 'made'] }
  const lines = `yes € | head -n 9000; echo end`
  const [told] = await start({ ...shell(`${lines}; ${script}`), ...recipe }, ['x'], { timeoutMs })
  expect(told?.failure).toMatchObject(failure)
  expect(told?.failure?.exit?.stdout).toBe(`${'€\n'.repeat(9_000)}end\n`.slice(-8_192))
})

test('of one that printed more than is kept, the end is told', async () => {
  await open()
  const [told] = await start(shell(`head -c ${2 * stdoutBytesMax} /dev/zero | tr '\\0' a; echo end; exit 1`))
  expect(told?.failure?.exit?.stdout).toBe(`${'a'.repeat(8_188)}end\n`)
})
