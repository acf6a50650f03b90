/**
 * That a folder which was removed, or replaced by another, is noticed, and one that is as it was is not.
 *
 * Not here: what a node with a data folder makes of it (integration/folders.test.ts).
 */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createKey, createNode } from '../../src/index.ts'
import { Footing } from '../../src/node/footing.ts'

let folder: string
let store: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-footing-'))
  store = join(folder, 'data', 'store')
  await mkdir(store, { recursive: true })
})
afterEach(() => rm(folder, { recursive: true }))

test('what is written into a folder does not make it another', async () => {
  const footing = await Footing.on([store])
  await writeFile(join(store, 'x'), 'x')
  expect(await footing.lost()).toBeUndefined()
})

test('a folder that was removed is gone, also if one above it is', async () => {
  const footing = await Footing.on([store])
  await rm(join(folder, 'data'), { recursive: true })
  expect(await footing.lost()).toBe(`the folder ${store} is gone`)
  await writeFile(join(folder, 'data'), 'a file now')
  expect(await footing.lost()).toBe(`the folder ${store} is gone`)
})

test('a folder that was moved away and made again is another', async () => {
  const footing = await Footing.on([store])
  await rename(join(folder, 'data'), join(folder, 'old'))
  await mkdir(store, { recursive: true })
  expect(await footing.lost()).toBe(`the folder ${store} was replaced by another`)
})

test('a node without a data folder of its own says that its temporary one is gone, too', async () => {
  const data = Promise.withResolvers<string>()
  const lost = Promise.withResolvers<string>()
  const onNote = (note: string): void => {
    const folder = /data in (.*)$/.exec(note)?.[1]
    if (folder !== undefined) data.resolve(folder)
    if (note.startsWith('stops keeping shards')) lost.resolve(note)
  }
  const node = await createNode({ key: createKey(), slots: 0, listen: [], mdns: false, onNote })
  try {
    await rm(dirname(await data.promise), { recursive: true })
    expect(await lost.promise).toMatch(/: the folder .*(blobs|data) is gone; restart this node/)
  } finally {
    await node.stop()
  }
})
