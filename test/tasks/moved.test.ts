/**
 * A keeper that is told of a newer list, where it once stayed with the old one for ever.
 *
 * Not here: how lists change (the simulator judges that).
 */
import { expect, test } from 'vitest'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { pack } from '../../src/tasks/batch.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { ShardRecord, TaskMessage } from '../../src/tasks/messages.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { headerOf } from './header.ts'

const [a, b, c, d] = ['peerA', 'peerB', 'peerC', 'peerD'] as [PeerId, PeerId, PeerId, PeerId]
const key = 'abcdefgh/0/0' as ShardKey
const record: ShardRecord = {
  key,
  ...firstSeating([a, b, c]),
  copies: 3,
  header: headerOf(),
  first: 0,
  count: 1,
  shards: 1,
  inputs: pack('', [0], [new Uint8Array(1)]),
  root: [],
  needs: []
}

test('a keeper that never got the list that followed, and is in it, turns to those of that list', () => {
  const keeper = new Keeper(c)
  const peers = [a, b, d]
  const owner = new Owner(
    {
      self: c,
      keeper,
      isUp: () => true,
      isGone: () => false,
      neighbours: () => peers,
      member: () => undefined,
      mayKnow: () => [],
      keepersFor: () => [a, b, c, d],
      situation: () => ''
    },
    seededRandom(1)
  )
  const hear = (from: PeerId, message: TaskMessage): void => {
    keeper.step(from, message)
    if (message.kind === 'store') owner.kept(from, message, 0)
    owner.message(from, message, 0)
  }
  hear(a, { kind: 'store', record, isRepair: false })
  hear(a, { kind: 'moved', key, list: 1, keepers: [b, c, d], seats: [1, 2, 3] })
  const said: PeerId[] = []
  for (let now = 0; now < 15_000; now += 500) said.push(...owner.wake(now).map(({ to }) => to))
  expect(said).toContain(b)
})

test('who was taken for one that has the inputs, and had let go of them, takes them from a second message', () => {
  const keeper = new Keeper(d)
  const slim = { ...record, ...firstSeating([a, b, d]), inputs: pack('', [], []) }
  keeper.step(a, { kind: 'store', record: slim, isRepair: true })
  keeper.step(a, { kind: 'store', record: { ...slim, inputs: record.inputs }, isRepair: true })
  expect(keeper.record(key)?.inputs).toEqual(record.inputs)
  keeper.check()
  // And keeps them, whoever else takes it for one that has them.
  keeper.step(b, { kind: 'store', record: slim, isRepair: true })
  expect(keeper.record(key)?.inputs).toEqual(record.inputs)
})
