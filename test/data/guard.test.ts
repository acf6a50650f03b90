/**
 * Whom a node asks to hold what it names, and when it lets them go.
 *
 * Not here: what a node that is asked does (depot.test.ts), and meshes under faults (the simulator).
 */
import { expect, test } from 'vitest'
import { Depot } from '../../src/data/depot.ts'
import type { DataEffect, DataSurroundings } from '../../src/data/effects.ts'
import { Guard } from '../../src/data/guard.ts'
import { type DataId, dataId, type PeerId } from '../../src/ids.ts'

const [self, leaver, third, fourth] = ['self', 'leaver', 'third', 'fourth'] as [
  PeerId,
  PeerId,
  PeerId,
  PeerId
]
const id = dataId('named'.padEnd(43, '_'), 1_000)

/** Where these keep everything, and are the only ones there. */
const viewOf = (keepers: readonly PeerId[]): DataSurroundings => ({
  self,
  isUp: () => true,
  peers: () => keepers,
  keepersFor: () => keepers,
  isAnyFull: () => false,
  isGone: () => false,
  situation: () => keepers.join()
})

const letGo = (effects: readonly DataEffect[]): PeerId[] =>
  effects.flatMap((one) => (one.kind === 'send' && one.message.kind === 'unhold' ? [one.to] : []))

test.each(['has it', 'takes too long'])(
  'what is put by a node that is full stays there until somebody else %s',
  (how) => {
    const view = viewOf([third])
    const depot = new Depot(view, 500)
    const guard = new Guard(view, depot)
    const asked = guard.keep(id, 7, { pinMs: 60_000, bridgeMs: 0 }, 3, 0)
    expect(asked).toMatchObject([{ kind: 'send', to: third, message: { kind: 'hold', ids: [id] } }])
    expect([depot.arrived(id, 1), depot.wake(1_000), guard.wake(1_000)]).toEqual([[], [], []])
    if (how === 'has it')
      expect(guard.held(third, [id], 1_001)).toMatchObject([{ kind: 'data-kept', ask: 7 }])
    else guard.unask(7)
    expect(depot.wake(2_000)).toEqual([{ kind: 'drop-data', id }])
  }
)

test('who is to hold what is put is told where it comes from', () => {
  const view = viewOf([self, third, fourth])
  const guard = new Guard(view, new Depot(view, 1_000_000))
  const told = guard.keep(id, 7, { pinMs: 60_000, bridgeMs: 0 }, 3, 0)
  expect(told).toMatchObject([self, third, fourth].map((to) => ({ to, message: { at: [self] } })))
})

test('who was restarted lets go of what it had asked others for before, also if it did not come to ask them again', () => {
  const keepers = [self]
  const view = { ...viewOf(keepers), isUp: (peer: PeerId) => keepers.includes(peer) }
  const guard = new Guard(view, new Depot(view, 1_000_000))
  guard.name([id], 3, 0)
  keepers.push(third, fourth)
  expect(letGo(guard.unname([id], true, 10))).toEqual([self, third, fourth])
})

test('one that leaves does not wait for others to take what is over', () => {
  const view = viewOf([third])
  const depot = new Depot(view, 1_000_000)
  depot.restored([id], 0)
  const guard = new Guard(view, depot)
  guard.leave()
  const asked = guard.wake(1_000)
  expect(asked).toMatchObject([{ kind: 'send', to: third, message: { kind: 'hold', isNamed: false } }])
  expect(guard.movable(1_000)).toBe(1)
  // That was what others had said who know its jobs.
  depot.crossed({ ids: [id], puts: [] }, 1_001)
  expect(guard.movable(1_002)).toBe(0)
})

test('one that leaves keeps its copy until as many others have one as are wanted', () => {
  const keepers = [self, leaver]
  const view = viewOf(keepers)
  const depot = new Depot(view, 1_000_000)
  depot.arrived(id, 0)
  const guard = new Guard(view, depot)
  guard.name([id], 3, 0)
  guard.held(leaver, [id], 1)
  // It leaves: others are to have it, and at first there are none.
  keepers.splice(1)
  expect(letGo(guard.wake(1_000))).toEqual([])
  keepers.push(third, fourth)
  expect(letGo(guard.wake(2_000))).toEqual([])
  guard.held(third, [id], 2_001)
  expect(letGo(guard.wake(3_000))).toEqual([])
  guard.held(fourth, [id], 3_001)
  expect(letGo(guard.wake(4_000))).toEqual([leaver])
})

test('what others have instead of this node is soon not seen to here any more', () => {
  const keepers = [self, third]
  const view = viewOf(keepers)
  const depot = new Depot(view, 1_000_000)
  const guard = new Guard(view, depot)
  const hour = 3_600_000
  guard.keep(id, 7, { pinMs: hour, bridgeMs: 0 }, 2, 0)
  const said = { isNamed: false, pinMs: hour, bridgeMs: 0, isNew: true, put: 7, copies: 2, at: [self] }
  depot.hold(self, { kind: 'hold', ids: [id], ...said }, 0)
  depot.arrived(id, 1)
  for (const peer of [self, third]) guard.held(peer, [id], 2)
  keepers.splice(0, 2, third, fourth)
  guard.wake(1_000)
  guard.held(fourth, [id], 1_001)
  expect(guard.wake(1_500)).toEqual([{ kind: 'drop-data', id }])
  guard.wake(2_000)
  expect(guard.size).toBe(0)
})

/** Whom these ask to hold something. */
const askedOf = (effects: readonly DataEffect[]): PeerId[] =>
  effects.flatMap((one) => (one.kind === 'send' && one.message.kind === 'hold' ? [one.to] : []))

test('who has no room is passed over, and asked again later where too few have', () => {
  const view = viewOf([leaver, third, fourth])
  const guard = new Guard(view, new Depot(view, 1_000_000))
  expect(askedOf(guard.name([id], 2, 0))).toEqual([leaver, third])
  expect(askedOf(guard.full(leaver, [id], 1))).toEqual([fourth])
  guard.held(third, [id], 2)
  expect(askedOf(guard.full(fourth, [id], 3))).toEqual([])
  expect(askedOf(guard.wake(30_000))).toEqual([])
  expect(askedOf(guard.wake(60_500))).toEqual([leaver, third])
  guard.held(leaver, [id], 60_501)
  expect(askedOf(guard.wake(90_000))).toEqual([])
})

test('what is put is kept by those who have room, and refused once nobody is left who may', () => {
  const view = viewOf([leaver, third, fourth])
  const guard = new Guard(view, new Depot(view, 1_000_000))
  guard.keep(id, 7, { pinMs: 60_000, bridgeMs: 0 }, 3, 0)
  expect([guard.full(leaver, [id], 1), guard.held(third, [id], 2)].flat()).toEqual([])
  expect(guard.full(fourth, [id], 3)).toEqual([{ kind: 'data-kept', ask: 7, copies: 1 }])
  const other = dataId('other'.padEnd(43, '_'), 1_000)
  guard.keep(other, 8, { pinMs: 60_000, bridgeMs: 0 }, 1, 0)
  const answers = [leaver, third, fourth].map((peer) => guard.full(peer, [other], 4))
  expect(answers.map(askedOf)).toEqual([[third], [fourth], []])
  expect(answers[2]).toEqual([{ kind: 'data-refused', ask: 8 }])
})

test('where all are known to be full, what a user puts is refused at once, and what is put for a job waits for room', () => {
  const keepers: PeerId[] = []
  const view = { ...viewOf(keepers), isAnyFull: () => keepers.length === 0 }
  const guard = new Guard(view, new Depot(view, 1_000_000))
  const job = dataId('for a job'.padEnd(43, '_'), 1_000)
  expect(guard.keep(id, 7, { pinMs: 60_000, bridgeMs: 0 }, 1, 0)).toEqual([{ kind: 'data-refused', ask: 7 }])
  expect(guard.keep(job, 8, { pinMs: 0, bridgeMs: 60_000 }, 1, 0)).toEqual([])
  keepers.push(third)
  expect(askedOf(guard.wake(1_000))).toEqual([third])
  // It said that it has some room, which is not enough.
  expect(guard.full(third, [job], 1_001)).toEqual([])
  expect(askedOf(guard.wake(3_500))).toEqual([third])
  expect(guard.held(third, [job], 3_501)).toEqual([{ kind: 'data-kept', ask: 8, copies: 1 }])
})

test('who was asked and is full since goes on to have it, as one node: it comes there', () => {
  let isFull = false
  const keepersFor = (_: string, also: readonly PeerId[] = []): readonly PeerId[] => (isFull ? also : [third])
  const view = { ...viewOf([third]), keepersFor, isAnyFull: () => isFull, situation: String }
  const guard = new Guard(view, new Depot(view, 1_000_000))
  guard.name([id], 3, 0)
  for (const ask of [7, 8]) {
    expect(askedOf(guard.keep(id, ask, { pinMs: 60_000, bridgeMs: 0 }, 3, ask * 1_000))).toEqual([third])
    if (!isFull) {
      isFull = true
      expect(guard.wake(ask * 1_000 + 1)).toEqual([])
    }
    expect(guard.held(third, [id], ask * 1_000 + 2)).toEqual([{ kind: 'data-kept', ask, copies: 1 }])
    guard.wake(ask * 1_000 + 501)
  }
})

/** Ids of some data. */
const many = (count: number): DataId[] =>
  Array.from({ length: count }, (_, n) => dataId(String(n).padStart(43, 'A'), 100))

/** How many are asked for, of each node. */
function held(effects: readonly DataEffect[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const one of effects)
    if (one.kind === 'send' && one.message.kind === 'hold')
      counts[one.to] = (counts[one.to] ?? 0) + one.message.ids.length
  return counts
}

test('what is held as it should be costs nothing until that is to be said again', () => {
  let looks = 0
  const isUp = (): boolean => {
    looks++
    return true
  }
  const view = { ...viewOf([third, fourth]), isUp }
  const guard = new Guard(view, new Depot(view, 1_000_000))
  const ids = many(1_000)
  guard.name(ids, 2, 0)
  for (const peer of [third, fourth]) guard.held(peer, ids, 1)
  guard.wake(1_000)
  looks = 0
  for (let now = 2_000; now < 60_000; now += 500) expect(guard.wake(now)).toEqual([])
  expect(looks).toBe(0)
  expect(held(guard.wake(60_500))).toEqual({ [third]: 1_000, [fourth]: 1_000 })
})

test('much that is to be said at once is said in turn, and none of it waits for ever', () => {
  const view = viewOf([third])
  const guard = new Guard(view, new Depot(view, 1_000_000))
  const ids = many(45_000)
  guard.name(ids, 1, 0)
  // It does not answer: each is due every two seconds, which is more than can be said.
  const told = [2_000, 2_500, 3_000, 3_500, 4_000].map((now) => guard.wake(now))
  expect(told.map((effects) => held(effects)[third])).toEqual(Array.from(told, () => 10_000))
  const names = told
    .flat()
    .flatMap((one) => ('message' in one && 'ids' in one.message ? one.message.ids : []))
  expect(new Set(names).size).toBe(45_000)
})
