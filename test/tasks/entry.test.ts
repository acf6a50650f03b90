/**
 * How often an entry sends what it was given to keep.
 *
 * Not here: which keepers are chosen, and what happens when they are lost, which are the simulator's.
 */
import { expect, test } from 'vitest'
import type { ClientMessageOf } from '../../src/client/protocol.ts'
import type { ClientId, PeerId } from '../../src/ids.ts'
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

/** Times at which a shard that no keeper answers for is sent to each of them, within so many seconds. */
function sendings(bytes: number, seconds: number): number[] {
  const entry = new Entry({
    self: 'peerA' as PeerId,
    isUp: () => true,
    canKeep: () => true,
    peers: () => keepers.slice(1),
    mayKnow: () => keepers,
    keepersFor: () => keepers
  })
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
