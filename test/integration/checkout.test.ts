/**
 * What `shoal` runs: in a checkout what was built of it, but only as long as the sources are those that it was built of.
 *
 * Not here: the command (command.test.ts). Each case is a package of two files that say which of them runs.
 */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stampsOf } from '../../build/stamps.ts'

const launcher = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'shoal-checkout-'))
  for (const folder of ['bin', 'src', 'dist']) await mkdir(join(root, folder))
  await copyFile(launcher, join(root, 'bin/shoal.js'))
  await writeFile(join(root, 'package.json'), '{ "type": "module" }')
  await writeFile(join(root, 'bin/shoal.ts'), `process.stdout.write('the sources')`)
  await writeFile(join(root, 'src/index.ts'), 'export const one = 1')
  await writeFile(join(root, 'dist/shoal.js'), `process.stdout.write('what was built')`)
})

afterEach(() => rm(root, { recursive: true, force: true }))

async function runs(): Promise<string> {
  return (await promisify(execFile)(process.execPath, [join(root, 'bin/shoal.js')])).stdout
}

/** As the build does at its end. */
async function stamp(startedAt = Date.now() + 1_000): Promise<void> {
  const names = ['bin/shoal.ts', 'src/index.ts', 'package.json', 'node_modules/x/index.js', 'node:fs']
  await writeFile(join(root, 'dist/sources.json'), JSON.stringify(await stampsOf(names, startedAt, root)))
}

test('what was built of these very sources', async () => {
  await stamp()
  expect(await runs()).toBe('what was built')
})

test('the sources, if nobody knows what was built of what', async () => {
  expect(await runs()).toBe('the sources')
  await writeFile(join(root, 'dist/sources.json'), '{')
  expect(await runs()).toBe('the sources')
})

test('the sources, once one of them was changed, to the same length or back to an older one too', async () => {
  await stamp()
  await writeFile(join(root, 'src/index.ts'), 'export const one = 2')
  expect(await runs()).toBe('the sources')
  await stamp()
  expect(await runs()).toBe('what was built')
  const { mtimeMs } = await stat(join(root, 'src/index.ts'))
  await utimes(join(root, 'src/index.ts'), new Date(), new Date(mtimeMs - 60_000))
  expect(await runs()).toBe('the sources')
})

test('the sources, once one of them is gone, or was changed while it was built', async () => {
  await stamp(0)
  expect(await runs()).toBe('the sources')
  await stamp()
  await rm(join(root, 'src/index.ts'))
  expect(await runs()).toBe('the sources')
})

test('what was built, in a package, which has no sources', async () => {
  await rm(join(root, 'bin/shoal.ts'))
  expect(await runs()).toBe('what was built')
})
