/**
 * Data when its node stops: what is under way is let go at once, and the folder is left as it is from then on.
 *
 * Not here: what clients say of it (test/client/data.test.ts).
 */
import { readdir } from 'node:fs/promises'
import { afterEach, expect, test, vi } from 'vitest'
import type { DataId } from '../../src/ids.ts'
import { chunkBytes, chunksOfBytes } from '../../src/node/chunks.ts'
import { Data } from '../../src/node/data.ts'
import { DataFiles } from '../../src/node/datafiles.ts'
import { openTemporary } from '../../src/node/temporary.ts'
import { ended, stopAll } from './helpers.ts'

afterEach(async () => {
  vi.useRealTimers()
  await stopAll()
})

const plan = { pinMs: 0, copies: 0 }
const closed = { code: 'SHOAL_CLOSED' }

/** A node's data, without anybody to keep it: whatever is put waits. `asked`: resolves once somebody does. */
async function lonely() {
  const { folder, close } = await openTemporary()
  ended({ stop: close })
  const files = await DataFiles.open(folder)
  const asked = Promise.withResolvers<void>()
  const data = new Data({
    files,
    talkTo: () => Promise.reject(new Error('nobody is there')),
    isNear: () => false,
    sources: () => [],
    areAll: () => false,
    tell: ({ kind }) => kind === 'data-put' && asked.resolve(),
    onNote: () => {}
  })
  return { files, data, asked: asked.promise, names: () => readdir(files.folder) }
}

test('what waits for other nodes is let go, with its timers', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { data, asked } = await lonely()
  const put = expect(data.put([Buffer.from('abc')], plan)).rejects.toMatchObject(closed)
  await asked
  expect(vi.getTimerCount()).toBe(1)
  data.close()
  await put
  expect(vi.getTimerCount()).toBe(0)
  let isPulled = false
  const late = function* () {
    isPulled = true
    yield Buffer.from('late')
  }
  await expect(data.put(late(), plan)).rejects.toMatchObject(closed)
  expect(isPulled).toBe(false)
  expect(vi.getTimerCount()).toBe(0)
})

test('what has just been written when the node stops waits for nobody', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { data, files } = await lonely()
  const add = files.add.bind(files)
  files.add = async (pieces) => await add(pieces).finally(() => data.close())
  await expect(data.put([Buffer.from('abc')], plan)).rejects.toMatchObject(closed)
  expect(vi.getTimerCount()).toBe(0)
})

test('a source is left, also one that is waited for, and what came of it goes', async () => {
  const { data, files, names } = await lonely()
  const waits = Promise.withResolvers<void>()
  let isLeft = false
  const pieces = [Buffer.alloc(chunkBytes), Buffer.alloc(chunkBytes)]
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const value = pieces.pop()
        if (value !== undefined) return { done: false, value }
        waits.resolve()
        return await new Promise<never>(() => {})
      },
      return: async () => {
        isLeft = true
        return { done: true as const, value: undefined }
      }
    })
  }
  const put = expect(data.put(source as AsyncIterable<Uint8Array>, plan)).rejects.toMatchObject(closed)
  await waits.promise
  expect(await names()).toHaveLength(1)
  data.close()
  await put
  expect(isLeft).toBe(true)
  await files.close()
  expect(await names()).toEqual([])
})

test('files are closed once all that writes has ended, and nothing begins after that', async () => {
  const { files, names } = await lonely()
  const bytes = Buffer.alloc(5 * chunkBytes)
  const { id, list } = chunksOfBytes(bytes)
  const ends: string[] = []
  const begin = async (): Promise<void> => {
    const part = await files.begin(id, list)
    for (const index of part.missing()) await files.write(part, index, Buffer.alloc(chunkBytes))
    await files.finish(part)
  }
  const all = [files.add([bytes]), files.add([Buffer.from('abc')]), begin()]
  const settled = all.map((one) => one.catch(() => {}).then(() => ends.push('settled')))
  await files.close()
  const left = await names()
  ends.push('closed')
  await Promise.all(settled)
  expect(ends.slice(0, 2)).toEqual(['settled', 'settled'])
  const late: Promise<unknown>[] = [files.add([Buffer.from('late')]), files.begin('a.1' as DataId, list)]
  for (const one of late) await expect(one).rejects.toMatchObject(closed)
  expect(await names()).toEqual(left)
  expect(left.filter((name) => name.endsWith('.part'))).toEqual([])
})
