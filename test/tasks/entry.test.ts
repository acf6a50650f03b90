/**
 * How often an entry sends what it was given to keep, and asks for what is to be cancelled.
 *
 * Not here: which keepers are chosen, and what happens when they are lost, which are the simulator's.
 */
import { expect, test } from 'vitest'
import type { ClientMessageOf } from '../../src/client/protocol.ts'
import { type ClientId, type PeerId, type ShardKey, shardKey } from '../../src/ids.ts'
import { OUTCOME_HEADER_BYTES, pack } from '../../src/tasks/batch.ts'
import { encodeClosed, encodeCut } from '../../src/tasks/closing.ts'
import { Entry } from '../../src/tasks/entry.ts'
import { closedIndex } from '../../src/tasks/messages.ts'
import { headerOf } from './header.ts'

const keepers = ['peerA', 'peerB', 'peerC'] as PeerId[]
const client = 'client' as ClientId

function submission(bytes: number): ClientMessageOf<'submit'> {
  return {
    kind: 'submit',
    header: headerOf(),
    index: 0,
    epoch: 0,
    first: 0,
    shards: 1,
    copies: { wanted: 3, least: 1 },
    root: [],
    inputs: pack('', [0], [new Uint8Array(bytes)]),
    needs: []
  }
}

function entryOf(): Entry {
  const view = {
    self: 'peerA' as PeerId,
    isUp: () => true,
    canKeep: () => true,
    peers: () => keepers.slice(1),
    mayKnow: () => keepers,
    keepersFor: () => keepers,
    room: () => Number.POSITIVE_INFINITY
  }
  return new Entry(view, 0)
}

/** Times at which a shard that no keeper answers for is sent to each of them, within so many seconds. */
function sendings(bytes: number, seconds: number): number[] {
  const entry = entryOf()
  const times: number[] = []
  const note = (effects: ReturnType<Entry['client']>, now: number): void => {
    const stores = effects.filter((effect) => effect.kind === 'send' && effect.message.kind === 'store')
    if (stores.length === keepers.length) times.push(now / 1_000)
  }
  note(entry.client(client, submission(bytes), 0), 0)
  for (let now = 500; now <= seconds * 1_000; now += 500) note(entry.wake(now), now)
  return times
}

test('what no keeper answers for is sent again every second', () => {
  expect(sendings(1_000, 3)).toEqual([0, 1, 2, 3])
})

test('what is large is sent again when it could have arrived, and not behind itself', () => {
  expect(sendings(8 << 20, 20)).toEqual([0, 9.5, 19])
  expect(sendings(200 << 20, 61)).toEqual([0, 30, 60])
})

test('what is still being made of a job that another attempt of its task makes anew is let go, and asked for no more', () => {
  const entry = entryOf()
  const { job } = headerOf()
  const [root, own] = [shardKey(job, 0, 0), shardKey(job, 1, 0)]
  const placement = { key: root, keepers, first: 0, count: 1 }
  entry.client(client, { ...submission(8), index: 1, shards: 0, root: [placement] }, 0)
  entry.client(client, { kind: 'close', root: placement, shards: 2 }, 0)
  const stored = keepers.slice(0, 2).flatMap((peer) => entry.message(peer, { kind: 'stored', key: own }, 1))
  expect(stored.map((effect) => effect.kind === 'send' && effect.message.kind)).toEqual(['propose'])
  // A newer first shard is kept elsewhere by now: this is what is said of the older one.
  const effects = entry.message(keepers[0] as PeerId, { kind: 'forget', name: root }, 2)
  expect(effects).toEqual([
    ...keepers.map((to) => ({ kind: 'send', to, message: { kind: 'forget', name: own } })),
    { kind: 'reply', client, message: { kind: 'superseded', job } }
  ])
  expect([entry.submissions, entry.wakeAt()]).toEqual([0, undefined])
})

test('a shard that its keepers were told to forget before they had it is stored anew, under another name', () => {
  const entry = entryOf()
  const { job } = headerOf()
  const placement = { key: shardKey(job, 0, 0), keepers, first: 0, count: 1 }
  entry.client(client, { ...submission(8), index: 1, epoch: 1, shards: 2, root: [placement] }, 0)
  const name = shardKey(job, 1, 16)
  const stored = (effects: ReturnType<Entry['wake']>): ShardKey[] =>
    effects.flatMap((effect) =>
      effect.kind === 'send' && effect.message.kind === 'store' ? [effect.message.record.key] : []
    )
  // Not at once: if the next one is forgotten, too, that would go on without a pause.
  expect(stored(entry.message(keepers[0] as PeerId, { kind: 'forget', name }, 1))).toEqual([])
  expect(new Set(stored(entry.wake(2_000)))).toEqual(new Set([shardKey(job, 1, 17)]))
})

test('who waits for a shard that was forgotten for another attempt is told, although the first one is still kept', () => {
  const entry = entryOf()
  const { job } = headerOf()
  const placement = { key: shardKey(job, 2, 0), keepers, first: 3, count: 1 }
  entry.client(client, { kind: 'follow', placement, have: new Uint32Array(0) }, 0)
  const effects = entry.message(keepers[0] as PeerId, { kind: 'forget', name: placement.key }, 1)
  expect(effects).toEqual([{ kind: 'reply', client, message: { kind: 'superseded', job } }])
})

test('a first shard that a newer one has forgotten is let go', () => {
  const entry = entryOf()
  const { job } = headerOf()
  entry.client(client, submission(8), 0)
  entry.message(keepers[1] as PeerId, { kind: 'forget', name: shardKey(job, 0, 239) }, 1)
  expect([entry.submissions, entry.wakeAt()]).toEqual([0, undefined])
})

test('who was told otherwise by one of two keepers hears that its job was ended before what it still submits', () => {
  const entry = entryOf()
  const { job } = headerOf()
  const placement = { key: shardKey(job, 0, 0), keepers: keepers.slice(0, 2), first: 0, count: 1 }
  const closed = (value: Uint8Array): ReturnType<Entry['client']> => {
    const outcomes = pack('', [closedIndex], [value])
    const committed = {
      kind: 'committed',
      key: placement.key,
      outcomes,
      settled: false,
      more: false
    } as const
    return entry.message(keepers[0] as PeerId, committed, 2)
  }
  const told = (value: Uint8Array): unknown => ({
    kind: 'reply',
    client,
    message: { kind: 'results', key: placement.key, outcomes: pack('', [closedIndex], [value]) }
  })
  entry.client(client, { kind: 'follow', placement, have: new Uint32Array(0) }, 0)
  entry.client(client, { ...submission(8), index: 1, shards: 2, root: [placement] }, 0)
  const key = shardKey(job, 1, 0)
  for (const peer of keepers.slice(0, 2)) entry.message(peer, { kind: 'stored', key }, 1)
  expect(closed(encodeClosed(2))).toEqual([told(encodeClosed(2))])
  const cut = encodeCut({ committed: new Map() })
  expect(closed(cut)).toEqual([
    ...keepers.map((to) => ({ kind: 'send', to, message: { kind: 'forget', name: key } })),
    told(cut)
  ])
  expect([closed(cut), entry.submissions]).toEqual([[], 0])
})

test('an owner is asked to cancel tasks until they have ended, also when their client is gone', () => {
  const entry = entryOf()
  const key = 'abcdefgh/0/0' as ShardKey
  const placement = { key, keepers, first: 0, count: 4 }
  const asked = (effects: ReturnType<Entry['client']>): unknown[] =>
    effects.flatMap((one) => {
      if (one.kind !== 'send' || !one.message.kind.startsWith('cancel')) return []
      return [[one.to, 'indexes' in one.message ? [...(one.message.indexes as Uint32Array)] : 'all']]
    })
  const cancel = (...tasks: number[]): unknown[] =>
    asked(entry.client(client, { kind: 'cancel-tasks', placement, indexes: Uint32Array.from(tasks) }, 0))
  const ended = (now: number, ...tasks: number[]): void => {
    const outcomes = pack('', tasks, new Array(tasks.length).fill(new Uint8Array(OUTCOME_HEADER_BYTES)))
    entry.message('peerA' as PeerId, { kind: 'committed', key, outcomes, settled: false, more: false }, now)
  }
  // Nothing that is not there: a client may say what it likes.
  expect([cancel(), cancel(9)]).toEqual([[], []])
  entry.check()
  expect(cancel(1, 9)).toEqual([['peerA', [1]]])
  expect(cancel(2)).toEqual([['peerA', [1, 2]]])
  entry.clientGone(client)
  expect(asked(entry.wake(2_500))).toEqual([['peerA', [1, 2]]])
  ended(2_600, 0, 1)
  expect(asked(entry.wake(5_000))).toEqual([['peerA', [2]]])
  ended(5_100, 2)
  entry.check()
  expect(asked(entry.wake(10_000))).toEqual([])
  expect(entry.wake(12_500)).toEqual([])
  expect(asked(entry.client(client, { kind: 'cancel', placement }, 13_000))).toEqual([['peerA', 'all']])
})
