/**
 * Blobs: what is put is found under its hash, on disk and over the network, and nothing else is.
 *
 * Not here: what the blobs are used for.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { blobBytesMax, digestOf, openBlobs } from '../../src/node/blobs.ts'
import { createKey } from '../../src/node/key.ts'
import { connect, startNode, stopAll } from './helpers.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-blobs-test-'))
})
afterEach(async () => {
  await stopAll()
  await rm(folder, { recursive: true })
})

test('a blob is kept under its hash and found after a reopening', async () => {
  const blobs = await openBlobs(folder)
  const bytes = randomBytes(100_000)
  const [digest, same] = await Promise.all([blobs.put(bytes), blobs.put(bytes, digestOf(bytes))])
  expect(same).toBe(digest)
  expect(blobs.path(digest)).toBe(join(folder, 'blobs', `${digest}.mjs`))
  await blobs.close()
  await writeFile(join(folder, 'blobs', 'cut.tmp'), 'unfinished')
  const again = await openBlobs(folder)
  expect(again.has(digest)).toBe(true)
  expect(await again.read(digest)).toEqual(bytes)
  expect(await again.read(digestOf(randomBytes(3)))).toBeUndefined()
  expect(await readdir(join(folder, 'blobs'))).toEqual([`${digest}.mjs`])
})

test('a wrong digest and a blob that is too large are refused', async () => {
  const blobs = await openBlobs(folder)
  const other = digestOf(Buffer.from('other'))
  await expect(blobs.put(Buffer.from('this'), other)).rejects.toMatchObject({ code: 'SHOAL_BAD_MESSAGE' })
  await expect(blobs.put(new Uint8Array(blobBytesMax + 1))).rejects.toMatchObject({
    code: 'SHOAL_BAD_MESSAGE'
  })
  expect(await readdir(join(folder, 'blobs'))).toEqual([])
  await expect(openBlobs('/dev/null/here')).rejects.toMatchObject({ code: 'SHOAL_DISK' })
})

test('what is lent lies in a temporary folder, which close removes', async () => {
  const blobs = await openBlobs(folder)
  const digest = await blobs.lend(Buffer.from('export default 1'))
  const path = blobs.path(digest)
  expect([blobs.isHere(digest), blobs.has(digest), existsSync(path)]).toEqual([true, false, true])
  await blobs.close()
  expect(existsSync(dirname(path))).toBe(false)
})

test('a fetch tries one peer after the other until the bytes have the right hash', async () => {
  const key = createKey()
  const bytes = randomBytes(blobBytesMax)
  const digest = digestOf(bytes)
  const empty = await startNode(key)
  const liar = await startNode(key, { blobs: { read: async () => Buffer.from('something else') } })
  const broken = await startNode(key, {
    blobs: { read: () => Promise.reject(new Error('the disk is gone')) }
  })
  const good = await startNode(key, { blobs: { read: async () => bytes } })
  const asker = await startNode(key)
  const others = [empty, liar, broken, good]
  for (const other of others) asker.transport.dial(other.transport.self, [other.address])
  await asker.events.count('peer-connected', others.length)
  const ask = others.map(({ transport }) => transport.self)
  expect(Buffer.compare(await asker.transport.fetchBlob(digest, ask), bytes)).toBe(0)
  expect(asker.transport.counters()['blob-fetches-failed']).toBe(3)
  await expect(asker.transport.fetchBlob(digest, ask.slice(0, 3))).rejects.toMatchObject({
    code: 'SHOAL_NOT_FOUND'
  })
  await expect(asker.transport.fetchBlob(digest, [])).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})

test('a peer that dies in mid-transfer is not taken for one that finished', async () => {
  const key = createKey()
  const bytes = randomBytes(blobBytesMax)
  const server = await startNode(key, {
    blobs: {
      read: async () => {
        setImmediate(() => void server.transport.stop())
        return bytes
      }
    }
  })
  const asker = await startNode(key)
  await connect(asker, server)
  const fetching = asker.transport.fetchBlob(digestOf(bytes), [server.transport.self])
  await expect(fetching).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
})
