/**
 * Sick machines: who is slow gives others more time, says so and is given more, and judges nobody by its own absence.
 *
 * Not here: meeting and losing peers as such, which the simulator and test/integration do all the time.
 * Time is stepped by hand; the other nodes are words in the mouth of the test.
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { heartbeatEveryMs, Membership, silenceMaxMs } from '../../src/routing/membership.ts'
import { slownessMaxMs } from '../../src/routing/messages.ts'
import { memberOf } from './member.ts'

const [ada, ben, eve] = ['ada', 'ben', 'eve'] as [PeerId, PeerId, PeerId]

/** Ada's view at 0 ms: ben and eve are up. */
function meshed(): Membership {
  const membership = new Membership(memberOf(ada), seededRandom(1), 0)
  for (const peer of [ben, eve]) {
    membership.connected(peer, [], 0)
    membership.greeted(peer, { self: memberOf(peer), others: [], knowsYou: true }, 0)
  }
  return membership
}

/** Who is called down by the wakes of so long, from `from` on, with nothing heard. */
function downWithin(membership: Membership, from: number, ms: number): string[] {
  const down: string[] = []
  for (let now = from; now <= from + ms; now += 100) {
    membership.check()
    for (const effect of membership.wake(now))
      if (effect.kind === 'peer-down') down.push(`${effect.peer} ${now}`)
  }
  return down
}

test('silence ends a peer after its time', () => {
  expect(downWithin(meshed(), 0, 20_000)).toEqual([`ben ${silenceMaxMs + 100}`, `eve ${silenceMaxMs + 100}`])
})

test('own slowness stretches own judgement for a while', () => {
  const membership = meshed()
  membership.slowed(1_500, 1_000)
  expect(downWithin(membership, 1_000, silenceMaxMs + 400)).toEqual([])
  expect(downWithin(membership, silenceMaxMs + 1_600, 0)).toEqual(['ben 6600', 'eve 6600'])
  // Long after, a peer has no more than the usual time.
  const later = meshed()
  later.slowed(1_500, 1_000)
  for (const peer of [ben, eve]) later.heartbeat(peer, 15_000)
  expect(downWithin(later, 15_000, silenceMaxMs)).toEqual([])
  expect(downWithin(later, 15_000 + silenceMaxMs + 100, 0)).toHaveLength(2)
})

test('a smaller delay does not hide a larger one, and none is more than the maximum', () => {
  const membership = meshed()
  membership.slowed(1_500, 1_000)
  membership.slowed(0, 2_000)
  membership.slowed(300, 3_000)
  expect(membership.slowness(4_000)).toBe(1_500)
  membership.slowed(3_600_000, 5_000)
  expect(membership.slowness(5_000)).toBe(slownessMaxMs)
})

test('a peer that says it is slow is waited for longer, and only that one', () => {
  const membership = meshed()
  membership.heartbeat(ben, 0, 4_000)
  membership.heartbeat(eve, 0, 0)
  expect(downWithin(membership, 0, 20_000)).toEqual([
    `eve ${silenceMaxMs + 100}`,
    `ben ${silenceMaxMs + 4_100}`
  ])
  // What it said holds until it says something else, and not beyond its connection.
  const well = meshed()
  well.heartbeat(ben, 0, 4_000)
  well.heartbeat(ben, 0, 0)
  expect(downWithin(well, 0, 20_000)).toHaveLength(2)
  expect(downWithin(well, 0, 20_000)).toEqual([])
})

test('after a long pause of its own a node asks everybody before it judges anyone', () => {
  const membership = meshed()
  const back = 20_000
  const asked = membership.slowed(back - heartbeatEveryMs, back)
  expect(asked).toEqual([
    { kind: 'greet', to: ben, others: [], knowsYou: false },
    { kind: 'greet', to: eve, others: [], knowsYou: false }
  ])
  expect(downWithin(membership, back, 1_000)).toEqual([])
  // One answers; the other is then judged like anybody.
  for (let now = back; now < back + 30_000; now += 1_000) {
    membership.greeted(ben, { self: memberOf(ben), others: [], knowsYou: true }, now)
    membership.wake(now)
  }
  expect(membership.isUp(ben)).toBe(true)
  expect(membership.isUp(eve)).toBe(false)
})

test('who is asked like that answers', () => {
  const membership = meshed()
  const effects = membership.greeted(ben, { self: memberOf(ben), others: [], knowsYou: false }, 1_000)
  expect(effects).toMatchObject([{ kind: 'greet', to: ben, knowsYou: true }])
})

test('who said that it leaves is gone with its stream, and counts again as soon as it has one, before it says a word', () => {
  const membership = meshed()
  const leaving = { ...memberOf(eve), isLeaving: true, incarnation: 1 }
  membership.greeted(eve, { self: leaving, others: [], knowsYou: true }, 100)
  membership.disconnected(eve, 200)
  expect(membership.everybody()).toEqual([ada, ben])
  // It may be back in another life, and have found what this node would otherwise found anew without it.
  membership.connected(eve, [], 300)
  expect(membership.everybody()).toEqual([ada, ben, eve])
  expect(membership.isUp(eve)).toBe(false)
})
