/**
 * What is one chunk, on one machine: found by its name at who keeps it, and taken from where it was offered, without being asked for.
 *
 * Not here: places that are said when something is asked for (near.test.ts).
 */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { ClientData } from '../../src/client/data.ts'
import { makeRef } from '../../src/data/ref.ts'
import { type DataId, dataId } from '../../src/ids.ts'
import { chunksOfBytes } from '../../src/node/chunks.ts'
import { NearFiles, type Nearness, type Place } from '../../src/node/near.ts'
import type { Talk } from '../../src/node/talk.ts'
import { openTemporary } from '../../src/node/temporary.ts'
import { depot, overheard } from './depot.ts'
import { flip } from './flip.ts'
import { ended, stopAll } from './helpers.ts'

afterEach(stopAll)

const size = 100_000

/** A depot with so many things, one that reads from it, and what they say. */
async function two(count: number) {
  const { said, serve } = overheard()
  const holder = await depot({ serve })
  const contents = Array.from({ length: count }, () => randomBytes(size))
  const ids: DataId[] = []
  for (const content of contents) ids.push(await holder.files.add([content]))
  const reader = await depot({ peers: [holder.node] })
  const talk = (): Promise<Talk> => reader.node.transport.talkTo(holder.node.transport.self)
  const isRight = async (at: number): Promise<boolean> =>
    (await readFile(reader.files.path(ids[at] as DataId))).equals(contents[at] as Buffer)
  const asked = (): number => said.filter((word) => word === 'ask').length
  return { asked, holder, reader, ids, contents, talk, isRight }
}

test('who once read a file of a node on its machine finds the others by their names', async () => {
  const { asked, reader, ids, isRight } = await two(4)
  for (const [at, id] of ids.entries()) {
    await reader.data.fetch(id)
    expect(await isRight(at)).toBe(true)
  }
  expect(asked()).toBe(1)
  expect(reader.moved('in')).toBe(4 * size)
})

test('what lies under its name and is something else is asked for, so that its holder hears of it', async () => {
  const { asked, holder, reader, ids } = await two(2)
  const [first, second] = ids as [DataId, DataId]
  await reader.data.fetch(first)
  await flip(holder.files.path(second), 7)
  await expect(reader.data.fetch(second, 0)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  expect(asked()).toBeGreaterThan(1)
  expect(await holder.noted).toContain(`data ${second} was damaged on this disk`)
})

test('a result is found by its name, and what a user gets by its Ref is asked for, so that it counts as used', async () => {
  const { asked, ids, contents, talk } = await two(3)
  const client = new ClientData({ door: { talk }, attached: async () => {} })
  for (const [at, id] of ids.entries())
    await client.with(id, (bytes) => expect(contents[at]?.equals(bytes)).toBe(true))
  expect(asked()).toBe(1)
  for (const [at, id] of ids.entries()) expect(contents[at]?.equals(await client.get(makeRef(id)))).toBe(true)
  expect(asked()).toBe(4)
})

test('where nothing was found by its name eight times in a row, nobody looks any more until something is read there', async () => {
  const { asked, holder, reader, ids, talk, isRight } = await two(3)
  const [first, second, third] = ids as [DataId, DataId, DataId]
  await reader.data.fetch(first)
  const { nearness } = await talk()
  for (let times = 1; times <= 8; times++) {
    expect(nearness.folder).toBe(holder.files.folder)
    const missing = dataId(randomBytes(32).toString('base64url'), size)
    await expect(reader.data.fetch(missing, 0)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  }
  expect(nearness.folder).toBeUndefined()
  expect(asked()).toBe(9)
  for (const id of [second, third]) await reader.data.fetch(id)
  expect(asked()).toBe(10)
  expect(await isRight(2)).toBe(true)
})

/** A client that hands over by a file, and what it says. */
async function putter(place: (chunk: Uint8Array) => Promise<Place | undefined>) {
  const { said, serve } = overheard()
  const neighbour = await depot()
  const holder = await depot({
    peers: [neighbour.node],
    serve: (data, talk, node) => serve(data, talk, node, undefined)
  })
  const guest = await depot({ peers: [holder.node] })
  const talk = (): Promise<Talk> => guest.node.transport.talkTo(holder.node.transport.self)
  const client = new ClientData({ door: { talk, place }, attached: async () => {} })
  return { said, holder, neighbour, client, talk }
}

async function folderOf(): Promise<string> {
  const { folder, close } = await openTemporary()
  ended({ stop: close })
  return folder
}

test('what a client offers with its place is read there, and the place is free again', async () => {
  const path = join(await folderOf(), 'spool')
  let freed = 0
  const { said, holder, client } = await putter(async (chunk) => {
    await writeFile(path, chunk)
    return { path, offset: 0, free: () => void freed++ }
  })
  const content = randomBytes(size)
  const { hash } = await client.put(content)
  expect(said).toEqual(['offer', 'list'])
  expect((await readFile(holder.files.path(`${hash}.${size}` as DataId))).equals(content)).toBe(true)
  expect(freed).toBe(1)
  expect(holder.node.transport.counters()['bytes-in']).toBeLessThan(10_000)
})

test.each([
  ['does not lie where it was offered', '/nowhere/at/all'],
  ['lies deeper than can be said', `/${'x'.repeat(1_100)}`]
])('what %s is sent', async (_what, path) => {
  const { said, holder, client } = await putter(async () => ({ path, offset: 0 }))
  const content = randomBytes(size)
  const { hash } = await client.put(content)
  expect(said).toContain('chunk')
  expect((await readFile(holder.files.path(`${hash}.${size}` as DataId))).equals(content)).toBe(true)
})

test.each([
  ['finds nothing there', false],
  ['finds something else there', true]
])('for a node that %s eight times in a row no file is written any more', async (_what, isOther) => {
  const path = join(await folderOf(), 'spool')
  if (isOther) await writeFile(path, randomBytes(size))
  let places = 0
  const { said, client } = await putter(async () => {
    places++
    return { path, offset: 0 }
  })
  for (let times = 0; times < 8; times++) await client.put(randomBytes(size))
  const before = places
  for (let times = 0; times < 3; times++) await client.put(randomBytes(size))
  expect(places).toBe(before)
  expect(said.filter((word) => word === 'damaged')).toEqual([])
})

test.each([
  ['could open no more files', 'EMFILE', true],
  ['found nothing there', 'ENOENT', false]
])('who %s in many transfers goes on to look in files: %s, %s', async (_what, code, goesOn) => {
  const folder = await folderOf()
  const content = randomBytes(size)
  const { id } = chunksOfBytes(content)
  await writeFile(join(folder, id), content)
  const place = { path: join(folder, id), offset: 0 }
  const nearness: Nearness = { isNear: true, misses: 0, folder, vain: 0, unread: 0 }
  const fails = (): Promise<never> => Promise.reject(Object.assign(new Error(code), { code }))
  for (let times = 0; times < 9; times++) {
    const files = new NearFiles(nearness, fails)
    expect(await files.look(id, () => true)).toBeUndefined()
    // Said once more where it lies, and not read there, either.
    for (let asked = 0; asked < 2; asked++) {
      expect(await files.read(place, size)).toBeUndefined()
      files.missed()
    }
  }
  expect([nearness.isNear, nearness.folder === folder]).toEqual([goesOn, goesOn])
  const files = new NearFiles(nearness)
  expect((await files.look(id, (bytes) => content.equals(bytes))) !== undefined).toBe(goesOn)
  await files.close()
})

test('nodes on this machine hear of what is put when they can find it by its name, others at once', async () => {
  const { holder, neighbour, client } = await putter(async () => undefined)
  await client.put(randomBytes(size))
  await client.put(randomBytes(2 * 1024 * 1024))
  const connection = await holder.node.transport.talkTo(neighbour.node.transport.self)
  connection.nearness.isNear = false
  await client.put(randomBytes(size))
  // Before it is here for the core, which drops what nobody needs if there is no room.
  expect(holder.told).toEqual(['put, on disk', 'here', 'put', 'here', 'put', 'here'])
})

test('what a client puts is asked of nobody else, and told once, though the node is to keep it', async () => {
  const { said, serve } = overheard()
  const other = await depot({ serve })
  const holder = await depot({
    peers: [other.node],
    wants: true,
    serve: (data, talk) => data.serve(talk, undefined)
  })
  const guest = await depot({ peers: [holder.node] })
  const talk = (): Promise<Talk> => guest.node.transport.talkTo(holder.node.transport.self)
  const client = new ClientData({ door: { talk }, attached: async () => {} })
  for (const bytes of [size, 3 * 1024 * 1024]) await client.put(randomBytes(bytes))
  expect(said).toEqual([])
  expect(holder.told.filter((what) => what.startsWith('put'))).toEqual(['put, on disk', 'put'])
})

test.each([
  ['while', false],
  ['just after', true]
])(
  'what is put again, and is dropped %s it is looked at, is on the disk when its client hears so',
  async (_when, isLate) => {
    const { holder, client } = await putter(async () => undefined)
    const content = randomBytes(size)
    const id = await holder.files.add([content])
    const check = holder.files.check.bind(holder.files)
    let dropped: Promise<void> | undefined
    holder.files.check = async (which) => {
      const checking = check(which)
      if (isLate) await checking
      dropped ??= holder.files.drop(id)
      return await checking
    }
    await client.put(content)
    await dropped
    expect((await readFile(holder.files.path(id))).equals(content)).toBe(true)
    expect(holder.notes).toEqual([])
  }
)
