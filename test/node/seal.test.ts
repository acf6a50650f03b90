/**
 * What a store notes of what was synced to it.
 *
 * Not here: what is found out by it (damage.test.ts).
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Seal } from '../../src/node/seal.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-seal-'))
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(folder, { recursive: true })
})

const noted = async (group: number): Promise<void> => {
  while ((await Seal.lastSynced(folder)) !== group);
}

test('each group is noted, also after one that was synced while a note was being written', async () => {
  const seal = await Seal.begin(folder)
  const group = (): void => {
    seal.next([{ key: 'a', value: Buffer.from('b') }])
    seal.synced()
  }
  group()
  vi.advanceTimersByTime(20)
  // The note of the first group is under way, and takes the second one along.
  group()
  await noted(2)
  vi.advanceTimersByTime(20)
  group()
  vi.advanceTimersByTime(20)
  await noted(3)
  group()
  await seal.close()
  expect(await Seal.lastSynced(folder)).toBe(4)
})
