/**
 * What only an engine that is a process of its own survives: death by a signal, and whatever else would end a node.
 *
 * Not here: what holds for threads as well (processes.test.ts), and nodes that are killed (test/integration/engines.test.ts).
 */
import './as-processes.ts'
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test, vi } from 'vitest'
import { ship } from '../../../src/client/functions.ts'
import type { Digest } from '../../../src/ids.ts'
import { bench, counting, folder, indexesOf, made, upTo } from './bench.ts'

const code = 'crashes' as Digest
declare const more: string
beforeAll(async () => {
  await writeFile(
    join(folder, `${code}.mjs`),
    `import { closeSync, openSync, writeSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { writeFile, rename } from 'node:fs/promises'
export const dieAt = (x, at, signal) => { if (x === at) process.kill(process.pid, signal); return x }
export const abortAt = (x, at) => { if (x === at) process.abort(); return x }
export const babbleAt = async (x, at) => { if (x === at) { writeSync(4, 'nonsense, and enough of it to be a frame'); await new Promise(() => {}) } return x }
export const scribbleAt = (x, at) => { if (x === at) writeSync(5, new Uint8Array(9000).fill(7), 0, 9000, 4096); return x }
export const whoami = () => process.pid
export const openAll = () => { try { for (;;) openSync('/dev/null') } catch (error) { return error.code } }
export const closeAll = (...files) => { for (const fd of files) closeSync(fd); return 'closed' }
export const buffers = async (x, at) => { const all = []; while (x === at) { all.push(Buffer.alloc(16e6, 1)); await new Promise((go) => setTimeout(go, 20)) } return x }
export const offspring = async (folder) => {
  const inGroup = spawn('sleep', ['1000'], { stdio: 'ignore' })
  const apart = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true })
  await writeFile(folder + '/pids.new', JSON.stringify([process.pid, inGroup.pid, apart.pid]))
  await rename(folder + '/pids.new', folder + '/pids')
  for (;;);
}`
  )
})

test.each(['SIGSEGV', 'SIGBUS', 'SIGKILL', 'SIGTERM'])(
  'a task that dies by %s costs its engine, says so, and its neighbours run',
  async (signal) => {
    const { start } = bench()
    const [all, after] = await Promise.all([
      start('dieAt', upTo(6, 2, signal), { code }),
      start('default', upTo(3))
    ])
    expect(indexesOf(all)).toEqual(counting(6))
    expect(all.map(({ value }) => value)).toEqual([0, 1, undefined, 3, 4, 5])
    expect(all[2]?.lost).toContain(signal)
    expect(after.map(({ value }) => value)).toEqual([0, 1, 2])
  }
)

test('process.abort() costs one engine', async () => {
  const { start } = bench()
  const all = await start('abortAt', upTo(4, 1), { code })
  expect(all.map(({ value, lost }) => lost ?? value)).toEqual([0, 'the engine ended by SIGABRT', 2, 3])
})

test('CONFORMANCE 32: after a crash there is another engine, with another process', async () => {
  const { start } = bench()
  const [before] = await start('whoami', [[]], { code })
  await start('dieAt', upTo(1, 0, 'SIGSEGV'), { code })
  const [after] = await start('whoami', [[]], { code })
  expect(before?.value).not.toBe(process.pid)
  expect(after?.value).not.toBe(before?.value)
})

test.each(['babbleAt', 'scribbleAt'])('user code that writes to its engine’s files: %s', async (name) => {
  const { start } = bench()
  const all = await start(name, upTo(4, 1), { code })
  expect(indexesOf(all).toSorted()).toEqual(counting(4))
  expect((await start('default', [['alive']]))[0]?.value).toBe('alive')
})

test.each([{ files: [3] }, { files: [4] }, { files: [5] }, { files: [0, 1, 2, 3] }])(
  'an engine whose task has closed its files $files is replaced, and the next task runs',
  async ({ files }) => {
    const { start } = bench()
    await start('closeAll', [files], { code })
    expect((await start('default', [['alive']]))[0]?.value).toBe('alive')
  }
)

test('an engine whose task has opened all files that there may be fails no other task', async () => {
  const { start } = bench()
  expect((await start('openAll', [[]], { code }))[0]?.value).toBe('EMFILE')
  const [lost] = await start('default', [['first']])
  expect(lost?.lost).toContain('EMFILE')
  expect((await start('default', [['alive']]))[0]?.value).toBe('alive')
})

test('CONFORMANCE 45: a task that takes more memory than its engine may have, outside of the heap, loses it', async () => {
  const { start } = bench(1, 64)
  const all = await start('buffers', upTo(4, 1), { code })
  const why = /^the engine used \d+ MB of memory where it may use 192: 64 of heap and 128 beside it$/
  expect(all.map(({ value, lost }) => lost ?? value)).toEqual([0, expect.stringMatching(why), 2, 3])
})

test('what a task started ends with it, also what left its group', async () => {
  const { pool, start } = bench()
  const told = made('pids')
  const all = start('offspring', [[folder]], { code, run: 500 })
  await told
  const pids = JSON.parse(await readFile(join(folder, 'pids'), 'utf8')) as number[]
  expect(pids.filter(isAlive)).toEqual(pids)
  pool.cancel(500)
  await all
  expect(pids.filter(isAlive)).toEqual([])
})

/** What has ended and waits for its parent to notice is not alive. */
function isAlive(pid: number): boolean {
  const states = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()
  return states !== '' && !states.startsWith('Z')
}

test('no task is blamed for an engine that cannot be started: what waits for it goes back, and runs when it can', async () => {
  const { execPath } = process
  process.execPath = join(folder, 'no-such-node')
  const { start } = bench()
  const all = await start('default', upTo(2)).finally(() => {
    process.execPath = execPath
  })
  expect(all).toEqual(counting(2).map((index) => ({ index, recalled: true })))
  expect((await start('default', upTo(2))).map(({ value }) => value)).toEqual([0, 1])
})

test('where Node.js may evaluate no text, functions run all the same', async () => {
  vi.stubEnv('NODE_OPTIONS', '--disallow-code-generation-from-strings')
  try {
    const { exportName, digest, code } = await ship((x: string) => x + more, { more: '!' })
    await writeFile(join(folder, `${digest}.mjs`), code)
    expect(await bench().start(exportName, [['x']], { code: digest })).toMatchObject([{ value: 'x!' }])
  } finally {
    vi.unstubAllEnvs()
  }
})
