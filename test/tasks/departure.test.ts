/**
 * For which shards a node that leaves is needed: those whose other keepers that stay cannot go on without its vote.
 *
 * Not here: leaving in a whole mesh (test/sim/second.test.ts), and what an owner hands over (handover.test.ts).
 */
import { expect, test } from 'vitest'
import { type Ballot, ballotOf, type JobId, type PeerId, type ShardKey, shardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { Departure } from '../../src/tasks/departure.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import { ShardMap } from '../../src/tasks/shard-map.ts'
import { Succession } from '../../src/tasks/succession.ts'
import { recordOf } from './record.ts'

const [a, self, c] = ['peerA', 'peerB', 'peerC'] as [PeerId, PeerId, PeerId]
const taskCount = 2
/** Of the keeper that stays. */
const heirs: Ballot = ballotOf(1, 2)
const keyOf = (at: number): ShardKey => shardKey(`job-${String(at).padStart(12, '0')}` as JobId, 0, 0)

/** A node that leaves, of which it is said later who is down, leaves, or cannot write. */
class Leaver {
  readonly down = new Set<PeerId>()
  readonly leaving = new Set<PeerId>([self])
  readonly broken = new Set<PeerId>()
  readonly keeper = new Keeper(self)
  readonly departure: Departure
  readonly #succession: Succession
  /** Looks at the outcomes of a shard. */
  looks = 0

  constructor() {
    const { down, leaving, broken, keeper } = this
    const isUp = (peer: PeerId): boolean => !down.has(peer)
    this.#succession = new Succession(self, seededRandom(1), isUp)
    const counted = new Proxy(keeper, {
      get: (target, name: keyof Keeper) => {
        if (name === 'isWhole') this.looks++
        const value: unknown = target[name]
        return typeof value === 'function' ? value.bind(target) : value
      }
    })
    const view = {
      self,
      keeper: counted,
      isUp,
      isGone: (peer: PeerId) => isUp(peer) && (leaving.has(peer) || broken.has(peer)),
      canVote: (peer: PeerId) => isUp(peer) && !broken.has(peer),
      keepersFor: () => [],
      situation: () => ''
    }
    this.departure = new Departure(view, new ShardMap(), this.#succession)
    this.departure.begin(0)
  }

  /** A shard that was owned by its first keeper until now. */
  keep(key: ShardKey, keepers: readonly PeerId[] = [a, self, c]): this {
    const record = recordOf(a, taskCount, { key, ...firstSeating(keepers), copies: keepers.length })
    this.keeper.step(a, { kind: 'store', record, isRepair: false })
    this.#succession.follow(record, 0, 0)
    return this
  }

  /** The one that owns it by this ballot has these outcomes accepted here. */
  accept(key: ShardKey, ballot: Ballot, tasks: readonly number[]): void {
    const head = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 5 } as const
    const values = tasks.map(() => encodeOutcome(head, new Uint8Array(1)))
    this.#succession.saw(key, 0, ballot, 0)
    this.keeper.step(c, { kind: 'prepare', key, list: 0, ballot })
    if (tasks.length === 0) return
    const outcomes = pack(c, [...tasks], values)
    this.keeper.step(c, { kind: 'accept', key, list: 0, ballot, serial: tasks[0] ?? 0, outcomes })
  }

  /** As it is found by a look at all, and by one that is made again and again. */
  get needed(): number {
    const count = this.departure.needed(0)
    expect(this.departure.isNeeded(0)).toBe(count > 0)
    return count
  }
}

test('a second one of three is needed until who owns the shard has had every outcome accepted here', () => {
  const leaver = new Leaver().keep(keyOf(0))
  expect(leaver.needed).toBe(0)
  leaver.down.add(a)
  expect(leaver.needed).toBe(1)
  leaver.accept(keyOf(0), heirs, [])
  expect(leaver.needed).toBe(1)
  leaver.accept(keyOf(0), heirs, [1])
  expect(leaver.needed).toBe(1)
  leaver.accept(keyOf(0), heirs, [0])
  expect(leaver.needed).toBe(0)
})

test('it is needed just so while the other one still leaves, and where the owner before had every outcome already', () => {
  const leaver = new Leaver().keep(keyOf(0))
  leaver.accept(keyOf(0), 0, [0, 1])
  leaver.leaving.add(a)
  expect(leaver.needed).toBe(1)
  leaver.accept(keyOf(0), heirs, [])
  expect(leaver.needed).toBe(1)
  leaver.accept(keyOf(0), heirs, [0, 1])
  expect(leaver.needed).toBe(0)
})

test('it is needed by nobody if enough others stay, if nobody does, or if its own vote counts for nothing', () => {
  const leaver = new Leaver().keep(keyOf(0))
  // Of a pair, one is enough.
  leaver.keep(keyOf(1), [self, c]).keep(keyOf(2), [self])
  expect(leaver.needed).toBe(0)
  leaver.down.add(a)
  expect(leaver.needed).toBe(1)
  leaver.broken.add(self)
  expect(leaver.needed).toBe(0)
  leaver.broken.delete(self)
  leaver.leaving.add(c)
  expect(leaver.needed).toBe(0)
  leaver.leaving.delete(c)
  leaver.down.add(c)
  expect(leaver.needed).toBe(0)
})

test('it looks again at the one shard that still needs it, however many are over', () => {
  const leaver = new Leaver()
  const count = 2_000
  for (let at = 0; at < count; at++) leaver.keep(keyOf(at))
  leaver.down.add(a)
  for (let at = 0; at < count - 1; at++) leaver.accept(keyOf(at), heirs, [0, 1])
  leaver.accept(keyOf(count - 1), heirs, [0])
  expect(leaver.departure.isNeeded(0)).toBe(true)
  leaver.looks = 0
  for (let times = 0; times < 100; times++) expect(leaver.departure.isNeeded(0)).toBe(true)
  expect(leaver.looks).toBe(100)
  leaver.accept(keyOf(count - 1), heirs, [1])
  expect(leaver.departure.isNeeded(0)).toBe(false)
  // What comes later is found, too.
  leaver.keep(keyOf(count))
  expect(leaver.departure.isNeeded(0)).toBe(true)
})
