/**
 * Code on the disk of a node: that it stays as long as anybody needs it, and not much longer.
 *
 * Not here: how it comes (test/node/blobs.test.ts, exchange), and how engines load it (test/tasks/executor).
 */
import { existsSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ClientMessage, EntryMessage } from '../../src/client/protocol.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionEffect } from '../../src/client/shards.ts'
import type { ClientId, Digest, JobId, PeerId } from '../../src/ids.ts'
import { type ShardKey, shardKey } from '../../src/ids.ts'
import { type Blobs, digestOf, openBlobs } from '../../src/node/blobs.ts'
import { CodeDoor } from '../../src/node/code-door.ts'
import { Provisions } from '../../src/node/provisions.ts'
import { Supply } from '../../src/node/supply.ts'
import { openTemporary, type Temporary } from '../../src/node/temporary.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { headerOf } from '../tasks/header.ts'
import { recordOf } from '../tasks/record.ts'

const day = 86_400_000
let temporary: Temporary
let blobs: Blobs
beforeEach(async () => {
  temporary = await openTemporary()
  blobs = await openBlobs(temporary.folder)
})
afterEach(async () => {
  vi.useRealTimers()
  await blobs.close()
  await temporary.close()
})

const supplyOf = (): Supply =>
  new Supply({
    blobs,
    fetch: () => Promise.reject(new Error('nobody has it')),
    onNote: (text) => expect.unreachable(text),
    onDiskFailed: (text) => expect.unreachable(text)
  })
const bytesOf = (text: string): Buffer => Buffer.from(`export default ${JSON.stringify(text)}`)
const codeOf = (text: string): Digest => digestOf(bytesOf(text))
const files = async (): Promise<string[]> => (await readdir(join(temporary.folder, 'blobs'))).sort()
const filesOf = (...texts: string[]): string[] => texts.map((text) => `${codeOf(text)}.mjs`).sort()

test('code that nobody needs goes: what was there at the start first, the rest a day after it was asked for', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  for (const text of ['found', 'needed', 'asked for']) await blobs.put(bytesOf(text))
  const supply = supplyOf()
  await supply.take(bytesOf('new'), codeOf('new'))
  expect(supply.has(codeOf('asked for'))).toBe(true)
  await supply.letGo((code) => code === codeOf('needed'))
  expect(await files()).toEqual(filesOf('needed', 'asked for', 'new'))
  vi.advanceTimersByTime(day - 1)
  expect(supply.isHere(codeOf('new'))).toBe(true)
  vi.advanceTimersByTime(1)
  await supply.letGo(() => false)
  expect(await files()).toEqual(filesOf('new'))
  expect([supply.has(codeOf('needed')), supply.isHere(codeOf('asked for'))]).toEqual([false, false])
})

test('code that comes again while it goes stays', async () => {
  const supply = supplyOf()
  for (let round = 0; round < 50; round++) {
    await blobs.put(bytesOf('again'))
    const going = supply.letGo(() => false)
    await supply.take(bytesOf('again'), codeOf('again'))
    await going
    expect(await blobs.read(codeOf('again'))).toEqual(bytesOf('again'))
    await blobs.remove(codeOf('again'))
  }
})

test('code that is lent, as the disk is full, is written once, and goes as well', async () => {
  const code = await blobs.lend(bytesOf('lent'))
  const path = blobs.path(code)
  const { mtimeNs } = await stat(path, { bigint: true })
  await blobs.lend(bytesOf('lent'))
  expect((await stat(path, { bigint: true })).mtimeNs).toBe(mtimeNs)
  const supply = supplyOf()
  await supply.letGo((digest) => digest === code)
  expect(await blobs.read(code)).toEqual(bytesOf('lent'))
  await supply.letGo(() => false)
  expect([supply.isHere(code), existsSync(path)]).toEqual([false, false])
})

test('a node that stops removes nothing more: who opens its folder next has what it found there', async () => {
  for (const text of ['one', 'two', 'three']) await blobs.put(bytesOf(text))
  const supply = supplyOf()
  const going = supply.letGo(() => false)
  supply.close()
  await blobs.close()
  const next = await openBlobs(temporary.folder)
  await going
  const found = await Promise.all(next.all().map((digest) => next.read(digest)))
  expect(found.map((bytes) => bytes && digestOf(bytes))).toEqual(next.all())
  expect(found.length).toBe(2)
})

test('code that is being written does not go before it is there', async () => {
  const code = codeOf('by hand')
  for (let round = 0; round < 20; round++) {
    await rm(blobs.path(await blobs.put(bytesOf('by hand'))))
    // Somebody had found it there before it was removed by hand, and is to remove it only now.
    expect(await blobs.read(code)).toBeUndefined()
    let isThere = false
    const taken = supplyOf()
      .take(bytesOf('by hand'), code)
      .then(() => {
        isThere = true
      })
    while (!isThere) {
      void blobs.remove(code)
      await new Promise(setImmediate)
    }
    await taken
    expect([blobs.has(code), await blobs.read(code)]).toEqual([true, bytesOf('by hand')])
  }
})

test('what a client gave stays as long as it does, as far as it may count on it', async () => {
  const passed: unknown[] = []
  const door = new CodeDoor({
    supply: { take: async () => {}, isHere: () => true },
    pass: (_client, messages) => passed.push(...messages),
    reply: (_client, message) => passed.push(message)
  })
  const [one, other] = ['one#1', 'other#1'] as [ClientId, ClientId]
  const give = (client: ClientId, text: string): void =>
    door.said(client, [{ kind: 'code', digest: codeOf(text), bytes: bytesOf(text) }])
  for (const client of [one, other]) give(client, 'both')
  door.left(one)
  expect(door.needs(codeOf('both'))).toBe(true)
  door.left(other)
  expect(door.needs(codeOf('both'))).toBe(false)
  // A client gives again what it does not remember to have given.
  const client = 'many#1' as ClientId
  for (let at = 0; at < 2_049; at++) {
    give(client, `${at}`)
    await Promise.resolve()
  }
  expect([0, 1, 2_048].map((at) => door.needs(codeOf(`${at}`)))).toEqual([false, true, true])
})

test('a feed that rests for a day while its client calls thousands of other functions goes on', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const [session, client] = [new Session(), 'feeds#1' as ClientId]
  const said: ClientMessage[] = []
  const replies: EntryMessage[] = []
  // No disk: 2,000 codes would take it a while.
  const files = new Set<Digest>()
  const supply = new Supply({
    blobs: {
      has: (digest: Digest) => files.has(digest),
      isHere: (digest: Digest) => files.has(digest),
      all: () => [...files],
      put: async (_bytes: Uint8Array, digest: Digest) => files.add(digest),
      remove: async (digest: Digest) => files.delete(digest)
    } as unknown as Blobs,
    fetch: () => Promise.reject(new Error('nobody has it')),
    onNote: (text) => expect.unreachable(text),
    onDiskFailed: (text) => expect.unreachable(text)
  })
  const door = new CodeDoor({
    supply,
    pass: (_client, messages) => said.push(...messages),
    reply: (_client, message) => replies.push(message)
  })
  const say = async (effects: readonly SessionEffect[]): Promise<void> => {
    door.said(
      client,
      effects.flatMap((effect) => (effect.kind === 'send' ? [effect.message] : []))
    )
    await new Promise(setImmediate)
  }
  const begin = (job: JobId): SessionEffect[] =>
    session.begin(headerOf({ job, code: codeOf(job) }), { wanted: 1, least: 1 }, bytesOf(job))
  const shard = pack('', [0], [new Uint8Array(1)])
  const feed = 'feed'.padEnd(16, '_') as JobId
  await say([...session.attached(0), ...begin(feed), ...session.add(feed, shard, false)])
  const key = shardKey(feed, 0, 0)
  const placement = { key, keepers: ['elsewhere' as PeerId], first: 0, count: 1 }
  await say(session.message({ kind: 'submitted', job: feed, index: 0, placement, copies: 1 }, 0))
  for (let at = 0; at < 2_100; at++) {
    const other = `other-${at}`.padEnd(16, '_') as JobId
    await say(begin(other))
    session.forget(other)
  }
  vi.advanceTimersByTime(day)
  await supply.letGo((code) => door.needs(code))
  said.length = 0
  await say(session.add(feed, shard, false))
  expect(replies).toEqual([])
  expect(said).toMatchObject([{ kind: 'submit', index: 1 }])
})

test('a node with 2,000 clients looks through all that they gave in less than a blink', async () => {
  const door = new CodeDoor({
    supply: { take: async () => {}, isHere: () => true },
    pass: () => {},
    reply: () => {}
  })
  const bytes = new Uint8Array(1)
  const codes = Array.from({ length: 100_000 }, (_, at) => `${at}`.padStart(43, '_') as Digest)
  for (const [at, digest] of codes.entries())
    door.said(`client#${at % 2_000}` as ClientId, [{ kind: 'code', digest, bytes }])
  // A client's next code waits for the one before.
  await new Promise(setImmediate)
  const from = process.cpuUsage()
  expect(codes.filter((code) => !door.needs(code))).toEqual([])
  expect(process.cpuUsage(from).user / 1_000).toBeLessThan(500)
})

test('the code of a run stays until the run is over', () => {
  const code = codeOf('runs')
  const events: unknown[] = []
  const provisions = new Provisions({
    supply: { isHere: () => true } as unknown as Supply,
    data: {} as never,
    executor: { run: () => {} } as never,
    onEvent: (event) => events.push(event)
  })
  const inputs = pack('', [0], [new Uint8Array(1)])
  for (const run of [1, 2])
    provisions.run({ run, header: headerOf({ code }), inputs, keepers: [] } as unknown as Run)
  provisions.heard({ kind: 'ended', run: 1, slot: 0, outcomes: pack('', [], []), done: true })
  expect(provisions.needs(code)).toBe(true)
  provisions.heard({ kind: 'recalled', run: 2, indexes: Uint32Array.of(0), done: true })
  expect(provisions.needs(code)).toBe(false)
  expect(events.length).toBe(2)
})

test.each([
  ['as it is', undefined],
  ['packed', 0]
])(
  'a keeper needs the code of its shards until the last of them goes, also of one that is settled, %s',
  (_how, openMax) => {
    const self = 'self' as PeerId
    const keeper = new Keeper(self, undefined, openMax)
    const jobs = ['job-one_', 'job-two_', 'job-three'].map((name) => name.padEnd(16, '_') as JobId) as [
      JobId,
      JobId,
      JobId
    ]
    const keyOf = (job: JobId): ShardKey => shardKey(job, 0, 0)
    const [both, own, newer] = ['both', 'own', 'newer'].map(codeOf) as [Digest, Digest, Digest]
    for (const [at, code] of [both, both, own].entries()) {
      const [job, key] = [jobs[at] as JobId, keyOf(jobs[at] as JobId)]
      const record = recordOf(self, 1, { key, header: headerOf({ job, code }) })
      keeper.step(self, { kind: 'store', record, isRepair: false })
      const head = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 0, startedAt: 0 }
      const outcomes = pack(self, [0], [encodeOutcome(head, Uint8Array.of(1))])
      keeper.step(self, { kind: 'accept', key, list: 0, ballot: 0, serial: 1, outcomes })
      if (at !== 2) keeper.step(self, { kind: 'settle', key, list: 0, ballot: 0, by: 0 })
    }
    const needs = (): boolean[] => [both, own, newer].map((code) => keeper.needs(code))
    expect(needs()).toEqual([true, true, false])
    keeper.step(self, { kind: 'forget', name: jobs[0] })
    expect(needs()).toEqual([true, true, false])
    keeper.step(self, { kind: 'forget', name: jobs[1] })
    expect(needs()).toEqual([false, true, false])
    const record = recordOf(self, 1, {
      key: keyOf(jobs[2]),
      list: 1,
      header: headerOf({ job: jobs[2], code: newer })
    })
    keeper.step(self, { kind: 'store', record, isRepair: false })
    expect(needs()).toEqual([false, false, true])
    keeper.check()
    keeper.step(self, { kind: 'forget', name: jobs[2] })
    expect(needs()).toEqual([false, false, false])
    keeper.check()
  }
)
