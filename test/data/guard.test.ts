/**
 * Whom a node asks to hold what it names, and when it lets them go.
 *
 * Not here: what a node that is asked does (depot.test.ts), and meshes under faults (the simulator).
 */
import { expect, test } from 'vitest'
import { Depot } from '../../src/data/depot.ts'
import type { DataEffect, DataSurroundings } from '../../src/data/effects.ts'
import { Guard } from '../../src/data/guard.ts'
import { dataId, type PeerId } from '../../src/ids.ts'

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
  depot.crossed([id], 1_001)
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
