/**
 * Large meshes: who is asked, who is doubted and for how long, what refutes a doubt, and how news and directories travel.
 *
 * Not here: whole meshes (test/sim, of which half behave as if they were large; scale.test.ts).
 * Time is stepped by hand; the other nodes are words in the mouth of the test.
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { Directory } from '../../src/routing/directory.ts'
import {
  Doubts,
  doubtersMax,
  refuteWithinLeastMs,
  refuteWithinMs,
  timeToRefute
} from '../../src/routing/doubts.ts'
import type { MembershipEffect } from '../../src/routing/effects.ts'
import { type Reach, usualReach } from '../../src/routing/links.ts'
import { Membership } from '../../src/routing/membership.ts'
import { type Doubt, type Member, membersMax, newsMax, refuted } from '../../src/routing/messages.ts'
import { answerWithinMs, vouchersMax, vouchWithinMs } from '../../src/routing/probes.ts'
import { compare, complete } from '../../src/routing/roll.ts'
import { Rumours, rumoursTold } from '../../src/routing/rumours.ts'
import { memberOf } from './member.ts'

const member = (peer: string, incarnation = 0, boot = 1): Member =>
  memberOf(peer, { addresses: [`/ip4/10.0.0.1/tcp/1/p2p/${peer}`], boot, incarnation })
const [ada, ben, eve, far] = ['ada', 'ben', 'eve', 'far'] as [PeerId, PeerId, PeerId, PeerId]
const wide: Reach = { ...usualReach, closeMax: 0, linksMin: 2, linksMax: 2, idleAfterMs: 10_000 }
const doubtOf = (peer: PeerId, by: PeerId, incarnation = 0): Doubt => ({ peer, boot: 1, incarnation, by })

/** Ada's view at 0 ms: ben and eve have streams, far is known from what they say. */
function meshed(reach = wide, seed = 1): Membership {
  const membership = new Membership(member(ada), seededRandom(seed), 0, reach)
  for (const peer of [ben, eve]) {
    membership.connected(peer, [], 0)
    membership.greeted(peer, { self: member(peer), others: [], knowsYou: true }, 0)
  }
  membership.announced({ members: [member(far)], doubts: [] }, 0)
  return membership
}

const kinds = (effects: readonly MembershipEffect[]): string[] =>
  effects.map((effect) => {
    if (effect.kind === 'say') return `${effect.message.kind} ${effect.to}`
    if (effect.kind === 'announce') return `announce ${effect.members.length} ${effect.doubts.length}`
    return `${effect.kind} ${'peer' in effect ? effect.peer : effect.to}`
  })

/** All that happens within so long, with `tell` called before each wake. */
function during(membership: Membership, from: number, ms: number, tell = (_: number): void => {}): string[] {
  const said: string[] = []
  for (let now = from; now <= from + ms; now += 100) {
    tell(now)
    said.push(...kinds(membership.wake(now)).map((text) => `${text} ${now}`))
    membership.check()
  }
  return said
}

const heard = (membership: Membership, ...peers: PeerId[]) => {
  return (now: number): void => {
    for (const peer of peers) membership.heartbeat(peer, now)
  }
}

test('who is known from others is up, without a stream', () => {
  const membership = meshed()
  expect(membership.isUp(far)).toBe(true)
  expect(membership.isLinked(far)).toBe(false)
  expect(membership.peers()).toEqual([ben, eve, far])
  expect(membership.neighbours()).toEqual([ben, eve])
})

test('each second one neighbour is asked, and each in turn', () => {
  const membership = meshed()
  const asked = during(membership, 0, 4_000, heard(membership, ben, eve)).filter((text) =>
    text.startsWith('ping')
  )
  expect(asked.map((text) => text.split(' ')[1]).toSorted()).toEqual([ben, ben, eve, eve])
})

test('who answers nobody is doubted aloud, and is down when its time to refute is over', () => {
  const membership = meshed()
  const said = during(membership, 0, 20_000, heard(membership, ben))
  const about = said.filter((text) => text.includes('eve') || text.startsWith('announce'))
  const asked = Number(about.find((text) => text.startsWith('ping eve'))?.split(' ')[2])
  const tried = said.filter((text) => text.startsWith('ping-for'))
  expect(tried).toEqual([`ping-for ben ${asked + answerWithinMs}`])
  expect(tried.length).toBeLessThanOrEqual(vouchersMax)
  const doubted = asked + answerWithinMs + vouchWithinMs
  expect(about).toContain(`announce 0 1 ${doubted}`)
  expect(about).toContain(`drop eve ${doubted}`)
  expect(about).toContain(`peer-down eve ${doubted + refuteWithinMs}`)
})

test('who is not watched, because all that held a stream with it are gone, is asked within 30 s, and missed', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const membership = meshed(wide, seed)
    const said = during(membership, 0, 45_000, heard(membership, ben, eve))
    const asked = said.find((text) => text.startsWith('ping far'))
    expect(Number(asked?.split(' ')[2])).toBeLessThanOrEqual(30_000)
    expect(said.some((text) => text.startsWith('peer-down far'))).toBe(true)
  }
})

test('who has no stream any more misses all that it cannot dial, within seconds', () => {
  const membership = meshed()
  for (const peer of [ben, eve]) membership.disconnected(peer, 0)
  const names = Array.from({ length: 6 }, (_, i) => `far${i}`)
  membership.announced({ members: names.map((name) => member(name)), doubts: [] }, 0)
  during(membership, 100, 30_000)
  expect(membership.peers()).toEqual([])
})

test('who is reached by another is not doubted; its stream is given up', () => {
  const membership = meshed()
  let ask: number | undefined
  let dropped = false
  for (let now = 0; now <= 10_000 && !dropped; now += 100) {
    membership.heartbeat(ben, now)
    for (const effect of membership.wake(now)) {
      if (effect.kind === 'say' && effect.message.kind === 'ping-for') ask = effect.message.ask
      dropped ||= effect.kind === 'drop'
    }
    if (ask === undefined) continue
    membership.message(ben, { kind: 'pong', ask, about: eve, delayMs: 0, members: [], doubts: [] }, now)
  }
  expect(dropped).toBe(true)
  expect(during(membership, 10_000, 10_000, heard(membership, ben)).join()).not.toContain('peer-down')
  expect(membership.isUp(eve)).toBe(true)
})

test('a question is passed on, and so is its answer', () => {
  const membership = meshed()
  const [ping] = membership.message(ben, { kind: 'ping-for', ask: 7, about: eve }, 0)
  expect(ping).toMatchObject({ kind: 'say', to: eve, message: { kind: 'ping' } })
  const ask = ping?.kind === 'say' && ping.message.kind === 'ping' ? ping.message.ask : -1
  const pong = { kind: 'pong', ask, about: '', delayMs: 0, members: [], doubts: [] } as const
  expect(membership.message(ben, pong, 100)).toEqual([])
  expect(membership.message(eve, pong, 100)).toMatchObject([
    { kind: 'say', to: ben, message: { kind: 'pong', ask: 7, about: eve } }
  ])
})

test('a node that is doubted says that it lives, in a higher incarnation, once', () => {
  const membership = meshed()
  const effects = membership.announced({ members: [], doubts: [doubtOf(ada, far)] }, 0)
  expect(effects).toMatchObject([{ kind: 'announce', members: [{ peer: ada, incarnation: 1 }] }])
  expect(membership.announced({ members: [], doubts: [doubtOf(ada, eve)] }, 0)).toEqual([])
  expect(refuted({ boot: 3, incarnation: 0 }, { boot: 2, incarnation: 9 })).toBeUndefined()
  // Its disk was put back to an earlier state: it lives on beyond what others remember.
  expect(refuted({ boot: 3, incarnation: 0 }, { boot: 5, incarnation: 2 })).toEqual({
    boot: 5,
    incarnation: 3
  })
})

test('a doubt is dropped when it is refuted, and believed when it is not', () => {
  const refutedOne = meshed()
  refutedOne.announced({ members: [], doubts: [doubtOf(far, ben)] }, 0)
  refutedOne.announced({ members: [member(far, 1)], doubts: [] }, refuteWithinMs - 100)
  expect(during(refutedOne, 0, 2 * refuteWithinMs, heard(refutedOne, ben, eve)).join()).not.toContain(
    'down far'
  )
  const silent = meshed()
  silent.announced({ members: [], doubts: [doubtOf(far, ben)] }, 0)
  expect(during(silent, 0, refuteWithinMs, heard(silent, ben, eve))).toContain(
    `peer-down far ${refuteWithinMs}`
  )
  // What it said before does not count any more, and what it says later does.
  silent.announced({ members: [member(far)], doubts: [] }, 6_000)
  expect(silent.isUp(far)).toBe(false)
  expect(kinds(silent.announced({ members: [member(far, 1)], doubts: [] }, 6_000))).toEqual(['peer-up far'])
})

test('several doubters are believed sooner', () => {
  expect([1, 2, doubtersMax, 50].map(timeToRefute)).toEqual([
    refuteWithinMs,
    expect.closeTo(3_107, 0),
    refuteWithinLeastMs,
    refuteWithinLeastMs
  ])
  const doubts = new Doubts()
  expect([ben, ben, eve, far, ada].map((by) => doubts.add(doubtOf('one' as PeerId, by), 0))).toEqual([
    true,
    false,
    true,
    true,
    false
  ])
  const due = (now: number): number => doubts.due(now, () => 0).length
  expect([due(refuteWithinLeastMs - 1), due(refuteWithinLeastMs)]).toEqual([0, 1])
})

test('what is heard on an own stream is worth more than what others say', () => {
  const membership = meshed()
  const told = membership.announced({ members: [], doubts: [doubtOf(eve, far)] }, 0)
  // It hears of the doubt at once, so that it can refute it.
  expect(told).toMatchObject([
    { kind: 'say', to: eve, message: { kind: 'ping', doubts: [{ peer: eve, by: far }] } }
  ])
  during(membership, 0, 10_000, heard(membership, ben, eve))
  expect(membership.isUp(eve)).toBe(true)
})

test('a stream that breaks ends a peer at once, is dialled once, and others are told a little later', () => {
  const membership = meshed()
  expect(kinds(membership.disconnected(eve, 100))).toEqual(['peer-down eve', 'dial eve'])
  expect(during(membership, 100, 1_400, heard(membership, ben)).join()).toContain('announce 0 1')
  // What others say brings a dial, and its own word brings it back.
  expect(
    membership.announced({ members: [member(eve, 1)], doubts: [] }, 6_000).map(({ kind }) => kind)
  ).toEqual(['dial'])
  expect(membership.isUp(eve)).toBe(false)
  membership.connected(eve, [], 6_100)
  membership.greeted(eve, { self: member(eve, 1), others: [], knowsYou: true }, 6_100)
  expect(membership.isUp(eve)).toBe(true)
})

test('who is back in the same life is told that it was taken for dead', () => {
  const membership = meshed()
  membership.disconnected(eve, 100)
  membership.connected(eve, [], 200)
  const effects = membership.greeted(eve, { self: member(eve), others: [], knowsYou: true }, 200)
  const told = effects.filter((effect) => effect.kind === 'say')
  expect(told).toMatchObject([
    { to: eve, message: { kind: 'ping', doubts: [{ peer: eve, incarnation: 0 }] } }
  ])
})

test('one that started anew without a stream to here is down and up again', () => {
  const membership = meshed()
  const effects = membership.announced({ members: [member(far, 0, 2)], doubts: [] }, 0)
  expect(kinds(effects)).toEqual(['peer-down far', 'peer-up far'])
})

test('after a pause of its own a node gives everybody the whole time again', () => {
  const membership = meshed()
  membership.announced({ members: [], doubts: [doubtOf(far, ben)] }, 0)
  membership.slowed(20_000, 20_000)
  const said = during(membership, 20_000, refuteWithinMs, heard(membership, ben, eve))
  expect(said.filter((text) => text.startsWith('peer-down'))).toEqual([])
})

test('too many idle streams are let go, with the consent of the other end', () => {
  const membership = meshed({ ...wide, linksMin: 1, linksMax: 1 })
  membership.used(ben, 9_000)
  const asked = during(membership, 0, 12_000, heard(membership, ben, eve)).filter((text) =>
    text.startsWith('rest')
  )
  expect(asked).toEqual([])
  const later = during(membership, 20_000, 1_000, heard(membership, ben, eve)).filter((text) =>
    text.startsWith('rest')
  )
  expect(later).toHaveLength(1)
  const peer = later[0]?.split(' ')[1] as PeerId
  expect(kinds(membership.message(peer, { kind: 'rest', isAgreed: true }, 21_100))).toEqual([`drop ${peer}`])
  expect(kinds(membership.disconnected(peer, 21_100))).toEqual([`drop ${peer}`])
  expect(membership.isUp(peer)).toBe(true)
})

test('a stream on which work was spoken is not let go, whoever asks', () => {
  const membership = meshed({ ...wide, linksMin: 1 })
  membership.used(ben, 15_000)
  expect(membership.message(ben, { kind: 'rest', isAgreed: false }, 20_000)).toEqual([])
  expect(kinds(membership.message(eve, { kind: 'rest', isAgreed: false }, 20_000))).toEqual(['rest eve'])
})

test('a stream that was let go is no death, although work was spoken on it before the other end dropped it', () => {
  const membership = meshed({ ...wide, linksMin: 1 })
  expect(kinds(membership.message(eve, { kind: 'rest', isAgreed: false }, 20_000))).toEqual(['rest eve'])
  membership.used(eve, 20_001)
  expect(kinds(membership.disconnected(eve, 20_002))).toEqual(['drop eve'])
  expect(membership.isUp(eve)).toBe(true)
  // Long after that, a stream that breaks means something again.
  membership.connected(eve, [], 20_100)
  expect(kinds(membership.disconnected(eve, 20_200))).toContain('peer-down eve')
})

test('what is for a member without a stream dials it and asks whether it is there, once', () => {
  const membership = meshed()
  expect(kinds(membership.reach(far, 0))).toEqual(['dial far', 'ping far'])
  expect(membership.reach(far, 100)).toEqual([])
  // It does not answer: then it is not there.
  const said = during(membership, 0, 12_000, heard(membership, ben, eve))
  expect(said.some((text) => text.startsWith('peer-down far'))).toBe(true)
})

test('a piece of news is told to some, and each message carries few', () => {
  const rumours = new Rumours()
  for (let i = 0; i < 20; i++) rumours.member(member(`p${i}`), 7)
  let told = 0
  for (let i = 0; i < 100; i++) {
    const { members } = rumours.tell()
    expect(members.length).toBeLessThanOrEqual(rumoursTold)
    told += members.length
  }
  expect(told).toBe(20 * 3 * 3)
})

/** A directory in which these are up. */
function directoryOf(self: string, names: readonly string[]): Directory {
  const directory = new Directory(member(self))
  for (const name of names) learn(directory, member(name))
  return directory
}
function learn(directory: Directory, one: Member): void {
  const known = directory.learn(one.peer, 0)
  if (known === undefined) return
  directory.describe(known, one)
  directory.raise(known)
}

test('a directory of a thousand comes in pieces, and costs nothing where it is known', () => {
  const names = Array.from({ length: 1_000 }, (_, i) => `node${i}`)
  const full = directoryOf('node0', names)
  const joiner = directoryOf('new', [])
  const random = seededRandom(1)
  const printsOf = (one: Directory): Uint8Array => new Uint8Array(one.prints.slice().buffer)
  let pieces = 0
  for (;;) {
    const roster = compare(full, printsOf(joiner), random)
    if (roster === undefined) break
    expect(roster.members.length).toBeLessThanOrEqual(newsMax)
    for (const one of roster.members) learn(joiner, one)
    for (const one of complete(joiner, { ...roster }).members) learn(full, one)
    pieces++
  }
  expect(joiner.peers()).toHaveLength(1_000)
  expect(full.peers()).toContain('new')
  expect(pieces).toBeLessThan(1.5 * (1_000 / newsMax) + 2)
  // One that differs is one part of the whole.
  learn(full, member('node7', 1))
  const difference = compare(full, printsOf(joiner), random)
  expect(difference?.buckets).toHaveLength(1)
  expect(difference?.members.length).toBeLessThan(60)
  full.check()
})

test('a full directory takes a newcomer for who is down for longest, and nobody if all are up', () => {
  const directory = new Directory(member(ada))
  for (let i = 0; i < membersMax; i++) learn(directory, member(`node${i}`))
  expect(directory.learn('late' as PeerId, 0)).toBeUndefined()
  for (const [at, peer] of [
    [2_000, 'node5'],
    [1_000, 'node9']
  ] as const)
    directory.sink(directory.get(peer as PeerId) as NonNullable<ReturnType<Directory['get']>>, at)
  expect(directory.learn('late' as PeerId, 3_000)).toBeDefined()
  expect(directory.get('node9' as PeerId)).toBeUndefined()
  directory.check()
})
