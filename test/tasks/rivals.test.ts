/**
 * Shards that were stored twice: which of them counts, and that the other one is let go.
 *
 * Not here: whole meshes (the simulator asks that no shard is kept twice once a job is over).
 */
import { expect, test } from 'vitest'
import { type JobId, type PeerId, type ShardKey, shardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { pack } from '../../src/tasks/batch.ts'
import { encodeClosed } from '../../src/tasks/closing.ts'
import type { Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import { closedIndex, encodePlacement, placementBase, type ShardRecord } from '../../src/tasks/messages.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { Rivals } from '../../src/tasks/rivals.ts'
import { headerOf } from './header.ts'

const [a, b, c] = ['peerA', 'peerB', 'peerC'] as [PeerId, PeerId, PeerId]
const job = 'job-0001' as JobId
const root = shardKey(job, 0, 0)
const header = headerOf({ job })

function recordOf(key: ShardKey, keepers: readonly PeerId[] = [a, b, c]): ShardRecord {
  const at = { key: root, keepers, first: 0, count: 1 }
  const inputs = pack('', [0], [new Uint8Array(8)])
  const size = { copies: 3, header, first: 0, count: 1, shards: 0, inputs }
  return { key, ...firstSeating(keepers), ...size, root: key === root ? [] : [at], needs: [] }
}

/** A node that keeps the job's first shard, whose register says: shard 1 is its second epoch, and there are three. */
function registrar(keepers: readonly PeerId[]): Owner {
  const keeper = new Keeper(a)
  const view = {
    self: a,
    keeper,
    neighbours: () => keepers,
    isUp: () => true,
    canVote: () => true,
    isGone: () => false,
    holders: () => undefined,
    member: () => undefined,
    mayKnow: () => []
  }
  const owner = new Owner({ ...view, keepersFor: () => keepers, situation: () => '' }, seededRandom(1))
  const place = encodePlacement({ key: shardKey(job, 1, 16), keepers, first: 1, count: 1 })
  const ended = new Uint8Array(1)
  const outcomes = pack('', [0, placementBase + 1, closedIndex], [ended, place, encodeClosed(3)])
  keeper.step(a, { kind: 'store', record: recordOf(root, keepers), isRepair: false })
  keeper.step(a, { kind: 'accept', key: root, list: 0, ballot: 0, serial: 1, outcomes })
  keeper.step(a, { kind: 'settle', key: root, list: 0, ballot: 0, by: 0 })
  return owner
}

test('the register of a job says which epoch of a shard counts, and has the others forgotten', () => {
  const keys = [shardKey(job, 1, 0), shardKey(job, 1, 16), shardKey(job, 2, 0), shardKey(job, 3, 0)]
  const [one, two, , four] = keys
  expect(registrar([a, b, c]).message(b, { kind: 'count', root, keys }, 0)).toEqual([
    { kind: 'send', to: b, message: { kind: 'forget', name: one } },
    // There is no shard 3; where shard 2 is, nobody has said yet.
    { kind: 'send', to: b, message: { kind: 'forget', name: four } },
    { kind: 'send', to: b, message: { kind: 'counts', root, keys: [two] } }
  ])
})

test('one of two keepers has nothing forgotten: in a split the other one may have named what it does not', () => {
  const keys = [shardKey(job, 1, 0)]
  expect(registrar([a, b]).message(b, { kind: 'count', root, keys }, 0)).toEqual([])
})

function rivalsAt(self: PeerId, peers: readonly PeerId[]): Rivals {
  return new Rivals({
    self,
    isUp: () => true,
    peers: () => peers,
    mayKnow: () => peers,
    keeper: new Keeper(self)
  })
}

/** What is asked within the next minute. */
function asked(rivals: Rivals, from: number): Send[] {
  const effects: Send[] = []
  for (let at = from; at < from + 60_000; at = rivals.wakeAt() ?? Number.POSITIVE_INFINITY)
    effects.push(...rivals.wake(at))
  return effects
}

test('a keeper asks until it knows whether its shard counts', () => {
  const rivals = rivalsAt(b, [a, c])
  const key = shardKey(job, 1, 16)
  expect(rivals.kept(recordOf(key), 0)).toEqual([])
  const question = { kind: 'send', to: a, message: { kind: 'count', root, keys: [key] } }
  expect(asked(rivals, 0)).toEqual([question, question])
  // Where the register went meanwhile.
  const hint = { kind: 'leading', key: root, list: 1, keepers: [c], seats: [2], ballot: 65_538 } as const
  expect(rivals.message(a, hint, 60_000)).toEqual([{ ...question, to: c }])
  rivals.message(c, { kind: 'counts', root, keys: [key] }, 60_001)
  expect(asked(rivals, 60_000)).toEqual([])
})

test('who keeps a newer first shard has the older ones forgotten by everybody, also by those who come later', () => {
  const rivals = rivalsAt(b, [a])
  const order = (to: PeerId): Send => ({
    kind: 'send',
    to,
    message: { kind: 'forget', name: shardKey(job, 0, 15) }
  })
  expect(rivals.kept(recordOf(shardKey(job, 0, 16)), 0)).toEqual([order(b), order(a)])
  rivals.message(b, { kind: 'forgotten', name: shardKey(job, 0, 15) }, 5)
  expect(rivals.wake(10_000)).toEqual([order(a)])
  rivals.message(a, { kind: 'forgotten', name: shardKey(job, 0, 15) }, 10_005)
  expect(rivals.wakeAt()).toBeUndefined()
  expect(rivals.peerUp(c)).toEqual([order(c)])
})

test('with one epoch of a first shard every earlier one is forgotten, and no later one', () => {
  const keeper = new Keeper(a)
  const [first, second, third] = [0, 16, 32].map((epoch) => shardKey(job, 0, epoch)) as [
    ShardKey,
    ShardKey,
    ShardKey
  ]
  for (const key of [first, second, third])
    keeper.step(a, { kind: 'store', record: recordOf(key), isRepair: false })
  keeper.step(b, { kind: 'forget', name: shardKey(job, 0, 31) })
  expect(keeper.keys()).toEqual([third])
  expect([first, second, third].map((key) => keeper.isForgotten(key))).toEqual([true, true, false])
  keeper.check()
})

test('with a first shard that does not count any more go the shards that its register was to name, and no others', () => {
  const keeper = new Keeper(b)
  const old = shardKey(job, 1, 0)
  const replacing = {
    ...recordOf(shardKey(job, 1, 240)),
    root: [{ key: shardKey(job, 0, 240), keepers: [a], first: 0, count: 1 }]
  }
  for (const record of [recordOf(old), replacing]) keeper.step(a, { kind: 'store', record, isRepair: false })
  const rivals = new Rivals({ self: b, isUp: () => true, peers: () => [a], mayKnow: () => [a], keeper })
  const order = { kind: 'send', to: b, message: { kind: 'forget', name: old } }
  expect(rivals.message(a, { kind: 'forget', name: shardKey(job, 0, 239) }, 0)).toEqual([order])
  // Nor is anything forgotten with a later shard than the first, or with a shard of another job.
  expect(rivals.message(a, { kind: 'forget', name: shardKey(job, 2, 239) }, 0)).toEqual([])
  expect(rivals.message(a, { kind: 'forget', name: shardKey('job-0002' as JobId, 0, 239) }, 0)).toEqual([])
})
