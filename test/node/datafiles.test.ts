/**
 * Files of data: what is whole, what was damaged, and what a restart finds.
 *
 * Not here: transfers (test/integration/data.test.ts), and files that are written over (spares.test.ts).
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DataId } from '../../src/ids.ts'
import { chunkBytes, chunksOfBytes, chunksOfFile, inChunks, piecesOfFile } from '../../src/node/chunks.ts'
import { DataFiles } from '../../src/node/datafiles.ts'
import { flip } from './flip.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-test-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function read(files: DataFiles, id: DataId): Promise<Buffer> {
  const chunks = await files.chunks(id, true)
  if (chunks === undefined) throw new Error('not here')
  const parts = []
  for (let index = 0; index < chunks.list.byteLength / 32; index++) parts.push(await chunks.read(index))
  await chunks.close()
  return Buffer.concat(parts)
}

test('pieces of any size become chunks of one size', async () => {
  const bytes = randomBytes(2 * chunkBytes + 5)
  for (const size of [1_000_003, 64 * 1024, chunkBytes, 3 * chunkBytes]) {
    const pieces = []
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
    const chunks = await Array.fromAsync(inChunks(pieces), (chunk) => Buffer.from(chunk))
    expect(chunks.map((chunk) => chunk.length)).toEqual([chunkBytes, chunkBytes, 5])
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
  }
})

test('the same bytes have the same name, however they come', async () => {
  const files = await DataFiles.open(folder)
  for (const bytes of [
    randomBytes(0),
    randomBytes(10),
    randomBytes(chunkBytes),
    randomBytes(3 * chunkBytes + 1)
  ]) {
    await writeFile(join(folder, 'source'), bytes)
    const { id } = chunksOfBytes(bytes)
    expect(await files.add([bytes])).toBe(id)
    expect(await files.add(piecesOfFile(join(folder, 'source')))).toBe(id)
    expect((await read(files, id)).equals(bytes)).toBe(true)
    expect((await readFile(files.path(id))).equals(bytes)).toBe(true)
  }
  expect((await readdir(files.folder)).filter((name) => name.endsWith('.part'))).toEqual([])
})

test('a restart finds what is whole, and a flipped byte is found before anybody uses it', async () => {
  const before = await DataFiles.open(folder)
  const [sound, small, large] = [
    await before.add([randomBytes(100)]),
    await before.add([randomBytes(200)]),
    await before.add([randomBytes(2 * chunkBytes)])
  ]
  await writeFile(join(before.folder, 'half.part'), 'half')
  await flip(before.path(small), 50)
  await flip(before.path(large), chunkBytes + 7)
  const after = await DataFiles.open(folder)
  expect(after.ids().sort()).toEqual([sound, small, large].sort())
  expect(await Promise.all([sound, small, large].map((id) => after.check(id)))).toEqual([true, false, false])
  expect(after.ids()).toEqual([sound])
  expect(await readdir(after.folder)).toEqual([sound])
})

test('a file that is changed after it was checked is found too', async () => {
  const files = await DataFiles.open(folder)
  const id = await files.add([randomBytes(1_000)])
  expect(await files.check(id)).toBe(true)
  await flip(files.path(id), 3)
  expect(await files.check(id)).toBe(false)
  expect(files.has(id)).toBe(false)
})

test('what is used stays until it is not used any more', async () => {
  const files = await DataFiles.open(folder)
  const id = await files.add([randomBytes(10)])
  files.use(id)
  files.use(id)
  await files.drop(id)
  files.release(id)
  expect(files.has(id)).toBe(true)
  files.release(id)
  expect(files.has(id)).toBe(false)
})

test('what breaks off goes on where it was', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  const bytes = randomBytes(3 * chunkBytes)
  const source = chunksOfBytes(bytes)
  const part = await files.begin(source.id, source.list)
  await part.write(0, await source.read(0))
  const reader = await files.chunks(source.id, true)
  const waits = reader?.read(2)
  await files.pause(part, new Error('the line is dead'))
  await expect(waits).rejects.toThrow('the line is dead')
  await reader?.close()
  const again = await files.begin(source.id, source.list)
  expect([...again.missing()]).toEqual([1, 2])
  for (const index of again.missing()) await again.write(index, await source.read(index))
  await files.finish(again)
  expect((await read(files, source.id)).equals(bytes)).toBe(true)
  await files.close()
})

test('what comes again while it is being dropped stays', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  for (let round = 0; round < 200; round++) {
    const id = await files.add([Uint8Array.of(1)])
    void files.drop(id)
    await files.add([Uint8Array.of(1)])
    expect(await files.checkAgain(id)).toBe(true)
  }
})

test('a file that is cut or changed while it is put is told by its name; one that only grows is put as it was', async () => {
  const path = join(folder, 'scan.raw')
  const bytes = randomBytes(2 * chunkBytes)
  await writeFile(path, bytes)
  const chunks = await chunksOfFile(path)
  await writeFile(path, 'more', { flag: 'a' })
  expect(Buffer.from(await chunks.read(1)).equals(bytes.subarray(chunkBytes))).toBe(true)
  const told = {
    code: 'SHOAL_DISK',
    message: expect.stringContaining(`"${path}" was changed while it was put`)
  }
  await flip(path, chunkBytes)
  await expect(chunks.read(1)).rejects.toMatchObject(told)
  await truncate(path, chunkBytes)
  await expect(chunks.read(1)).rejects.toMatchObject(told)
  await chunks.close()
})

test('what is put while it is dropped, or was dropped while somebody used it, stays', async () => {
  const files = await DataFiles.open(folder)
  const bytes = randomBytes(2 * chunkBytes)
  const id = await files.add([bytes])
  files.use(id)
  await files.drop(id)
  await files.add([bytes])
  files.release(id)
  for (let turns = 0; turns < 60; turns++) {
    let isPut = false
    const putting = files.add([bytes]).then(() => {
      isPut = true
    })
    for (let at = 0; at < turns; at++) await new Promise(setImmediate)
    if (isPut) break
    await files.drop(id)
    await putting
    expect([files.has(id), await files.check(id)]).toEqual([true, true])
  }
})

test('who drops what was there does not take away what is just getting its name', async () => {
  const files = await DataFiles.open(folder)
  const { id, list, read } = chunksOfBytes(randomBytes(1_000))
  for (let round = 0; round < 5; round++) {
    const part = await files.begin(id, list)
    await files.write(part, 0, await read(0))
    const comes = files.finish(part)
    while (!existsSync(files.path(id))) await new Promise(setImmediate)
    await files.drop(id)
    await comes
    expect([files.has(id), await files.checkAgain(id)]).toEqual([true, true])
    await files.drop(id)
  }
})

test('who reads data that goes, or goes and comes again, finds it whole or not at all', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  const bytes = randomBytes(chunkBytes + 1)
  const { id } = chunksOfBytes(bytes)
  let isOver = false
  const changes = async (): Promise<void> => {
    for (let round = 0; round < 100; round++) {
      await files.add([bytes])
      void files.drop(id)
    }
    isOver = true
  }
  const reads = async (): Promise<void> => {
    while (!isOver) {
      await new Promise(setImmediate)
      const chunks = await files.chunks(id, false)
      if (chunks !== undefined) expect(bytes.subarray(chunkBytes).equals(await chunks.read(1))).toBe(true)
      await chunks?.close()
    }
  }
  await Promise.all([changes(), reads(), reads(), reads()])
  await files.close()
})

test('who doubts what was there does not take away what came since', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  const bytes = randomBytes(2 * chunkBytes)
  const id = await files.add([bytes])
  for (let turns = 0; turns < 200; turns++) {
    const doubts = files.checkAgain(id)
    for (let at = 0; at < turns % 20; at++) await new Promise(setImmediate)
    void files.drop(id)
    await files.add([bytes])
    await doubts
    expect([files.has(id), await files.checkAgain(id)]).toEqual([true, true])
  }
})

test('who reads data that is put once more, and once more, finds it whole', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  const bytes = randomBytes(2 * chunkBytes)
  const { id } = chunksOfBytes(bytes)
  for (let round = 0; round < 20; round++) {
    let left = 4
    const puts = Array.from({ length: left }, () => files.add([bytes]).finally(() => left--))
    while (left > 0) {
      if (files.has(id)) expect(bytes.equals(await read(files, id))).toBe(true)
      await new Promise(setImmediate)
    }
    await Promise.all(puts)
    await files.drop(id)
  }
})

test('what is dropped while it is looked at, and was sound, is not here any more either', async () => {
  const files = await DataFiles.open(folder)
  const id = await files.add([randomBytes(100_000)])
  expect(await files.check(id)).toBe(true)
  const looked = files.check(id)
  const dropped = files.drop(id)
  expect(await looked).toBeUndefined()
  await dropped
})

test('what is dropped while it is looked at is not here any more', async () => {
  const files = await DataFiles.open(folder, { isTemporary: true })
  for (let turns = 0; turns < 30; turns++) {
    const id = await files.add([randomBytes(3 * chunkBytes)])
    const checking = files.checkAgain(id)
    for (let at = 0; at < turns; at++) await new Promise(setImmediate)
    await files.drop(id)
    await checking
    expect(files.has(id)).toBe(false)
  }
})

test('what cannot be removed is gone all the same, and nothing else ends by that', async () => {
  const files = await DataFiles.open(folder)
  const bytes = randomBytes(1_000)
  const id = await files.add([bytes])
  // As good as a disk that nobody may write to any more.
  await rm(files.path(id))
  await mkdir(files.path(id))
  files.use(id)
  await files.drop(id)
  files.release(id)
  expect(await files.check(id)).toBe(false)
  await rmdir(files.path(id))
  expect(await files.add([bytes])).toBe(id)
})

test('nothing is left of what is dropped while all ends', async () => {
  for (let turns = 0; turns < 20; turns++) {
    const files = await DataFiles.open(folder, { isTemporary: true })
    const id = await files.add([randomBytes(chunkBytes)])
    void files.drop(id)
    for (let at = 0; at < turns; at++) await new Promise(setImmediate)
    await files.close()
    expect(await readdir(files.folder)).toEqual([])
  }
})
