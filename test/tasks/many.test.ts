/**
 * A keeper with more jobs than anybody looks at: what each of them takes, and that no look takes longer because of them.
 *
 * Not here: that nothing is lost by it (the simulator packs whatever is settled), and quotas (test/sim/stories.ts).
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { type JobId, type PeerId, type ShardKey, shardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { TaskMessage } from '../../src/tasks/messages.ts'
import { Owner, type OwnerView } from '../../src/tasks/owner.ts'
import { Reconcile } from '../../src/tasks/reconcile.ts'
import { changesAtOnce, Repairs } from '../../src/tasks/repair.ts'
import { Retention } from '../../src/tasks/retention.ts'
import { headerOf } from './header.ts'
import { recordOf } from './record.ts'

const peers = ['A', 'B', 'C'].map((name) => `12D3KooW${name.repeat(44)}` as PeerId)
const [self, other] = peers as [PeerId, PeerId]
const jobOf = (at: number): JobId => `job-${String(at).padStart(12, '0')}` as JobId
const keyOf = (at: number): ShardKey => shardKey(jobOf(at), 0, 0)

/** What a keeper hears of a job of one task. */
function storyOf(at: number, retentionMs = 0, keepers = peers): TaskMessage[] {
  const key = keyOf(at)
  const header = headerOf({ job: jobOf(at), name: 'square', retentionMs, submittedAt: 1_000 + at })
  const inputs = pack('', [0], [Uint8Array.of(1, 2, 3)])
  const record = recordOf(self, 1, { key, ...firstSeating(keepers), copies: 3, header, inputs })
  const head = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: at, startedAt: 5 }
  const outcomes = pack(self, [0], [encodeOutcome(head, Uint8Array.of(at & 255))])
  return [
    { kind: 'store', record, isRepair: false },
    { kind: 'accept', key, list: 0, ballot: 0, serial: 1, outcomes },
    { kind: 'settle', key, list: 0, ballot: 0, by: 0 }
  ]
}

function keep(keeper: Keeper, from: number, to: number, retentionMs?: number): void {
  for (let at = from; at < to; at++)
    for (const message of storyOf(at, retentionMs)) keeper.step(other, message)
}

/** The same keeper, and how often each of its methods was called. */
function counting(keeper: Keeper) {
  const counted: Record<string, number> = {}
  const view = new Proxy(keeper, {
    get: (target, name: string) => {
      const value = target[name as keyof Keeper] as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        counted[name] = (counted[name] ?? 0) + 1
        return value.apply(target, args)
      }
    }
  })
  return { counted, view }
}

/** Of a mesh from which `other` went. */
const viewOf = (keeper: Keeper): OwnerView => ({
  self,
  keeper,
  isGone: (peer) => peer === other,
  isUp: (peer) => peer !== other,
  canVote: () => true,
  keepersFor: () => peers,
  situation: () => 'one went',
  holders: () => undefined,
  neighbours: () => peers,
  member: () => undefined,
  mayKnow: () => []
})

function reads(keeper: Keeper, key: ShardKey) {
  return {
    record: keeper.record(key),
    brief: keeper.brief(key)?.keepers,
    outcomes: [...keeper.outcomes(key)].map(([index, { ballot, batch, at }]) => [index, ballot, batch, at]),
    promised: keeper.promised(key),
    inForce: keeper.inForce(key),
    settled: [keeper.isSettled(key), keeper.settledBy(key), keeper.settledFor(key)],
    print: keeper.print(key)
  }
}

test('what is packed is read as it was, and changes as it would have', () => {
  const [open, packed] = [new Keeper(self), new Keeper(self, undefined, 0)]
  const [key, more] = [keyOf(7), keyOf(8)]
  for (const keeper of [open, packed]) {
    for (const now of [0, 100]) keeper.uptime.pass(now)
    keep(keeper, 7, 9)
    keeper.uptime.pass(350)
  }
  expect(reads(packed, key)).toEqual(reads(open, key))
  expect(packed.bytes).toBe(open.bytes)
  // What comes late of an earlier word, a question, and a newer list.
  const late = pack(
    other,
    [0],
    [encodeOutcome({ status: STATUS.ok, slot: 1, attempt: 2, elapsedMs: 1, startedAt: 9 }, new Uint8Array(9))]
  )
  const words: TaskMessage[] = [
    { kind: 'accept', key, list: 0, ballot: 0, serial: 2, outcomes: late },
    { kind: 'prepare', key, list: 0, ballot: 5 },
    { kind: 'accept', key, list: 0, ballot: 3, serial: 1, outcomes: late },
    { kind: 'moved', key: more, list: 2, keepers: [other], seats: [1] },
    { kind: 'store', record: { ...recordOf(self, 1, { key }), list: 1 }, isRepair: true }
  ]
  for (const word of words) {
    expect(packed.step(other, word)).toEqual(open.step(other, word))
    expect(reads(packed, key)).toEqual(reads(open, key))
  }
  expect(packed.movedTo(more)).toEqual(open.movedTo(more))
  packed.check()
  for (const keeper of [open, packed]) keeper.step(other, { kind: 'forget', name: jobOf(7) })
  expect([packed.size, packed.bytes]).toEqual([open.size, open.bytes])
})

test('a job of one task that is over takes less than a kilobyte', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const held = (): number => {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const keeper = new Keeper(self)
  keep(keeper, 0, 5_000)
  keeper.takeNews()
  const before = held()
  keep(keeper, 5_000, 25_000)
  keeper.takeNews()
  expect((held() - before) / 20_000).toBeLessThan(1_024)
  expect(keeper.size).toBe(25_000)
})

test('of many jobs each has a look in its turn, and goes when its time is over', () => {
  const keeper = new Keeper(self)
  keep(keeper, 0, 20_000, 60_000)
  const { counted, view } = counting(keeper)
  const retention = new Retention({ self, keeper: view, isUp: () => true, peers: () => [] })
  const over = new Set<JobId>()
  for (let now = 0; now < 80_000; now += 2_000) {
    keeper.uptime.pass(now)
    counted.rootKey = 0
    for (const job of retention.wake(now).over) over.add(job)
    expect(counted.rootKey).toBeLessThanOrEqual(4_096)
    if (now < 60_000) expect(over.size).toBe(0)
  }
  expect(over.size).toBe(20_000)
})

test('two keepers that compare anew look at what has changed only', () => {
  const keeper = new Keeper(self)
  const { counted, view } = counting(keeper)
  const reconcile = new Reconcile({ self, keeper: view, peers: () => [other] }, seededRandom(1), 0)
  keep(keeper, 0, 5_000)
  const digestAt = (now: number) => reconcile.wake(now).map(({ message }) => message)
  const first = digestAt(30_000)
  expect(first).toMatchObject([{ kind: 'digest' }])
  counted.print = 0
  expect(digestAt(60_000)).toEqual(first)
  expect(counted.print).toBe(0)
  keep(keeper, 5_000, 5_010)
  for (let at = 0; at < 10; at++) keeper.step(other, { kind: 'forget', name: jobOf(at) })
  const second = digestAt(90_000)
  expect(second).not.toEqual(first)
  expect(counted.print).toBe(10)
  // As if it had been counted at once.
  const fresh = new Keeper(self)
  keep(fresh, 10, 5_010)
  const again = new Reconcile({ self, keeper: fresh, peers: () => [other] }, seededRandom(2), 0)
  expect(again.wake(30_000).map(({ message }) => message)).toEqual(second)
})

test('when a node is gone, the shards that it kept are found some at a time, and all in the end', () => {
  const keeper = new Keeper(self)
  const count = 30_000
  keep(keeper, 0, count)
  const [next] = ['D'].map((name) => `12D3KooW${name.repeat(44)}` as PeerId) as [PeerId]
  const { counted, view } = counting(keeper)
  const repairs = new Repairs(
    {
      self,
      isGone: (peer) => peer === other,
      isUp: (peer) => peer !== other,
      canVote: () => true,
      keepersFor: () => [...peers, next],
      situation: () => 'one went',
      keeper: view
    },
    new Map()
  )
  const begun = new Set<ShardKey>()
  for (let now = 0; begun.size < count && now < 100_000_000; now = Math.max(now + 10_001, repairs.wakeAt())) {
    counted.isSettled = 0
    repairs.wake(now, ({ key }) => {
      begun.add(key)
      return []
    })
    expect(counted.isSettled).toBeLessThan(10_000)
  }
  expect(begun.size).toBe(count)
})

test('a node looks now and then at what it moves, however much waits for that', () => {
  const keeper = new Keeper(self)
  keep(keeper, 0, 3 * changesAtOnce)
  const next = `12D3KooW${'D'.repeat(44)}` as PeerId
  const owner = new Owner({ ...viewOf(keeper), keepersFor: () => [...peers, next] }, seededRandom(1))
  let wakes = 0
  for (let now = 0; now < 5_000; now = Math.max(now + 1, owner.wakeAt(now) ?? 5_000)) {
    owner.wake(now)
    wakes++
    expect(owner.repairs.changes).toEqual({ now: changesAtOnce, later: 2 * changesAtOnce })
  }
  expect(wakes).toBeLessThan(100)
  // Another one has its turn as soon as one is done, which is known by an answer.
  const answer = { kind: 'accepted', key: keyOf(0), list: 0, ballot: 0, serial: 1 } as const
  owner.wake(5_000)
  owner.message(self, answer, 5_001)
  expect(owner.wakeAt(5_001)).toBe(5_001)
})

test('a node that is told to forget much looks at nothing but that, however much it keeps, follows or gave to others', () => {
  const keeper = new Keeper(self)
  const count = 50_000
  for (let at = 0; at < count; at++) {
    const [store] = storyOf(at, 0, [other, self]) as [TaskMessage]
    keeper.step(other, store)
    keeper.restore({ kind: 'moved', key: keyOf(count + at), ...firstSeating([other]), list: 1 })
  }
  const owner = new Owner(viewOf(keeper), seededRandom(1))
  owner.restored(0)
  const began = process.cpuUsage()
  for (let at = 0; at < 2 * count; at += 100) {
    const message = { kind: 'forget', name: jobOf(at) } as const
    keeper.step(other, message)
    owner.message(other, message, 0)
  }
  // It took 20 ms for each of these thousand.
  expect(process.cpuUsage(began).user / 1_000).toBeLessThan(2_000)
  expect(keeper.size).toBe(count - count / 100)
  expect(keeper.movedTo(keyOf(count))).toBe(undefined)
  expect(keeper.movedTo(keyOf(count + 1))).toBeDefined()
  owner.check()
})

test('a node that leaves sees by one shard that others have yet to take some', () => {
  const keeper = new Keeper(self)
  keep(keeper, 0, 5_000)
  const next = `12D3KooW${'D'.repeat(44)}` as PeerId
  const { counted, view } = counting(keeper)
  const repairs = new Repairs(
    {
      self,
      isGone: (peer) => peer === self,
      isUp: () => true,
      canVote: () => true,
      keepersFor: () => [...peers, next],
      situation: () => 'this one leaves',
      keeper: view
    },
    new Map()
  )
  expect(repairs.movable(0, 1)).toBe(1)
  expect(counted.record).toBe(1)
  expect(repairs.movable(0)).toBe(5_000)
})
