/**
 * Tasks go where their data is, and wait a short time for a node that has it.
 *
 * Not here: a whole mesh (test/sim/locality.test.ts). The queue is real; who holds what is said by the test.
 */
import { expect, test } from 'vitest'
import { closeEnvelope } from '../../src/data/envelope.ts'
import { type DataId, dataId, type PeerId } from '../../src/ids.ts'
import type { Traits } from '../../src/routing/match.ts'
import { pack } from '../../src/tasks/batch.ts'
import { Locality, nearWaitMaxMs } from '../../src/tasks/locality.ts'
import { Nearby } from '../../src/tasks/nearby.ts'
import { Queue } from '../../src/tasks/queue.ts'
import { recordOf } from './record.ts'

const [ann, ben, cay] = ['ann', 'ben', 'cay'] as [PeerId, PeerId, PeerId]
const mb = 1_000_000
const data = (name: string, size: number): DataId => dataId(name.padEnd(43, '_'), size)
const [x, y] = [data('x', 100 * mb), data('y', 100 * mb)]

/** A shard with one task for each list of data, and who is known to have what. */
function shardOf(needs: readonly (readonly DataId[])[], known: ReadonlyMap<DataId, readonly PeerId[]>) {
  const traits: Traits = { peer: ann, slots: 1, labels: [], resources: [], sources: [] }
  const slotsOf = new Map([[cay, 0]])
  const nearby = new Nearby({ holders: (id) => new Set(known.get(id)) })
  const inputs = needs.map((ids) =>
    ids.length === 0 ? new Uint8Array(1) : closeEnvelope({ kind: 'naming', ids, inner: new Uint8Array(1) })
  )
  const record = recordOf(ann, needs.length, { inputs: pack('', [...inputs.keys()], inputs) })
  const member = (peer: PeerId): Traits => ({ ...traits, peer, slots: slotsOf.get(peer) ?? 1 })
  const locality = Locality.of(record, { nearby, member })
  const queue = new Queue(needs.length)
  queue.lineUp()
  const take = (to: PeerId, now: number, most = 1): number[] =>
    locality?.take(queue, { to, most, elsewhere: false }, now)?.indexes ?? []
  return { locality, queue, take }
}

test('a shard that names no data has nothing to do with it', () => {
  expect(shardOf([[], []], new Map()).locality).toBeUndefined()
})

test('who has the data of a task gets it; others get what needs none', () => {
  const { take, locality, queue } = shardOf(
    [[x], [y], []],
    new Map([
      [x, [ann]],
      [y, [ben]]
    ])
  )
  expect(locality?.preference(queue, 0)(ben)).toBe(true)
  expect([take(ben, 0), take(ben, 0), take(ben, 0)]).toEqual([[1], [2], []])
  expect(locality?.preference(queue, 0)(ben)).toBe(false)
  expect(take(ann, 0)).toEqual([0])
})

test('a task waits as long as moving its data would take, and then goes anywhere, with others of the same data', () => {
  const { take, locality } = shardOf(
    [[y], [x], [x], [y]],
    new Map([
      [x, [ann]],
      [y, [ann]]
    ])
  )
  expect([take(ben, 5_000), locality?.opensAt]).toEqual([[], 6_000])
  expect(take(ann, 5_500)).toEqual([0])
  expect(take(ben, 6_000)).toEqual([1])
  // It is on its way there now.
  expect(take(ben, 6_000, 9)).toEqual([2])
  expect(shardOf([[data('z', 900_000 * mb)]], new Map()).take(ben, 0)).toEqual([])
  const huge = shardOf([[data('z', 900_000 * mb)]], new Map())
  expect([huge.take(ben, 0), huge.take(ben, nearWaitMaxMs)]).toEqual([[], [0]])
})

test('nothing waits for nodes that could not run it', () => {
  expect(shardOf([[x]], new Map([[x, [cay]]])).take(ben, 0)).toEqual([0])
})

test('of several pieces, more than half of the bytes count', () => {
  const small = data('small', mb)
  const { take } = shardOf(
    [[x, small]],
    new Map([
      [x, [ann]],
      [small, [ben]]
    ])
  )
  expect([take(ben, 0), take(ann, 0)]).toEqual([[], [0]])
})

test('what was given back unbegun was not brought there', () => {
  const { take, queue, locality } = shardOf([[x], [x]], new Map([[x, [ann]]]))
  take(ben, 0)
  expect(take(ben, 1_000)).toEqual([0])
  queue.release(0, 'unstarted')
  locality?.returned(ben, 0)
  expect(locality?.preference(queue, 1_000)(ben)).toBe(false)
})
