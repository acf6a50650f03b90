/**
 * Data that comes from others over real sockets: from whom, what is fetched again, and what is said when nobody has it.
 *
 * Not here: who is to hold what (test/data), files (datafiles.test.ts), and whole nodes (test/integration/data.test.ts).
 */
import { randomBytes } from 'node:crypto'
import { readFile, rm, truncate } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { ClientData } from '../../src/client/data.ts'
import { closeEnvelope } from '../../src/data/envelope.ts'
import { makeRef } from '../../src/data/ref.ts'
import type { DataId, PeerId, ShardKey } from '../../src/ids.ts'
import { type Chunks, chunkBytes, chunksOfBytes } from '../../src/node/chunks.ts'
import { give } from '../../src/node/courier.ts'
import { Keeping } from '../../src/node/keeping.ts'
import { Part } from '../../src/node/part.ts'
import { Provisions } from '../../src/node/provisions.ts'
import type { Talk } from '../../src/node/talk.ts'
import { OUTCOME_HEADER_BYTES, pack, readOutcomeHeader, STATUS, valueAt } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import type { ExecutorEvent } from '../../src/tasks/executor/executor.ts'
import { decodeFailure } from '../../src/tasks/executor/failure.ts'
import { headerOf } from '../tasks/header.ts'
import { depot, type Serve } from './depot.ts'
import { flip } from './flip.ts'
import { connect, stopAll, type TestNode } from './helpers.ts'

afterEach(stopAll)

/** Sends so many chunks, and then `breaks`. */
function upTo(count: number, breaks: (node: TestNode) => Promise<never>): Serve {
  return async (data, talk, node) => {
    const word = await talk.word(5_000)
    const all = (word.kind === 'ask' && (await data.files.chunks(word.id as DataId, false))) as Chunks
    const { place: _, ...chunks } = all
    const read = (index: number): Promise<Uint8Array> => (index < count ? chunks.read(index) : breaks(node))
    await give(talk, { ...chunks, read }).catch(() => talk.abort('broken'))
    await chunks.close()
  }
}

const bytes = randomBytes(9 * chunkBytes + 5)

test('a transfer whose sender is lost goes on with the next one, who sends the rest only', async () => {
  const arrived = Promise.withResolvers<unknown>()
  const dies = upTo(4, async (node) => {
    await arrived.promise
    await node.transport.stop()
    throw new Error('gone')
  })
  const [first, second] = [await depot({ serve: dies }), await depot()]
  const id = await first.files.add([bytes])
  await second.files.add([bytes])
  const reader = await depot({ peers: [first.node, second.node] })
  const passed = await reader.data.chunks(id)
  arrived.resolve(passed.read(3))
  await reader.data.fetch(id)
  await passed.close()
  expect((await readFile(reader.files.path(id))).equals(bytes)).toBe(true)
  expect(reader.moved('in')).toBe(bytes.length)
  expect(second.moved('out')).toBe(bytes.length - 4 * chunkBytes)
})

test('what had come when all senders were lost is not fetched again when one is back', async () => {
  let isBack = false
  const breaks: Serve = (data, talk, node, from) =>
    isBack
      ? data.serve(talk, from)
      : upTo(7, () => Promise.reject(new Error('the disk is gone')))(data, talk, node, from)
  const holder = await depot({ serve: breaks })
  const id = await holder.files.add([bytes])
  const reader = await depot({ peers: [holder.node] })
  await expect(reader.data.fetch(id, 0)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  isBack = true
  await reader.data.fetch(id)
  expect((await readFile(reader.files.path(id))).equals(bytes)).toBe(true)
  expect(reader.moved('in')).toBe(bytes.length)
})

const harms: Record<string, (path: string) => Promise<void>> = {
  'a flipped byte': (path) => flip(path, 3 * chunkBytes + 7),
  'a flipped byte in its list': (path) => flip(`${path}.list`, 40),
  'an end that is cut off': (path) => truncate(path, 5 * chunkBytes),
  'no file any more': (path) => rm(path)
}

test.each(Object.entries(harms))(
  'who reads by a node whose copy has %s gets what was put, and it is told',
  async (_what, harm) => {
    const other = await depot()
    const id = await other.files.add([bytes])
    for (const door of ['its own', 'a client', 'a node'] as const) {
      const serve: Serve = (data, talk, _node, from) => data.serve(talk, door === 'a node' ? from : undefined)
      const holder = await depot({ peers: [other.node], serve })
      await holder.files.add([bytes])
      await harm(holder.files.path(id))
      const reader = await depot({ peers: [holder.node, other.node] })
      if (door === 'a node') {
        await reader.data.fetch(id)
        expect((await readFile(reader.files.path(id))).equals(bytes)).toBe(true)
      } else {
        const talk = (): Promise<Talk> => reader.node.transport.talkTo(holder.node.transport.self)
        const way = door === 'its own' ? { own: holder.data } : { talk }
        const client = new ClientData({ door: way, attached: async () => {} })
        expect(Buffer.compare(await client.bytes(id), bytes)).toBe(0)
      }
      expect(await holder.noted).toContain(`data ${id} was damaged on this disk`)
    }
  }
)

test('what is put again replaces a copy that was damaged, by whomever it is put', async () => {
  const { node, data, files } = await depot({ serve: (data, talk) => data.serve(talk, undefined) })
  const guest = await depot({ peers: [node] })
  const talk = (): Promise<Talk> => guest.node.transport.talkTo(node.transport.self)
  const id = await files.add([bytes])
  for (const door of [{ own: data }, { talk }]) {
    const client = new ClientData({ door, attached: async () => {} })
    for (const harm of Object.values(harms).filter((_, at) => at !== 1)) {
      await harm(files.path(id))
      await client.put(bytes)
      expect((await readFile(files.path(id))).equals(bytes)).toBe(true)
    }
  }
})

/** Who puts things at a depot over a socket. */
async function putter({ isFull = false } = {}) {
  const { node, files } = await depot({ serve: (data, talk) => data.serve(talk, undefined), isFull })
  const guest = await depot({ peers: [node] })
  const talk = (): Promise<Talk> => guest.node.transport.talkTo(node.transport.self)
  const client = new ClientData({ door: { talk }, attached: async () => {} })
  return { node, files, talk, client, moved: guest.moved }
}

test('a client gets one piece after the other by one stream, and tells that it has each, also a small one', async () => {
  const said: string[] = []
  const streams: Promise<void>[] = []
  const holder = await depot({
    serve: async (data, talk) => {
      const word = talk.word.bind(talk)
      talk.word = async (patience) => {
        const next = await word(patience)
        said.push(next.kind)
        return next
      }
      streams.push(data.serve(talk, undefined))
    }
  })
  const small = await holder.files.add([bytes.subarray(0, 100_000)])
  const large = await holder.files.add([bytes.subarray(0, 2 * chunkBytes)])
  const { node } = await depot({ peers: [holder.node] })
  const talk = (): Promise<Talk> => node.transport.talkTo(holder.node.transport.self)
  const client = new ClientData({ door: { talk }, attached: async () => {} })
  for (const id of [small, large, small]) {
    const size = Number(id.split('.')[1])
    for (let times = 0; times < 2; times++)
      expect(bytes.subarray(0, size).equals(await client.get(makeRef(id)))).toBe(true)
  }
  expect(streams.length).toBe(1)
  await (await talk()).close()
  await Promise.all(streams)
  expect(said.filter((kind) => kind !== 'want')).toEqual(
    Array.from({ length: 6 }, () => ['ask', 'kept']).flat()
  )
})

test('what is put where no node has room is refused before it came, and what to do is said', async () => {
  const { client, files, moved } = await putter({ isFull: true })
  const advice = expect.stringContaining('raise `quota.data`')
  await expect(client.put(bytes)).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS', message: advice })
  expect(moved('out')).toBeLessThan(bytes.length)
  expect(files.ids()).toEqual([])
})

test('what is put where the disk is full is refused, and it is said why', async () => {
  const { client } = await putter()
  const write = vi.spyOn(Part.prototype, 'write').mockRejectedValue(new Error('ENOSPC: no space left'))
  try {
    const refused = { code: 'SHOAL_DISK', message: expect.stringContaining('ENOSPC') }
    await expect(client.put(bytes)).rejects.toMatchObject(refused)
  } finally {
    write.mockRestore()
  }
})

test('that the disk is full is noted once, and not whenever the core wants it again', async () => {
  const holder = await depot()
  const id = await holder.files.add([bytes])
  const reader = await depot({ peers: [holder.node] })
  const write = vi.spyOn(Part.prototype, 'write').mockRejectedValue(new Error('ENOSPC: no space left'))
  try {
    for (let times = 1; times <= 3; times++) {
      reader.data.perform({ kind: 'fetch-data', id, at: [] })
      while (reader.failures() < times) await sleep(10)
    }
  } finally {
    write.mockRestore()
  }
  expect(reader.notes).toEqual([expect.stringContaining('ENOSPC')])
})

test('of those who wait for what another client puts, one goes on when that is lost', async () => {
  const { client, talk, files, moved } = await putter()
  const lost = await talk()
  const chunks = chunksOfBytes(bytes)
  lost.say({ kind: 'offer', id: chunks.id, copies: 0, pinMs: 0, isForJob: false, path: '', offset: 0 })
  const begun = Promise.withResolvers<void>()
  const read = async (index: number): Promise<Uint8Array> => {
    if (index < 3) return await chunks.read(index)
    begun.resolve()
    return await new Promise(() => {})
  }
  give(lost, { ...chunks, read }).catch(() => {})
  await begun.promise
  const puts = Array.from({ length: 8 }, () => client.put(bytes))
  await sleep(200)
  lost.abort('its client was killed')
  expect(new Set((await Promise.all(puts)).map(({ hash }) => hash)).size).toBe(1)
  expect((await readFile(files.path(chunks.id))).equals(bytes)).toBe(true)
  // Not once for each.
  expect(moved('out')).toBeLessThan(bytes.length + 4 * chunkBytes)
})

test('who is told of what is only coming gets it, however long its file takes to be made', async () => {
  const asked = Promise.withResolvers<void>()
  const entry = await depot({
    serve: async (data, talk, _node, from) => {
      const word = talk.word.bind(talk)
      talk.word = async (patienceMs) => {
        const heard = await word(patienceMs)
        if (heard.kind === 'ask') setImmediate(asked.resolve)
        return heard
      }
      await data.serve(talk, from === guest.node.transport.self ? undefined : from)
    }
  })
  const guest = await depot({ peers: [entry.node] })
  const reader = await depot({ peers: [entry.node] })
  const begin = entry.files.begin.bind(entry.files)
  const begins = Promise.withResolvers<void>()
  entry.files.begin = async (id, list) => {
    begins.resolve()
    await asked.promise
    return await begin(id, list)
  }
  const talk = (): Promise<Talk> => guest.node.transport.talkTo(entry.node.transport.self)
  const put = new ClientData({ door: { talk }, attached: async () => {} }).put(bytes)
  await begins.promise
  await reader.data.fetch(chunksOfBytes(bytes).id, 0)
  expect(reader.moved('in')).toBe(bytes.length)
  await put
})

test('of many nodes that want the same at once, most get it from each other', async () => {
  const holder = await depot()
  const id = await holder.files.add([bytes])
  const readers = []
  for (let at = 0; at < 7; at++) {
    const peers = [holder.node, ...readers.map(({ node }) => node)]
    const reader = await depot({ peers: peers.slice(0, 1) })
    for (const peer of peers.slice(1)) await connect(reader.node, peer)
    readers.push(reader)
  }
  await Promise.all(readers.map(({ data }) => data.fetch(id)))
  expect(readers.map(({ moved }) => moved('in'))).toEqual(readers.map(() => bytes.length))
  expect(holder.moved('out')).toBeLessThanOrEqual(5 * bytes.length)
})

test('who puts data waits for other nodes as long as they take it, and not for ever', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const keeping = new Keeping()
    const id = `${'a'.repeat(43)}.5000000` as DataId
    const unasked: number[] = []
    const wait = (): Promise<number> =>
      keeping.until(
        id,
        () => {},
        (ask) => void unasked.push(ask)
      )
    const [slow, nobody] = [wait(), wait()]
    const ends = expect(nobody).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS' })
    for (let minute = 0; minute < 20; minute++) {
      await vi.advanceTimersByTimeAsync(60_000)
      keeping.moved(id)
    }
    keeping.kept(1, 2)
    expect(await slow).toBe(2)
    await vi.advanceTimersByTimeAsync(64_999)
    expect(unasked).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(unasked).toEqual([2])
    await ends
    // Chunks that are sent again and again, as to a full disk, are no progress.
    const lost = expect(wait()).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS' })
    for (let minute = 0; minute < 300; minute++) {
      await vi.advanceTimersByTimeAsync(60_000)
      keeping.moved(id)
    }
    expect(unasked).toEqual([2, 3])
    await lost
  } finally {
    vi.useRealTimers()
  }
})

test('a task whose data is held by nobody fails as TASK_DATA_LOST, which names the data and who was asked', async () => {
  const other = await depot()
  const reader = await depot({ peers: [other.node] })
  const lost = await (await depot()).files.add([bytes])
  const events: ExecutorEvent[] = []
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const provisions = new Provisions({
    supply: { isHere: () => true } as unknown as ConstructorParameters<typeof Provisions>[0]['supply'],
    data: { files: reader.files, put: () => Promise.reject(), fetch: (id) => reader.data.fetch(id, 0) },
    executor: undefined,
    onEvent: (event) => {
      events.push(event)
      resolve()
    }
  })
  const inputs = pack('', [3], [closeEnvelope({ kind: 'naming', ids: [lost], inner: Uint8Array.of(0) })])
  const place = {
    run: 1,
    slot: 0,
    key: 'abcdefgh/0/0' as ShardKey,
    keepers: [] as PeerId[],
    seat: 0,
    first: 0
  }
  provisions.run({ kind: 'run', ...place, header: headerOf(), attempt: 2, inputs } as Run)
  await over
  expect(events).toMatchObject([{ kind: 'ended', run: 1, done: true }])
  const [{ outcomes }] = events as [Extract<ExecutorEvent, { kind: 'ended' }>]
  const outcome = valueAt(outcomes, 0)
  expect([...outcomes.indexes]).toEqual([3])
  expect(readOutcomeHeader(outcome)).toMatchObject({ status: STATUS.error, attempt: 2 })
  const failure = decodeFailure(outcome.subarray(OUTCOME_HEADER_BYTES))
  expect(failure.code).toBe('TASK_DATA_LOST')
  expect(failure.message).toContain(lost)
  expect(failure.message).toContain(other.node.transport.self)
})

test('of what nobody has nothing is remembered once nobody asks any more', async () => {
  const { data } = await depot()
  const ids = Array.from(
    { length: 50 },
    (_, i) => `${'A'.repeat(40)}${String(i).padStart(3, '0')}.5` as DataId
  )
  const codes = ids.map((id) => data.chunks(id, () => true).catch(({ code }: { code: string }) => code))
  expect(new Set(await Promise.all(codes))).toEqual(new Set(['SHOAL_NOT_FOUND']))
  expect(data.awaited).toBe(0)
})
