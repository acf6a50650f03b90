/**
 * Plain functions in engines: they run as in a module, and leave nothing behind.
 *
 * Not here: what of them travels (test/client/functions.test.ts).
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ship } from '../../../src/client/functions.ts'
import type { Digest } from '../../../src/ids.ts'
import { loadedFrom, loadPlain } from '../../../src/tasks/executor/plain.ts'
import { bench, folder } from './bench.ts'

/** A function with exactly this text, as an engine finds it. */
async function shipped(text: string, scope?: Record<string, unknown>) {
  const fn = Object.assign((): void => {}, { toString: () => text })
  const { code, digest, exportName } = await ship(fn, scope)
  await writeFile(join(folder, `${digest}.mjs`), code)
  return { exportName, code: digest as Digest }
}

test.each([
  ['of a strict module', 'function () { return this === undefined }', true],
  ['with a dynamic import', '(x) => import("node:path").then((path) => path.basename(x))', 'b'],
  ['with a task around it', '() => import("shoal/task").then(({ task }) => task.attempt)', 1],
  ['of a module, which is told where it is', '() => import.meta.url.slice(-4)', '.mjs'],
  ['that makes a page', '(x) => "<!-- " + x + " -->"', '<!-- /a/b -->'],
  ['that calls itself', 'function down(x) { return x.length > 0 ? down(x.slice(1)) : "end" }', 'end'],
  [
    'whose text ends like what is around it',
    '() => `\\nexport const $shoalPlain = $shoalMake()\\n`.length',
    41
  ]
])('a function %s is what it was', async (_what, text, value) => {
  const { start } = bench()
  const { exportName, ...rest } = await shipped(text)
  expect(await start(exportName, [['/a/b']], rest)).toMatchObject([{ value }])
})

test('what it throws says where, and what cannot be made fails its tasks', async () => {
  const { start } = bench()
  const { exportName, code } = await shipped('function fails() {\n  throw new RangeError(why)\n}', {
    why: 'far'
  })
  const [thrown] = await start(exportName, [[]], { code })
  expect(thrown?.failure).toMatchObject({ name: 'RangeError', message: 'far' })
  expect(thrown?.failure?.stack).toMatch(new RegExp(`at fails \\(.*${code}\\.mjs:\\d+:9\\)`))
  const bad = 'bad' as Digest
  await writeFile(
    join(folder, 'bad.mjs'),
    'const $shoalMake = () => nowhere\nexport const $shoalPlain = $shoalMake()\n'
  )
  for (const { failure } of await start(exportName, [[], []], { code: bad }))
    expect(failure).toMatchObject({ code: 'SHOAL_BAD_FUNCTION', message: expect.stringContaining('nowhere') })
})

test('an engine runs functions without end that differ in what they were given', async () => {
  const { start } = bench(1, 64)
  for (let at = 0; at < 1_000; at++) {
    const given = `${at} `.padEnd(100_000, 'x')
    const { exportName, code } = await shipped('() => given.slice(0, 4)', { given })
    expect(await start(exportName, [[]], { code })).toMatchObject([{ value: given.slice(0, 4) }])
  }
})

test('of many functions those are kept that were called last', async () => {
  const files: string[] = []
  for (let at = 0; at < 300; at++) {
    const { code } = await shipped(`() => ${at}`)
    files.push(join(folder, `${code}.mjs`))
  }
  const [first, second, ...others] = files as [string, string, ...string[]]
  const loaded = [loadPlain(first), loadPlain(second)]
  for (const file of others) {
    loadPlain(file)
    expect(loadPlain(first)).toBe(loaded[0])
  }
  expect(loadedFrom(first)).toBe(loaded[0])
  expect(loadedFrom(second)).toBeUndefined()
  expect(loadPlain(second)?.()).toBe(1)
})

test('what another function has left for a global is nothing to one that was given something', async () => {
  const { start } = bench()
  const { code } = await shipped('() => { for (const name of ["Buffer", "process"]) globalThis[name] = {} }')
  expect(await start('$shoalPlain', [[]], { code })).toMatchObject([{ value: undefined }])
  for (const text of ['() => given', '() => import.meta.url && given']) {
    const { exportName, code } = await shipped(text, { given: 'far', numbers: new Uint16Array(2) })
    expect(await start(exportName, [[]], { code })).toMatchObject([{ value: 'far' }])
  }
})

test('a name that a function imports is looked for where its module lies', async () => {
  const { start } = bench()
  const beside = join(folder, 'node_modules', 'beside')
  await mkdir(beside, { recursive: true })
  await writeFile(join(beside, 'index.js'), 'module.exports = "found"')
  const { exportName, code } = await shipped('async (name) => (await import(name)).default')
  expect(await start(exportName, [['beside']], { code })).toMatchObject([{ value: 'found' }])
})

test('arrays that a function was given are not windows on what others were given', async () => {
  const { start } = bench()
  const given = { numbers: new Float32Array(3), view: new DataView(new ArrayBuffer(5)) }
  const text = '() => [numbers, view].map(({ buffer }) => buffer.byteLength)'
  const { exportName, code } = await shipped(text, given)
  expect(await start(exportName, [[]], { code })).toMatchObject([{ value: [12, 5] }])
})
