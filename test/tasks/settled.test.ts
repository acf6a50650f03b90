/**
 * What a keeper tells of a shard that is settled.
 *
 * Not here: when it is settled (the simulator judges that), and how it is made small (large.test.ts).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { pack } from '../../src/tasks/batch.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { startIndex, type TaskMessage } from '../../src/tasks/messages.ts'
import { recordOf } from './record.ts'

const [self, early, late] = ['peerA', 'peerB', 'peerC'] as [PeerId, PeerId, PeerId]
const record = recordOf(self, 2)
const place = { key: record.key, list: 0 } as const
const value = Uint8Array.of(7)

/** What an owner said that was not heard by any other keeper, and all that the next one says. */
const said: readonly [PeerId, TaskMessage][] = [
  [early, { kind: 'store', record, isRepair: false }],
  [early, { kind: 'accept', ...place, ballot: 1, serial: 1, outcomes: pack('', [0], [value]) }],
  [early, { kind: 'accept', ...place, ballot: 1, serial: 2, outcomes: pack('', [startIndex], [value]) }],
  [late, { kind: 'prepare', ...place, ballot: 64 }],
  [late, { kind: 'accept', ...place, ballot: 64, serial: 1, outcomes: pack('', [0, 1], [value, value]) }],
  [late, { kind: 'settle', ...place, ballot: 64, by: 64 }]
]

test('what was accepted from an earlier owner, and not proposed again by the one that settles, was never committed: nobody is told of it', () => {
  // Written as it came, or once more as a whole.
  for (const rewriteAbove of [1 << 20, 0]) {
    const keeper = new Keeper(self, rewriteAbove)
    const disk: TaskMessage[] = []
    for (const [from, message] of said)
      for (const effect of keeper.step(from, message)) {
        if (effect.kind !== 'persist') continue
        if (effect.replaces) disk.length = 0
        disk.push(...effect.messages)
      }
    const again = new Keeper(self)
    for (const message of disk) again.restore(message)
    for (const one of [keeper, again]) {
      expect(one.isSettled(record.key)).toBe(true)
      expect(one.settledBy(record.key)).toBe(64)
      expect([...one.outcomes(record.key).keys()]).toEqual([0, 1])
    }
  }
})

test('a keeper that lacks what the last owner had committed everywhere does not settle', () => {
  const keeper = new Keeper(self)
  for (const [from, message] of said.filter(([, { kind }]) => kind !== 'settle')) keeper.step(from, message)
  expect(keeper.step(late, { kind: 'settle', ...place, ballot: 128, by: 128 })).toEqual([])
  expect(keeper.isSettled(record.key)).toBe(false)
})
