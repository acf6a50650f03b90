/**
 * The store: order, groups, durability, the lock of its folder, and the identity kept in it.
 *
 * Not here: crashes of the machine, which no test in a process can show.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { loadIdentity, openStore, type Store } from '../../src/node/store.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-store-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function all(store: Store, prefix: string): Promise<[string, string][]> {
  const found: [string, string][] = []
  for await (const { key, value } of store.read(prefix)) found.push([key, Buffer.from(value).toString()])
  return found
}
const put = (key: string, value: string) => ({ key, value: Buffer.from(value) })

describe.each(['memory', 'disk'])('%s', (kind) => {
  test('reads what was written under a prefix, in order of key', async () => {
    const store = await openStore(kind === 'disk' ? folder : undefined)
    await store.write([put('b/2', 'two'), put('b/1', 'one'), put('c', 'other'), put('a', 'first')])
    await store.write([put('b/2', 'changed'), { key: 'a', value: undefined }])
    expect(await all(store, 'b/')).toEqual([
      ['b/1', 'one'],
      ['b/2', 'changed']
    ])
    expect(await all(store, '')).toHaveLength(3)
    await store.close()
    await expect(store.write([put('x', '')])).rejects.toMatchObject({ code: 'SHOAL_CLOSED' })
  })
})

test('concurrent writes share synced groups, are applied in order, and are there after a reopening', async () => {
  const batch = vi.spyOn(ClassicLevel.prototype, 'batch')
  const store = await openStore(folder)
  const done: number[] = []
  const first = store.write([put('key', '0')])
  await Promise.resolve()
  await Promise.resolve()
  const rest = Array.from({ length: 500 }, (_, i) =>
    store.write([put('key', `${i}`), put(`n/${i}`, '')]).then(() => done.push(i))
  )
  await Promise.all([first, ...rest])
  expect(batch.mock.calls.length).toBeLessThanOrEqual(2)
  expect(batch.mock.calls.every((call: unknown[]) => (call[1] as { sync?: boolean }).sync)).toBe(true)
  expect(done).toEqual(Array.from({ length: 500 }, (_, i) => i))
  batch.mockRestore()
  void store.write([put('last', 'written by close')])
  await store.close()
  const again = await openStore(folder)
  expect(await all(again, 'key')).toEqual([['key', '499']])
  expect(await all(again, 'last')).toHaveLength(1)
  await again.close()
})

test('after a failed group nothing is written any more, until the store is opened again', async () => {
  const store = await openStore(folder)
  await store.write([put('before', '1')])
  const batch = vi.spyOn(ClassicLevel.prototype, 'batch')
  batch.mockReturnValueOnce(Promise.reject(new Error('ENOSPC')) as never)
  await expect(store.write([put('a', '1')])).rejects.toMatchObject({ code: 'SHOAL_DISK', retryable: true })
  batch.mockRestore()
  await expect(store.write([put('b', '2')])).rejects.toMatchObject({ code: 'SHOAL_DISK' })
  await store.close()
  const again = await openStore(folder)
  await again.write([put('c', '3')])
  expect(await all(again, '')).toEqual([
    ['before', '1'],
    ['c', '3']
  ])
  await again.close()
})

test('a folder in use is refused, and a folder that cannot be is SHOAL_DISK', async () => {
  const store = await openStore(folder)
  await expect(openStore(folder)).rejects.toMatchObject({ code: 'SHOAL_DATA_IN_USE' })
  await store.close()
  await expect(openStore('/dev/null/here')).rejects.toMatchObject({ code: 'SHOAL_DISK' })
})

test('the identity stays, and every start counts', async () => {
  const boots: number[] = []
  const names = new Set<string>()
  for (let i = 0; i < 3; i++) {
    const store = await openStore(folder)
    const { peerId, storeId, boot, privateKey } = await loadIdentity(store)
    expect(privateKey.type).toBe('Ed25519')
    boots.push(boot)
    names.add(`${peerId} ${storeId}`)
    await store.close()
  }
  expect(boots).toEqual([1, 2, 3])
  expect(names.size).toBe(1)
  const other = await loadIdentity(await openStore(undefined))
  expect(names.has(`${other.peerId} ${other.storeId}`)).toBe(false)
})
