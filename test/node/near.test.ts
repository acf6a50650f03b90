/**
 * Two on one machine: chunks are read where they lie, and sent after all if they are not what was said, or not there.
 *
 * Not here: transfers as such (data.test.ts), and whole meshes (test/integration/data.test.ts).
 */
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, readlink, stat, truncate, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { type Chunks, chunkBytes, chunksIn, chunksOfBytes, chunksOfFile } from '../../src/node/chunks.ts'
import { askFor, give, take } from '../../src/node/courier.ts'
import { createKey } from '../../src/node/key.ts'
import { isOwnAddress, type Place } from '../../src/node/near.ts'
import { Spool } from '../../src/node/spool.ts'
import type { Talk } from '../../src/node/talk.ts'
import { openTemporary } from '../../src/node/temporary.ts'
import { connect, ended, startNode, stopAll } from './helpers.ts'

afterEach(stopAll)

const key = createKey()
const bytes = randomBytes(6 * chunkBytes + 5)

async function folderOf(): Promise<string> {
  const { folder, close } = await openTemporary()
  ended({ stop: close })
  return folder
}

/** Two nodes, one of which sends these chunks as often as the other asks. One of an earlier version sends its list first. */
async function pair(chunks: Chunks, { isEarlier = false } = {}) {
  const holder = await startNode(key, {
    serveData: async (talk) => {
      const ask = await talk.word(5_000)
      await give(talk, chunks, ask.kind === 'ask' && !isEarlier ? { ask } : {})
      await talk.close()
    }
  })
  const reader = await startNode(key, {})
  await connect(reader, holder)
  const counted = (name: string): number => reader.transport.counters()[name] ?? 0
  const open = (): Promise<Talk> => reader.transport.talkTo(holder.transport.self)
  const read = async (): Promise<Buffer> => {
    const talk = await open()
    const list = await askFor(talk, chunks.id)
    const indexes = Array.from({ length: chunksIn(chunks.id) }, (_, index) => index)
    const pieces: Buffer[] = []
    for await (const { index, bytes } of take(talk, chunks.id, list, indexes)) {
      expect(index).toBe(pieces.length)
      pieces.push(Buffer.from(bytes))
    }
    talk.say({ kind: 'kept', copies: 1 })
    await talk.close()
    return Buffer.concat(pieces)
  }
  return { open, read, counted }
}

test('what lies in a file of the same machine is not sent through the network, and counts as moved all the same', async () => {
  const path = join(await folderOf(), 'file')
  await writeFile(path, bytes)
  const chunks = await chunksOfFile(path)
  const { read, counted } = await pair(chunks)
  expect((await read()).equals(bytes)).toBe(true)
  expect(counted('bytes-in')).toBeLessThan(20_000)
  expect(counted('data-bytes-in')).toBe(bytes.length)
  await chunks.close()
})

test.each([
  ['by a path', { isNear: true, isEarlier: false }, ['ask', 'kept']],
  ['as it is', { isNear: false, isEarlier: false }, ['ask', 'kept']],
  ['by a path, by an earlier version', { isNear: true, isEarlier: true }, ['ask', 'want', 'kept']],
  ['as it is, by an earlier version', { isNear: false, isEarlier: true }, ['ask', 'want', 'kept']]
])('what is one chunk comes at the first word, %s', async (_how, { isNear, isEarlier }, words) => {
  const path = join(await folderOf(), 'file')
  const small = bytes.subarray(0, 100_000)
  await writeFile(path, small)
  const chunks = { ...chunksOfBytes(small), place: async (): Promise<Place> => ({ path, offset: 0 }) }
  const { open, counted } = await pair(chunks, { isEarlier })
  const talk = await open()
  talk.nearness.isNear = isNear
  const said: string[] = []
  const say = talk.say.bind(talk)
  talk.say = (word) => {
    said.push(word.kind)
    say(word)
  }
  const pieces = await Array.fromAsync(take(talk, chunks.id, await askFor(talk, chunks.id), [0]))
  talk.say({ kind: 'kept', copies: 1 })
  expect(pieces.map((piece) => Buffer.from(piece.bytes).equals(small))).toEqual([true])
  expect(said).toEqual(words)
  expect(counted('bytes-in') > 100_000).toBe(!isNear)
  await talk.close()
})

const places: Record<string, (path: string) => Promise<void>> = {
  'is not there': async () => {},
  'has other bytes': (path) => writeFile(path, randomBytes(bytes.length)),
  'is too short': async (path) => {
    await writeFile(path, bytes)
    await truncate(path, 2 * chunkBytes + 7)
  },
  'is a folder': async (path) => void (await mkdir(path)),
  'is a pipe that nobody writes to': async (path) => void execFileSync('mkfifo', [path])
}

test.each(Object.entries(places))('what is said to lie in a file that %s is sent', async (_what, make) => {
  const path = join(await folderOf(), 'place')
  await make(path)
  const place = async (index: number): Promise<Place> => ({ path, offset: index * chunkBytes })
  const { read, counted } = await pair({ ...chunksOfBytes(bytes), place })
  expect((await read()).equals(bytes)).toBe(true)
  expect(counted('bytes-in')).toBeGreaterThan(3 * chunkBytes)
  expect(counted('data-chunks-damaged')).toBe(0)
})

test('a place that moves while it is looked for is asked for once more', async () => {
  const folder = await folderOf()
  await writeFile(join(folder, 'new'), bytes)
  const asked: number[] = []
  const place = async (index: number): Promise<Place> => {
    const isLate = asked.includes(index)
    asked.push(index)
    return { path: join(folder, index === 3 && !isLate ? 'old' : 'new'), offset: index * chunkBytes }
  }
  const { read, counted } = await pair({ ...chunksOfBytes(bytes), place })
  expect((await read()).equals(bytes)).toBe(true)
  expect(counted('bytes-in')).toBeLessThan(20_000)
})

test('who cannot read the files of the other end stops asking for them', async () => {
  let places = 0
  const place = async (): Promise<Place> => {
    places++
    return { path: '/nowhere/at/all', offset: 0 }
  }
  const { read } = await pair({ ...chunksOfBytes(bytes.subarray(0, 100_000)), place })
  for (let at = 0; at < 10; at++) expect((await read()).byteLength).toBe(100_000)
  // Twice for each of eight.
  expect(places).toBe(16)
})

test('that many files were renamed at the same moment is no reason to stop', async () => {
  const path = join(await folderOf(), 'new')
  await writeFile(path, bytes.subarray(0, 100_000))
  let places = 0
  const place = async (): Promise<Place> => ({ path: ++places > 12 ? path : `${path}.part`, offset: 0 })
  const { read, counted } = await pair({ ...chunksOfBytes(bytes.subarray(0, 100_000)), place })
  await Promise.all(Array.from({ length: 12 }, read))
  await read()
  expect(counted('bytes-in')).toBeLessThan(90_000)
})

test('a place is only looked at by who asked for it: another one ends the transfer', async () => {
  const { id, list } = chunksOfBytes(bytes.subarray(0, 20_000))
  let answers = 0
  const holder = await startNode(key, {
    serveData: async (talk) => {
      await talk.word(5_000)
      talk.say({ kind: 'list', hashes: list })
      for (; answers < 100; answers++) {
        const word = await talk.word(5_000).catch(() => undefined)
        if (word?.kind !== 'want') return
        expect(word.near).toBe(0)
        talk.say({ kind: 'place', index: word.index, path: '/nowhere/at/all', offset: 0 })
      }
    }
  })
  const reader = await startNode(key, {})
  await connect(reader, holder)
  const talk = await reader.transport.talkTo(holder.transport.self)
  await askFor(talk, id)
  await expect(Array.fromAsync(take(talk, id, { list }, [0]))).rejects.toThrow('it sent something else')
  talk.abort('that was all')
  expect(answers).toBe(1)
})

const leaver = `
const { Spool } = await import(${JSON.stringify(new URL('../../src/node/spool.ts', import.meta.url).href)})
console.log((await new Spool(process.argv[1]).place(new Uint8Array(100_000))).path)
setInterval(() => {}, 1000)`

test('what a client left that was killed goes when the next one hands something over', async () => {
  const base = await folderOf()
  const child = spawn(process.execPath, ['--input-type=module', '-e', leaver, base], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  ended({ stop: () => child.kill('SIGKILL') })
  const [line] = await once(child.stdout, 'data')
  const left = String(line).trim()
  expect((await stat(left)).size).toBe(100_000)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const spool = new Spool(base)
  ended({ stop: () => spool.close() })
  await spool.place(new Uint8Array(1))
  const isThere = (): Promise<boolean> =>
    stat(left).then(
      () => true,
      () => false
    )
  while (await isThere()) await sleep(20)
})

/** As often as this process has it open. */
async function openings(path: string): Promise<number> {
  const fds = await readdir('/proc/self/fd')
  const opened = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return opened.filter((one) => one === path).length
}

test.runIf(process.platform === 'linux')(
  'who reads no further has the file open for as long as the transfer at most',
  async () => {
    const path = join(await folderOf(), 'file')
    await writeFile(path, bytes)
    const place = async (index: number): Promise<Place> => ({ path, offset: index * chunkBytes })
    const chunks = { ...chunksOfBytes(bytes), place }
    const { open } = await pair(chunks)
    const talk = await open()
    const pieces = take(talk, chunks.id, await askFor(talk, chunks.id), [0, 1, 2, 3])
    await pieces.next()
    expect(await openings(path)).toBe(1)
    talk.abort('nobody reads it any more')
    while ((await openings(path)) > 0) await sleep(20)
  }
)

test('a client hands over what is in memory by places of one file, which are used again', async () => {
  const spool = new Spool()
  const content = (n: number): Buffer => Buffer.alloc(chunkBytes - n, n)
  const first = await Promise.all(Array.from({ length: 40 }, (_, n) => spool.place(content(n))))
  const taken = first.filter((place) => place !== undefined)
  expect(taken.length).toBe(32)
  expect(new Set(taken.map(({ path }) => path)).size).toBe(1)
  const [{ path }] = taken as [Place]
  const there = await readFile(path)
  for (const [n, { offset }] of taken.entries())
    expect(there.subarray(offset, offset + chunkBytes - n).equals(content(n))).toBe(true)
  taken[5]?.free?.()
  expect(await spool.place(content(50))).toMatchObject({ path, offset: taken[5]?.offset })
  expect(await spool.place(content(51))).toBeUndefined()
  await spool.close()
  await expect(stat(dirname(path))).rejects.toMatchObject({ code: 'ENOENT' })
  expect(await spool.place(content(1))).toBeUndefined()
})

test('this machine is known by its addresses', () => {
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  const addresses = own.map(
    ({ family, address }) => `/${family === 'IPv4' ? 'ip4' : 'ip6'}/${address}/tcp/4001`
  )
  for (const address of [...addresses, '/ip4/127.0.0.1/tcp/1', '/ip4/127.8.0.1/tcp/1', '/ip6/::1/tcp/1'])
    expect(isOwnAddress(address), address).toBe(true)
  for (const address of ['/ip4/203.0.113.9/tcp/1', '/dns4/localhost/tcp/1', '/unix/127.0.0.1', ''])
    expect(isOwnAddress(address), address).toBe(false)
})
