/**
 * Damaged stores: whatever byte of a file is changed, cut off or gone, nobody goes on from less than was synced.
 *
 * Not here: what the node then does (test/integration/disks.test.ts), and the store when all is well (store.test.ts).
 * Each case copies a store as a killed process leaves it, harms the copy, and opens that.
 */
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStore, type Store } from '../../src/node/store.ts'
import { seededRandom } from '../../src/random.ts'

let folder: string
let count = 0

/** Of a store with some of it in a table and the rest in the log, copied while it was open. */
let synced: string[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-damage-'))
  const original = join(folder, 'original')
  const put = (key: string, size: number) => ({ key, value: Buffer.from(key.repeat(size)) })
  const first = await openStore(original)
  for (let i = 0; i < 20; i++) await first.write([put(`r/${i}`, 40), put('again', i)])
  await first.close()
  const second = await openStore(original)
  for (let i = 20; i < 40; i++)
    await second.write([put(`r/${i}`, 40), { key: `r/${i - 15}`, value: undefined }])
  synced = await contents(second)
  await cp(original, join(folder, 'left'), { recursive: true })
  // The note of what is synced follows the sync; a process that is killed a moment later leaves it like this.
  await second.close()
  await cp(join(original, 'store', 'SYNCED'), join(folder, 'left', 'store', 'SYNCED'))
})

afterAll(() => rm(folder, { recursive: true }))

async function contents(store: Store): Promise<string[]> {
  const found: string[] = []
  for await (const { key, value } of store.read('')) found.push(`${key} ${Buffer.from(value)}`)
  return found
}

/** What is read from a copy after `harm`: everything, or the code of the refusal. */
async function after(harm: (path: string) => Promise<unknown>): Promise<string> {
  const copy = join(folder, `copy ${++count}`)
  await cp(join(folder, 'left'), copy, { recursive: true })
  await harm(join(copy, 'store'))
  try {
    const store = await openStore(copy)
    const found = await contents(store)
    await store.close()
    return JSON.stringify(found) === JSON.stringify(synced) ? 'all of it' : `${found.length} records`
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  } finally {
    await rm(copy, { recursive: true })
  }
}

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file)
  bytes[at] = (bytes[at] ?? 0) ^ 0x10
  await writeFile(file, bytes)
}

const named = async (path: string, pattern: RegExp): Promise<string> => {
  const name = (await readdir(path)).find((one) => pattern.test(one))
  if (name === undefined) throw new Error(`no file like ${pattern}`)
  return join(path, name)
}

test('a store that was left by a killed process is read as it was', async () => {
  expect(await after(async () => {})).toBe('all of it')
})

test('whatever byte is flipped, all is read as it was or the store is refused', async () => {
  const random = seededRandom(1)
  const outcomes = new Map<string, Set<string>>()
  for (const name of (await readdir(join(folder, 'left', 'store'))).filter((one) => !/^LO(G|CK)/.test(one))) {
    const { length } = await readFile(join(folder, 'left', 'store', name))
    const seen = new Set<string>()
    for (let i = 0; i < 40; i++) seen.add(await after((path) => flip(join(path, name), random.below(length))))
    outcomes.set(name.replace(/\d+/, 'N'), seen)
  }
  expect([...outcomes.keys()].toSorted()).toEqual(['CURRENT', 'MANIFEST-N', 'N.ldb', 'N.log', 'SYNCED'])
  const all = new Set([...outcomes.values()].flatMap((seen) => [...seen]))
  expect([...all].filter((one) => !['all of it', 'SHOAL_DAMAGED', 'SHOAL_DISK'].includes(one))).toEqual([])
  // Every byte of the log and of the values matters.
  expect(outcomes.get('N.log')).toEqual(new Set(['SHOAL_DAMAGED']))
  expect(outcomes.get('N.ldb')).toContain('SHOAL_DAMAGED')
  expect(outcomes.get('SYNCED')).toEqual(new Set(['all of it']))
})

test('a log that lost its end is refused, down to the last group that was synced', async () => {
  for (const lost of [1, 50, 2_000, 1_000_000]) {
    const cut = async (path: string): Promise<void> => {
      const log = await named(path, /\.log$/)
      await truncate(log, Math.max(0, (await readFile(log)).length - lost))
    }
    expect(await after(cut), `${lost} bytes lost`).toBe('SHOAL_DAMAGED')
  }
})

test('an end that was never synced is no damage', async () => {
  const tear = async (path: string): Promise<void> => {
    const log = await named(path, /\.log$/)
    const bytes = await readFile(log)
    // The first half of one more record, as a power cut leaves it.
    await writeFile(log, Buffer.concat([bytes, bytes.subarray(0, 100)]))
  }
  expect(await after(tear)).toBe('all of it')
})

test.each([/^CURRENT$/, /^MANIFEST/, /\.ldb$/, /\.log$/])(
  'without its file %s a store is refused',
  async (file) => {
    expect(await after(async (path) => rm(await named(path, file)))).toBe('SHOAL_DAMAGED')
  }
)

test('a store that is gone altogether is a new one', async () => {
  expect(await after((path) => rm(path, { recursive: true }))).toBe('0 records')
})

test('damage stays damage: opening it does not mend it', async () => {
  const twice = async (path: string): Promise<void> => {
    await flip(await named(path, /\.log$/), 500)
    await expect(openStore(join(path, '..'))).rejects.toMatchObject({ code: 'SHOAL_DAMAGED' })
  }
  expect(await after(twice)).toBe('SHOAL_DAMAGED')
})
