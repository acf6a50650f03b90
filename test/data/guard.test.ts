/**
 * Whom a node asks to hold what it names, and when it lets them go.
 *
 * Not here: what a node that is asked does (depot.test.ts), and meshes under faults (the simulator).
 */
import { expect, test } from 'vitest'
import { Depot, restMs } from '../../src/data/depot.ts'
import type { DataEffect } from '../../src/data/effects.ts'
import { Guard } from '../../src/data/guard.ts'
import { dataId, type PeerId } from '../../src/ids.ts'

const [self, leaver, third, fourth] = ['self', 'leaver', 'third', 'fourth'] as [
  PeerId,
  PeerId,
  PeerId,
  PeerId
]
const id = dataId('named'.padEnd(43, '_'), 1_000)

const letGo = (effects: readonly DataEffect[]): PeerId[] =>
  effects.flatMap((one) => (one.kind === 'send' && one.message.kind === 'unhold' ? [one.to] : []))

/** Who is asked to hold it: at once, and when there is time. */
function asked(effects: readonly DataEffect[]): { atOnce: PeerId[]; calmly: PeerId[] } {
  const holds = effects.flatMap((one) =>
    one.kind === 'send' && one.message.kind === 'hold' ? [{ to: one.to, isCalm: one.message.isCalm }] : []
  )
  const of = (calm: boolean): PeerId[] => holds.filter(({ isCalm }) => isCalm === calm).map(({ to }) => to)
  return { atOnce: of(false), calmly: of(true) }
}

/** Of a node that is the last of three in the order of this data, and has it. */
function guardOfThree(isDown: ReadonlySet<PeerId> = new Set()): Guard {
  const keepers = [third, fourth, self]
  const view = {
    self,
    isUp: (peer: PeerId) => !isDown.has(peer),
    peers: () => keepers,
    keepersFor: () => keepers,
    isGone: () => false,
    situation: () => keepers.join()
  }
  const depot = new Depot(view, 1_000_000)
  depot.arrived(id, 0)
  const said = { isNamed: false, pinMs: 60_000, isNew: true, copies: 3, at: [], isCalm: false }
  depot.hold(self, { kind: 'hold', ids: [id], ...said }, 0)
  return new Guard(view, depot)
}

test('what is put is asked of a majority at once, which is where it lies and one more', () => {
  expect(asked(guardOfThree().keep(id, 1, 60_000, 3, 0))).toEqual({ atOnce: [third, self], calmly: [fourth] })
  const others = asked(guardOfThree(new Set([third])).keep(id, 1, 60_000, 3, 0))
  expect(others).toEqual({ atOnce: [fourth, self], calmly: [] })
})

test('when the majority does not have it soon, what is put is asked of all at once', () => {
  const guard = guardOfThree()
  guard.keep(id, 1, 60_000, 3, 0)
  guard.held(self, [id], 1)
  expect(asked(guard.wake(1_500))).toEqual({ atOnce: [], calmly: [] })
  expect(asked(guard.wake(2_500))).toEqual({ atOnce: [third, fourth], calmly: [] })
})

test('once a majority has it, the others are reminded calmly, and at last without delay', () => {
  const guard = guardOfThree()
  guard.keep(id, 1, 60_000, 3, 0)
  const effects = [...guard.held(self, [id], 1), ...guard.held(third, [id], 1)]
  expect(effects).toEqual([{ kind: 'data-kept', ask: 1, copies: 2 }])
  guard.name([id], 3, 2)
  expect(asked(guard.wake(2_500))).toEqual({ atOnce: [], calmly: [fourth] })
  expect(asked(guard.wake(restMs + 2_500))).toEqual({ atOnce: [fourth], calmly: [] })
})

test('one that leaves leaves no copy for later', () => {
  const guard = guardOfThree()
  guard.keep(id, 1, 60_000, 3, 0)
  for (const peer of [self, third]) guard.held(peer, [id], 1)
  guard.leave()
  expect(asked(guard.wake(600))).toEqual({ atOnce: [fourth], calmly: [] })
})

test('one that leaves keeps its copy until as many others have one as are wanted', () => {
  const keepers = [self, leaver]
  const view = {
    self,
    isUp: () => true,
    peers: () => keepers,
    keepersFor: () => keepers,
    isGone: () => false,
    situation: () => keepers.join()
  }
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
