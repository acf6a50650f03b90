/**
 * How often an entry sends what it was given to keep.
 *
 * Not here: which keepers are chosen, and what happens when they are lost, which are the simulator's.
 */
import { expect, test } from 'vitest'
import type { ClientMessageOf } from '../../src/client/protocol.ts'
import { type ClientId, type PeerId, shardKey } from '../../src/ids.ts'
import { pack } from '../../src/tasks/batch.ts'
import { Entry } from '../../src/tasks/entry.ts'
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
    keepersFor: () => keepers
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

test('a first shard that a newer one has forgotten is let go', () => {
  const entry = entryOf()
  const { job } = headerOf()
  entry.client(client, submission(8), 0)
  entry.message(keepers[1] as PeerId, { kind: 'forget', name: shardKey(job, 0, 239) }, 1)
  expect([entry.submissions, entry.wakeAt()]).toEqual([0, undefined])
})
