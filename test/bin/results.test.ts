/**
 * Where results go: files that appear when they are complete, and what cannot be written to.
 *
 * Not here: results themselves (test/integration/command.test.ts).
 */
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { formatOf, openOutlet } from '../../bin/results.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-results-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('a file is replaced when all is written, and not before', async () => {
  const file = join(folder, 'out.txt')
  await writeFile(file, 'old', { mode: 0o600 })
  const outlet = await openOutlet(file)
  for (let i = 0; i < 20_000; i++) await outlet.write(`line ${i}\n`)
  expect(await readFile(file, 'utf8')).toBe('old')
  await outlet.finish()
  expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(20_001)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toEqual(['out.txt'])
})

test('what was dropped leaves no trace', async () => {
  const outlet = await openOutlet(join(folder, 'out.txt'))
  await outlet.write('half')
  await outlet.drop()
  expect(await readdir(folder)).toEqual([])
})

test('a link stays one, and a device is written to rather than replaced', async () => {
  await writeFile(join(folder, 'real.txt'), '')
  await symlink(join(folder, 'real.txt'), join(folder, 'link.txt'))
  const linked = await openOutlet(join(folder, 'link.txt'))
  await linked.write('text')
  await linked.finish()
  expect(await readFile(join(folder, 'real.txt'), 'utf8')).toBe('text')
  const device = await openOutlet('/dev/null')
  await device.write('text')
  await device.finish()
  expect((await stat('/dev/null')).isCharacterDevice()).toBe(true)
})

test.runIf(existsSync('/dev/full'))('a disk that is full is told', async () => {
  const outlet = await openOutlet('/dev/full')
  await outlet.write('text')
  await expect(outlet.finish()).rejects.toMatchObject({
    code: 'SHOAL_DISK',
    message: expect.stringMatching(/^results cannot be written \(ENOSPC.*; make room/)
  })
})

test('what cannot be written is refused before any work is done', async () => {
  for (const file of [folder, join(folder, 'none', 'out.txt')]) {
    await expect(openOutlet(file)).rejects.toMatchObject({
      code: 'SHOAL_BAD_OPTION',
      message: expect.stringMatching(/^--out .* cannot be written \(E[A-Z]+\); give a file/)
    })
  }
})

test('one JSON object goes before lines of JSON, and these before text', () => {
  expect(formatOf({ json: true, 'json-lines': true })).toBe('one')
  expect(formatOf({ json: false, 'json-lines': true })).toBe('lines')
  expect(formatOf({ json: false, 'json-lines': false })).toBe('text')
})
