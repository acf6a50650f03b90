/**
 * That one sync of a folder serves for many, and never for what happened after it had begun.
 *
 * Not here: what is durable afterwards, which only a power cut shows.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { FolderSync } from '../../src/node/folder-sync.ts'
import { openTemporary } from '../../src/node/temporary.ts'

test('those who come in one turn share a sync, and who comes when it has begun waits for the next', async () => {
  const { folder, close } = await openTemporary()
  const syncs = new FolderSync(folder)
  const first = syncs.sync()
  expect(syncs.sync()).toBe(first)
  // It has begun: a microtask has passed.
  await Promise.resolve()
  await Promise.resolve()
  const second = syncs.sync()
  expect(second).not.toBe(first)
  expect(syncs.sync()).toBe(second)
  const order: string[] = []
  await Promise.all([second.then(() => order.push('second')), first.then(() => order.push('first'))])
  expect(order).toEqual(['first', 'second'])
  await turn()
  expect(syncs.sync()).not.toBe(second)
  await syncs.sync()
  await close()
})

test('a folder that cannot be synced fails those who wait for it, and not those who come when it can be again', async () => {
  const { folder, close } = await openTemporary()
  const path = join(folder, 'data')
  const syncs = new FolderSync(path)
  await expect(Promise.all([syncs.sync(), syncs.sync()])).rejects.toMatchObject({ code: 'ENOENT' })
  await mkdir(path)
  await syncs.sync()
  await rm(path, { recursive: true })
  await close()
})
