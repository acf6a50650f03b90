/**
 * Keys: their file, their tag, and what one is told about a bad one.
 *
 * Not here: proving that one holds a key (admission.test.ts).
 * Every message is checked for what to do next, since a key is the first thing that goes wrong.
 */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createKey, meshTag, readKey, writeKey } from '../../src/node/key.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-key-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('a written key is read back, is private, and is not overwritten', async () => {
  const file = join(folder, 'lab.key')
  const key = createKey()
  await writeKey(file, key)
  expect((await readKey(file)).seal('x')).toEqual(key.seal('x'))
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(await readFile(file, 'utf8')).toMatch(/^shoal-key-1 [\w-]{43}\n$/)
  await expect(writeKey(file, createKey())).rejects.toMatchObject({
    code: 'SHOAL_BAD_KEY',
    message: expect.stringContaining('not overwritten')
  })
  expect((await readKey(file)).seal('x')).toEqual(key.seal('x'))
})

test('a missing or malformed key says what to do', async () => {
  const file = join(folder, 'none.key')
  await expect(readKey(file)).rejects.toMatchObject({
    code: 'SHOAL_BAD_KEY',
    message: `no key at ${file}; make one with \`shoal init ${file}\``
  })
  for (const text of ['', 'shoal-key-1 ', 'shoal-key-1 abc', `shoal-key-2 ${'A'.repeat(43)}`, '\0\xff']) {
    await writeFile(file, text)
    await expect(readKey(file)).rejects.toMatchObject({ code: 'SHOAL_BAD_KEY' })
  }
})

test('the tag names the mesh and a key never prints its bytes', async () => {
  const key = createKey()
  expect(meshTag(key)).toMatch(/^[0-9a-f]{16}$/)
  expect(meshTag(key)).toBe(meshTag(key))
  expect(meshTag(createKey())).not.toBe(meshTag(key))
  const file = join(folder, 'printed.key')
  await writeKey(file, key)
  const secret = (await readFile(file, 'utf8')).split(' ')[1]?.trim() ?? ''
  expect(secret).toHaveLength(43)
  expect(inspect(key, { showHidden: true }) + JSON.stringify({ key })).not.toContain(secret)
})
