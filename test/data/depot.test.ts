/**
 * What data stays on a node, and what goes: by quota, by the jobs that name it, and by time.
 *
 * Not here: files (test/node/datafiles.test.ts), who is asked to hold what (the simulator).
 */
import { expect, test } from 'vitest'
import { absentLeaseMs, cacheMs, Depot, leaseMs } from '../../src/data/depot.ts'
import type { DataEffect } from '../../src/data/effects.ts'
import { lingerMs, renewEveryMs } from '../../src/data/item.ts'
import { type DataId, dataId, type PeerId } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'

const [self, ann, ben] = ['self', 'ann', 'ben'] as [PeerId, PeerId, PeerId]
const mb = 1_000_000
const hour = 3_600_000
const named = (name: string | number, size = mb): DataId => dataId(String(name).padEnd(43, '_'), size)

/** A node of this quota; `isDown`: members that are. */
function depotOf(quota: number, isDown: ReadonlySet<PeerId> = new Set()): Depot {
  const isUp = (peer: PeerId): boolean => !isDown.has(peer)
  const nobody = (): PeerId[] => []
  const never = (): boolean => false
  const keeping = { keepersFor: nobody, isAnyFull: never, isGone: never, situation: () => '' }
  const view = { self, isUp, peers: nobody, ...keeping }
  return new Depot(view, quota)
}

/** Records of that node name these, or somebody pinned them. */
function hold(depot: Depot, from: PeerId, ids: readonly DataId[], now: number, pinMs = 0): DataEffect[] {
  const said = { isNamed: pinMs === 0, pinMs, bridgeMs: 0, isNew: pinMs > 0, put: 0, copies: 3, at: [] }
  return depot.hold(from, { kind: 'hold', ids, ...said }, now)
}

/** Somebody put these for a job, the sender's `put`th, or goes on to see to that. */
function bridge(depot: Depot, ids: readonly DataId[], now: number, isNew = true, put = 1): DataEffect[] {
  const said = { isNamed: false, pinMs: 0, bridgeMs: hour, isNew, put, copies: 3, at: [] }
  return depot.hold(self, { kind: 'hold', ids, ...said }, now)
}

const dropped = (effects: readonly DataEffect[]): DataId[] =>
  effects.flatMap((effect) => (effect.kind === 'drop-data' ? [effect.id] : []))

test('what was fetched for use goes when there is no more room, least recently used first', () => {
  const depot = depotOf(3 * mb)
  const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((name) => named(name)) as DataId[]
  for (const [at, id] of [a, b, c].entries()) expect(depot.arrived(id as DataId, at)).toEqual([])
  depot.used(a as DataId, 10)
  expect(dropped(depot.arrived(d as DataId, 11))).toEqual([b])
  expect(dropped(depot.arrived(e as DataId, 12))).toEqual([c])
  expect([a, d, e].every((id) => depot.has(id as DataId))).toBe(true)
})

test('what a job names or somebody pinned stays, however little room there is', () => {
  const depot = depotOf(2 * mb)
  const [job, put, used, more] = ['job', 'put', 'used', 'more'].map((name) => named(name)) as DataId[]
  hold(depot, ann, [job as DataId], 0)
  hold(depot, ann, [put as DataId], 0, 60_000)
  const gone = [job, put, used, more].flatMap((id, at) => dropped(depot.arrived(id as DataId, at)))
  // There is no room for what is only used, however new it is.
  expect(gone).toEqual([used, more])
  expect(depot.bytes).toBe(2 * mb)
  expect(depot.isFull(1)).toBe(true)
})

test('data goes with the last job that names it, of whatever node', () => {
  const depot = depotOf(100 * mb)
  const id = named('shared')
  hold(depot, ann, [id], 0)
  hold(depot, ben, [id], 0)
  depot.arrived(id, 1)
  expect(depot.unhold(ann, [id], true, 2)).toEqual([])
  expect(dropped(depot.unhold(ben, [id], true, 3))).toEqual([id])
  expect(depot.has(id)).toBe(false)
})

test('a pin and a job are two reasons: each alone is enough', () => {
  const depot = depotOf(100 * mb)
  const id = named('both')
  hold(depot, ann, [id], 0, 1_000)
  hold(depot, ben, [id], 0)
  depot.arrived(id, 1)
  expect(depot.wake(2_000)).toEqual([])
  expect(dropped(depot.unhold(ben, [id], true, 2_001))).toEqual([id])
})

test('what was put for a job waits for its records, and goes soon after the last of them, not only when its time is over', () => {
  const depot = depotOf(100 * mb)
  const [ofNobody, ofJob] = [named('of nobody'), named('of a job')] as [DataId, DataId]
  bridge(depot, [ofNobody, ofJob], 0)
  for (const id of [ofNobody, ofJob]) depot.arrived(id, 1)
  hold(depot, ann, [ofJob], 10)
  hold(depot, ben, [ofJob], 20)
  expect([depot.unhold(ann, [ofJob], true, 1_000), depot.wake(2_000)]).toEqual([[], []])
  expect(depot.unhold(ben, [ofJob], true, 2_000)).toEqual([])
  // Somebody has not heard yet that it is over, and is told.
  const told = [{ kind: 'send', to: self, message: { kind: 'crossed', ids: [ofJob], puts: ['self 1'] } }]
  expect(bridge(depot, [ofJob], 2_001, false)).toEqual(told)
  expect(depot.wake(2_000 + lingerMs - 1)).toEqual([])
  expect(dropped(depot.wake(2_000 + lingerMs))).toEqual([ofJob])
  expect(bridge(depot, [ofJob], 3_000 + lingerMs, false)).toEqual(told)
  expect(dropped(depot.wake(hour))).toEqual([ofNobody])
})

test('what was put for a job stays if its records are gone and the job is not over: it may be submitted once more', () => {
  const depot = depotOf(100 * mb)
  const [taken, silent] = [named('taken back'), named('silent')] as [DataId, DataId]
  bridge(depot, [taken, silent], 0)
  for (const id of [taken, silent]) depot.arrived(id, 1)
  hold(depot, ann, [taken, silent], 10)
  expect(depot.unhold(ann, [taken], false, 20)).toEqual([])
  expect([depot.wake(hour / 2), depot.wake(hour - 1)]).toEqual([[], []])
  expect(dropped(depot.wake(hour))).toEqual([taken, silent])
})

test('who missed that records let go of what was put for them is told by others, and lets it go, too', () => {
  const depot = depotOf(100 * mb)
  const [named1, again] = [named('named'), named('put again')] as [DataId, DataId]
  bridge(depot, [named1, again], 0)
  for (const id of [named1, again]) depot.arrived(id, 1)
  hold(depot, ann, [named1, again], 10)
  bridge(depot, [again], 20)
  depot.crossed({ ids: [named1, again], puts: [] }, 30)
  // Ann's lease ends some time.
  const gone = [leaseMs + 10, leaseMs + 11 + lingerMs, hour].map((now) => dropped(depot.wake(now)))
  expect(gone).toEqual([[], [named1], []])
  expect(dropped(depot.wake(hour + 20))).toEqual([again])
})

test('what one job lets go of stays for another that has put it since, and for a user who has', () => {
  const depot = depotOf(100 * mb)
  const [shared, pinned] = [named('shared'), named('pinned')] as [DataId, DataId]
  bridge(depot, [shared, pinned], 0)
  hold(depot, self, [pinned], 1, 2 * hour)
  for (const id of [shared, pinned]) depot.arrived(id, 1)
  hold(depot, ann, [shared, pinned], 10)
  bridge(depot, [shared], 20)
  depot.unhold(ann, [shared, pinned], true, 30)
  expect(depot.wake(hour)).toEqual([])
  expect(dropped(depot.wake(hour + 20))).toEqual([shared])
  // What a user lets go of stays for a job that is yet to name it.
  bridge(depot, [pinned], hour + 30)
  expect(depot.unpin([pinned], hour + 40)).toEqual([])
  bridge(depot, [pinned], hour + 50, false)
  expect(dropped(depot.wake(2 * hour + 50))).toEqual([pinned])
})

test('records of others may come late for the second time, too, and long after data was put', () => {
  const depot = depotOf(100 * mb)
  const id = named('handed on')
  bridge(depot, [id], 0)
  depot.arrived(id, 1)
  hold(depot, ann, [id], 10)
  for (const [at, [from, to]] of [
    [ann, ben],
    [ben, ann]
  ].entries()) {
    hold(depot, from as PeerId, [id], (1 + at) * hour - 2)
    const letGo = depot.unhold(from as PeerId, [id], true, (1 + at) * hour)
    expect([letGo, depot.wake((1 + at) * hour + lingerMs - 1)].map(dropped)).toEqual([[], []])
    hold(depot, to as PeerId, [id], (1 + at) * hour + lingerMs - 1)
  }
  expect(dropped(depot.wake(3 * hour))).toEqual([])
  expect(dropped(depot.wake(3 * hour + lingerMs))).toEqual([id])
})

test('what was found on the disk goes when one who knows says that its jobs are over, unless somebody is known to need it', () => {
  const [mine, other] = [depotOf(100 * mb), depotOf(100 * mb)]
  const [over, live, pinned, unknown] = ['over', 'live', 'pinned', 'unknown'].map((name) => named(name)) as [
    DataId,
    DataId,
    DataId,
    DataId
  ]
  const ofJobs = [over, live, pinned]
  bridge(other, ofJobs, 0)
  for (const id of ofJobs) other.arrived(id, 1)
  hold(other, ann, ofJobs, 10)
  hold(other, self, [pinned], 20, hour)
  other.unhold(ann, [over, pinned], true, 30)
  mine.restored([over, live, pinned, unknown], 40)
  const answers = (now: number): DataEffect[] => other.stray(self, [...mine.found(now)], now)
  const told = [{ kind: 'send', to: self, message: { kind: 'crossed', ids: [over], puts: ['self 1'] } }]
  expect(answers(50)).toEqual(told)
  // Also when it is gone there.
  expect(dropped(other.wake(50 + lingerMs))).toEqual([over])
  expect(answers(60 + lingerMs)).toEqual(told)
  hold(mine, ben, [over], 20_000)
  mine.crossed({ ids: [over], puts: [] }, 20_001)
  mine.unhold(ben, [over], true, 20_002)
  expect([mine.isGoing(over, 20_003), mine.wake(40_000)]).toEqual([false, []])
  mine.crossed({ ids: [over], puts: [] }, 40_001)
  expect([mine.isGoing(over, 40_002), [...mine.found(40_002)]]).toEqual([true, [live, pinned, unknown]])
  expect(dropped(mine.wake(40_001 + lingerMs))).toEqual([over])
})

test('what was put for two jobs before records of either named it does not go with the first of them', () => {
  const depot = depotOf(100 * mb)
  const [once, twice] = [named('once'), named('twice')] as [DataId, DataId]
  bridge(depot, [once, twice], 0)
  // Who puts it says so until it is here.
  bridge(depot, [once], 1)
  bridge(depot, [twice], 1, true, 2)
  for (const id of [once, twice]) depot.arrived(id, 2)
  hold(depot, ann, [once, twice], 10)
  depot.unhold(ann, [once, twice], true, 20)
  expect(dropped(depot.wake(20 + lingerMs))).toEqual([once])
  depot.crossed({ ids: [twice], puts: [] }, 30_000)
  expect(depot.wake(hour)).toEqual([])
  expect(dropped(depot.wake(hour + 1))).toEqual([twice])
})

test('who is up and says nothing any more names nothing; who is down may come back with its records', () => {
  const depot = depotOf(100 * mb, new Set([ben]))
  const [ofAnn, ofBen] = [named('of ann'), named('of ben')]
  hold(depot, ann, [ofAnn], 0)
  hold(depot, ben, [ofBen], 0)
  for (const id of [ofAnn, ofBen]) depot.arrived(id, 1)
  expect(depot.wake(4 * renewEveryMs)).toEqual([])
  expect(dropped(depot.wake(6 * renewEveryMs))).toEqual([ofAnn])
  expect(dropped(depot.wake(absentLeaseMs + 1))).toEqual([ofBen])
})

test('what is not used any more goes after a while, though there is room', () => {
  const depot = depotOf(100 * mb)
  const id = named('cached')
  depot.arrived(id, 0)
  depot.used(id, 1_000)
  expect(depot.wake(cacheMs)).toEqual([])
  expect(dropped(depot.wake(cacheMs + 1_000))).toEqual([id])
})

test('what nobody is known to have is looked for ever more rarely, and at once when somebody has it or puts it', () => {
  const depot = depotOf(100 * mb)
  const id = named('half put')
  const asked = (now: number, isNew: boolean, at: PeerId[]): boolean => {
    const said = { isNamed: false, pinMs: 86_400_000, bridgeMs: 0, isNew, put: 0, copies: 3, at }
    const isFetched = depot.hold(ann, { kind: 'hold', ids: [id], ...said }, now).length > 0
    if (isFetched) depot.failed(id, now)
    return isFetched
  }
  const times = Array.from({ length: 600 }, (_, second) => second * 1_000)
  const found = times.filter((now) => asked(now, now === 0, []))
  expect(found.slice(0, 4)).toEqual([0, 2_000, 6_000, 14_000])
  expect(found.length).toBeLessThan(16)
  expect(found.at(-1)).toBeGreaterThan(500_000)
  expect([asked(600_000, false, [ben]), asked(600_001, true, [])]).toEqual([true, true])
})

test('whatever happens, what is needed stays, and the rest fits the quota', () => {
  const wrong: string[] = []
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed)
    const depot = depotOf(10 * mb)
    const ids = Array.from({ length: 12 }, (_, at) => named(at, 1 + random.below(3 * mb)))
    const usedAt = new Map<DataId, number>()
    for (let now = 1; now < 300; now++) {
      const id = random.pick(ids) as DataId
      const who = random.pick([ann, ben]) as PeerId
      const had = ids.filter((one) => depot.has(one))
      const act = random.below(6)
      if (act < 2) usedAt.set(id, now)
      if (act === 0) depot.arrived(id, now)
      else if (act === 1) depot.used(id, now)
      else if (act === 2) hold(depot, who, [id], now)
      else if (act === 3) depot.unhold(who, [id], random.chance(0.5), now)
      else if (act === 4) hold(depot, who, [id], now, 50)
      else depot.wake(now)
      depot.check()
      const spare = ids.filter((one) => depot.has(one) && !depot.isNeeded(one, now))
      const gone = had.filter((one) => !depot.has(one))
      if (gone.some((one) => depot.isNeeded(one, now))) wrong.push(`seed ${seed}, ${now}: it was needed`)
      if (act > 0) continue
      if (depot.bytes > 10 * mb && spare.length > 0) wrong.push(`seed ${seed}, ${now}: no room was made`)
      const newest = Math.max(0, ...gone.map((one) => usedAt.get(one) ?? 0))
      if (spare.some((one) => (usedAt.get(one) ?? 0) < newest))
        wrong.push(`seed ${seed}, ${now}: not the oldest`)
    }
  }
  expect(wrong).toEqual([])
})

test('of much that is over some goes each time, until all of it went and nothing else', () => {
  const depot = depotOf(100_000 * mb)
  const all = Array.from({ length: 5_000 }, (_, n) => named(`n${n}-`))
  hold(depot, ann, all, 0, 1_000)
  for (const id of all) depot.arrived(id, 1)
  const kept = all.filter((_, n) => n % 5 === 0)
  hold(depot, ben, kept, 2)
  const gone = [1_000, 1_500, 2_000].map((now) => dropped(depot.wake(now)))
  expect(gone.map((ids) => ids.length)).toEqual([1_600, 1_600, 800])
  expect(all.filter((id) => depot.has(id))).toEqual(kept)
  depot.check()
})

/** Those of which it is said that there is no room. */
const refused = (effects: readonly DataEffect[]): DataId[] =>
  effects.flatMap((one) => (one.kind === 'send' && one.message.kind === 'full' ? one.message.ids : []))

test('what does not fit what is left is refused, also before anything of it came, and what is here already weighs nothing', () => {
  const depot = depotOf(3 * mb)
  const ids = Array.from({ length: 80 }, (_, n) => named(`n${n}-`))
  const huge = named('huge', 50 * mb)
  expect(refused(hold(depot, ann, [huge, ...ids], 0, hour))).toEqual([huge, ...ids.slice(3)])
  for (const id of ids.slice(0, 3)) expect(dropped(depot.arrived(id, 1))).toEqual([])
  expect(
    [hold(depot, ben, ids.slice(0, 3), 2), hold(depot, ben, [named('more', 1)], 2)].map(refused)
  ).toEqual([[], [named('more', 1)]])
  expect([depot.bytes, depot.isFull(1)]).toEqual([3 * mb, true])
  depot.check()
})

test('what nobody has takes no room, until somebody does', () => {
  const depot = depotOf(3 * mb)
  const [ghost, real] = [named('ghost', 2 * mb), named('real', 2 * mb)]
  hold(depot, ann, [ghost], 0)
  expect(refused(hold(depot, ann, [real], 1))).toEqual([real])
  depot.failed(ghost, 2)
  expect(refused(hold(depot, ann, [real], 3))).toEqual([])
  expect(refused(hold(depot, ann, [ghost], hour))).toEqual([ghost])
})

test('what lies here for use and records name is kept, however little room there is: it may be the last copy', () => {
  const depot = depotOf(3 * mb)
  const [old, last] = [named('old', 2 * mb), named('last', 2 * mb)]
  hold(depot, ann, [old], 0)
  depot.arrived(old, 1)
  depot.putting(last, 2)
  depot.arrived(last, 3)
  expect([hold(depot, ann, [last], 4, hour), hold(depot, ann, [last], 5)].map(refused)).toEqual([[last], []])
  depot.settled(last, 1)
  expect([depot.wake(6), depot.isFull(1)]).toEqual([[], true])
  depot.unhold(ann, [old], true, 7)
  expect(depot.isFull(0.9)).toBe(false)
})

test('a node that had to refuse little is full until more than that is left; one that had to refuse much is not', () => {
  const depot = depotOf(10 * mb)
  const [most, some] = [named('most', 9 * mb), named('some', mb / 2)]
  expect(refused(hold(depot, ann, [named('too much', 11 * mb)], 0))).toHaveLength(1)
  hold(depot, ann, [named('much', 8 * mb)], 0)
  expect([refused(hold(depot, ann, [most], 0)), depot.isFull(1)]).toEqual([[most], false])
  hold(depot, ann, [some, named('last', mb)], 0)
  expect(refused(hold(depot, ann, [named('little', mb)], 0))).toHaveLength(1)
  expect(depot.isFull(1)).toBe(true)
  depot.unhold(ann, [some], true, 1)
  expect([depot.isFull(0.9), depot.isFull(1)]).toEqual([true, true])
  depot.unhold(ann, [named('last', mb)], true, 1)
  expect(depot.isFull(0.9)).toBe(false)
  hold(depot, ann, [named('last', mb), some], 2)
  expect(depot.isFull(1)).toBe(false)
})

test('a full node makes room for what it fetches without looking at all that it must keep', () => {
  let looks = 0
  const isDown = { has: () => ++looks < 0 } as unknown as ReadonlySet<PeerId>
  const depot = depotOf(5_000 * mb, isDown)
  const all = Array.from({ length: 5_000 }, (_, n) => named(`n${n}-`))
  hold(depot, ann, all, 0)
  for (const id of all) depot.arrived(id, 0)
  const fetched = Array.from({ length: 50 }, (_, n) => named(`use${n}-`))
  expect(dropped(depot.arrived(fetched[0] as DataId, 1))).toEqual([fetched[0]])
  looks = 0
  for (const id of fetched.slice(1)) expect(dropped(depot.arrived(id, 2))).toEqual([id])
  expect(looks).toBeLessThan(5_000)
  depot.check()
})

test('what is here for use, and what for somebody, is known in whatever order it comes, fails, is lost and is put', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed)
    const depot = depotOf(10 * mb)
    const ids = Array.from({ length: 12 }, (_, at) => named(at, 1 + random.below(3 * mb)))
    const putters = new Map<DataId, number>()
    // Also more often than all are searched for room.
    for (let step = 0, now = 1; step < 300; step++, now += random.chance(0.5) ? 0.01 : random.below(40)) {
      const id = random.pick(ids) as DataId
      const who = random.pick([ann, ben]) as PeerId
      const act = random.below(11)
      if (act < 2) depot.arrived(id, now)
      else if (act === 2) depot.lost(id, now)
      else if (act === 3) depot.failed(id, now)
      else if (act === 4) depot.restored([id], now)
      else if (act === 5) hold(depot, who, [id], now, random.pick([0, 50]))
      else if (act === 6) depot.unhold(who, [id], random.chance(0.5), now)
      else if (act === 7) depot.unpin([id], now)
      else if (act === 8) depot.wake(now)
      else if (act === 9) {
        depot.putting(id, now)
        putters.set(id, (putters.get(id) ?? 0) + 1)
      } else {
        depot.settled(id, putters.get(id) ?? 0)
        putters.delete(id)
      }
      const isPutHere = [...putters.keys()].filter((one) => depot.has(one))
      expect(dropped(depot.wake(now)).filter((one) => isPutHere.includes(one))).toEqual([])
      depot.check()
    }
  }
})
