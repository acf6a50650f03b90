/**
 * Files of data that went are written over by data that comes, and nobody who had them sees it.
 *
 * Not here: what is whole, and what a restart finds (datafiles.test.ts).
 */
import { randomBytes } from 'node:crypto'
import { chmod, link, mkdtemp, open, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DataId } from '../../src/ids.ts'
import { type Chunks, chunkBytes, chunksOfBytes } from '../../src/node/chunks.ts'
import { DataFiles } from '../../src/node/datafiles.ts'
import { flip } from './flip.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-test-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const spares = async (files: DataFiles): Promise<string[]> =>
  (await readdir(files.folder)).filter((name) => name.endsWith('.part'))

/** By all three ways in which data comes. */
const ways: Record<string, (files: DataFiles, bytes: Uint8Array) => Promise<DataId>> = {
  'is put here': (files, bytes) => files.add([bytes]),
  'is put here in pieces': (files, bytes) => files.add([bytes.subarray(0, 7), bytes.subarray(7)]),
  'comes from another': async (files, bytes) => {
    const { id, list, read } = chunksOfBytes(bytes)
    const part = await files.begin(id, list)
    await files.write(part, 0, await read(0))
    await files.finish(part)
    return id
  }
}

test.each(Object.entries(ways))(
  'data that %s is written over what went, and is whole',
  async (_how, come) => {
    const files = await DataFiles.open(folder, { isTemporary: true })
    const inodes = new Set<number>()
    for (const size of [chunkBytes, 300_000, chunkBytes - 1, 900_000]) {
      const bytes = randomBytes(size)
      const id = await come(files, bytes)
      expect((await readFile(files.path(id))).equals(bytes)).toBe(true)
      expect(await files.checkAgain(id)).toBe(true)
      expect(await readdir(files.folder)).toEqual([id])
      inodes.add((await stat(files.path(id))).ino)
      expect(inodes.size).toBe(1)
      await files.drop(id)
      expect(await readdir(files.folder)).toEqual(await spares(files))
    }
    await files.close()
    expect(await readdir(files.folder)).toEqual([])
  }
)

test('no file is written over before its old name is gone from the disk', async () => {
  const files = await DataFiles.open(folder)
  const put = async (): Promise<number> =>
    (await stat(files.path(await files.add([randomBytes(chunkBytes)])))).ino
  const id = await files.add([randomBytes(chunkBytes)])
  const { ino } = await stat(files.path(id))
  await files.drop(id)
  // The folder is synced when this has its name.
  expect(await put()).not.toBe(ino)
  expect(await put()).toBe(ino)
  await files.close()
})

test('who reads data that goes reads it to its end, whatever comes', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  const bytes = [randomBytes(chunkBytes), randomBytes(chunkBytes)]
  const [first, second] = bytes.map(chunksOfBytes) as [Chunks, Chunks]
  await files.add([bytes[0] as Buffer])
  const part = await files.begin(second.id, second.list)
  const readers = [await files.chunks(first.id, false), await files.chunks(second.id, true)]
  await files.write(part, 0, await second.read(0))
  await files.finish(part)
  for (const { id } of [first, second]) await files.drop(id)
  for (let at = 0; at < 3; at++) await files.add([randomBytes(chunkBytes)])
  for (const [at, reader] of readers.entries()) {
    expect(bytes[at]?.equals((await reader?.read(0)) as Uint8Array)).toBe(true)
    await reader?.close()
  }
})

test('a file that a program has, or had, is never written to', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  const bytes = [randomBytes(chunkBytes), randomBytes(chunkBytes)]
  const ids = [await files.add([bytes[0] as Buffer]), await files.add([bytes[1] as Buffer])]
  const [linked, opened] = ids.map((id) => files.path(id)) as [string, string]
  await link(linked, join(folder, 'linked'))
  await chmod(opened, 0o444)
  const file = await open(opened)
  // Moved by hand to where there is more room.
  const moved = randomBytes(chunkBytes)
  ids.push(await files.add([moved]))
  await rename(files.path(ids[2] as DataId), join(folder, 'moved'))
  await symlink(join(folder, 'moved'), files.path(ids[2] as DataId))
  for (const id of ids) await files.drop(id)
  for (let at = 0; at < 3; at++) await files.add([randomBytes(chunkBytes)])
  expect((await readFile(join(folder, 'linked'))).equals(bytes[0] as Buffer)).toBe(true)
  expect((await file.readFile()).equals(bytes[1] as Buffer)).toBe(true)
  expect((await readFile(join(folder, 'moved'))).equals(moved)).toBe(true)
  await file.close()
})

test('of what goes a share of the quota is kept for use, nothing that is small or damaged, and nothing over a restart', async () => {
  const quota = 16 * 3 * chunkBytes
  const files = await DataFiles.open(folder, { quota })
  const put = (size: number): Promise<DataId> => files.add([randomBytes(size)])
  const damaged = await put(chunkBytes)
  await flip(files.path(damaged), 5)
  expect(await files.check(damaged)).toBe(false)
  await files.drop(await put(1_000))
  await files.drop(await put(3 * chunkBytes))
  expect(await spares(files)).toEqual([])
  const many = await Promise.all(Array.from({ length: 6 }, () => put(chunkBytes)))
  await Promise.all(many.map((id) => files.drop(id)))
  expect((await spares(files)).length).toBe(3)
  await DataFiles.open(folder)
  expect(await readdir(files.folder)).toEqual([])
  // Whoever finds that they are gone makes new ones.
  const bytes = randomBytes(chunkBytes)
  expect((await readFile(files.path(await files.add([bytes])))).equals(bytes)).toBe(true)
})
