/**
 * A job that is ended by somebody else than its submitter: the owner of its register counts what it has.
 *
 * Not here: what clients make of that (client/session.test.ts).
 */
import { expect, test } from 'vitest'
import { type JobId, type PeerId, shardKey } from '../../src/ids.ts'
import { type Batch, pack, valueAt } from '../../src/tasks/batch.ts'
import { encodeClosed, isClosed, isNamed, leavesOut, placesIn, readClosed } from '../../src/tasks/closing.ts'
import { Entries } from '../../src/tasks/entries.ts'
import { closedIndex, encodePlacement, placementBase } from '../../src/tasks/messages.ts'
import { Register } from '../../src/tasks/register.ts'
import { recordOf } from './record.ts'

const self = 'peerA' as PeerId
const job = 'abcdefgh' as JobId
const placed = (index: number): Batch => pack('', [placementBase + index], [encodePlacement(at(index))])
const at = (index: number) => ({ key: shardKey(job, index, 0), keepers: [self], first: index, count: 1 })
const ended = pack('', [closedIndex], [encodeClosed(0)])

/** The register of a job's first shard at its only keeper; what is proposed is committed when the test says so. */
class Root {
  readonly register: Register
  readonly entries: Entries

  constructor(shards: number) {
    this.register = Register.first(recordOf(self, 1, { shards }), self, true)
    this.entries = new Entries(this.register)
  }

  /** Returns what is known of it already. */
  propose(entries: Batch): Batch[] {
    const { known, effects } = this.entries.propose(entries, 0)
    for (const { message } of effects) {
      if (message.kind !== 'accept') continue
      const { key, list, ballot, serial } = message
      this.register.accepted(self, { kind: 'accepted', key, list, ballot, serial }, 0)
    }
    return known.map(({ outcomes }) => outcomes)
  }
}

test.each([0, 7])(
  'a job of which %s shards were announced ends with those that are named, and is closed',
  (shards) => {
    const root = new Root(shards)
    for (const index of [1, 2, 5]) root.propose(placed(index))
    expect(isClosed(root.register)).toBe(false)
    root.propose(ended)
    expect(isClosed(root.register)).toBe(true)
    expect(placesIn(root.register).map(({ first }) => first)).toEqual([1, 2, 5])
  }
)

test('what is named later does not count, and who comes with it hears that the job was ended', () => {
  const root = new Root(0)
  for (const index of [1, 3]) root.propose(placed(index))
  root.propose(ended)
  for (const index of [2, 4]) {
    const [told] = root.propose(placed(index))
    expect(told?.indexes).toEqual(Uint32Array.of(closedIndex))
    expect(leavesOut(valueAt(told as Batch, 0), index)).toBe(true)
  }
  const counts = [1, 2, 3, 4].map((index) => isNamed(root.register, at(index).key))
  expect(counts).toEqual([true, false, true, false])
  // Its submitter, who knew of five.
  const [told] = root.propose(pack('', [closedIndex], [encodeClosed(5)]))
  expect(readClosed(valueAt(told as Batch, 0))).toBe(4)
})

test('a job that its submitter has closed has the shards that are still to be named, whoever ends it after that', () => {
  const root = new Root(0)
  root.propose(pack('', [closedIndex], [encodeClosed(3)]))
  root.propose(placed(1))
  root.propose(ended)
  expect(isClosed(root.register)).toBe(false)
  root.propose(placed(2))
  expect(isClosed(root.register)).toBe(true)
})
