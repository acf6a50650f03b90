/**
 * Whom a node asks about what it found on its disk, and how often.
 *
 * Not here: what they say, and what follows (depot.test.ts).
 */
import { expect, test } from 'vitest'
import { Depot } from '../../src/data/depot.ts'
import { idsMax } from '../../src/data/messages.ts'
import { Strays } from '../../src/data/strays.ts'
import { dataId, type PeerId } from '../../src/ids.ts'

const [self, ann, ben] = ['self', 'ann', 'ben'] as [PeerId, PeerId, PeerId]
const named = (name: string | number) => dataId(String(name).padEnd(43, '_'), 1)

test('about what is found those are asked who should have it, ever more rarely, and again at once when records let go of it', () => {
  const up = new Set([self])
  const view = {
    self,
    isUp: (peer: PeerId) => up.has(peer),
    peers: () => [ann, ben],
    keepersFor: () => [ann, self, ben],
    isAnyFull: () => false,
    isGone: () => false,
    situation: () => ''
  }
  const depot = new Depot(view, 1_000_000)
  const strays = new Strays(view, depot)
  const id = named('found')
  depot.restored([id], 0)
  const asked = (now: number): PeerId[] =>
    strays.wake(now).flatMap((one) => {
      expect(one).toMatchObject({ kind: 'send', message: { kind: 'stray', ids: [id] } })
      return one.kind === 'send' ? [one.to] : []
    })
  // Nobody is there yet.
  expect(asked(1_000)).toEqual([])
  up.add(ann).add(ben)
  const times = Array.from({ length: 60 }, (_, at) => 2_000 * (2 + at)).filter(
    (now) => asked(now).length === 2
  )
  expect(times).toEqual([4_000, 8_000, 16_000, 32_000, 64_000])
  const named1 = { isNamed: true, pinMs: 0, bridgeMs: 0, isNew: false, put: 0, copies: 3, at: [] }
  depot.hold(ann, { kind: 'hold', ids: [id], ...named1 }, 130_000)
  expect(asked(200_000)).toEqual([])
  depot.unhold(ann, [id], true, 210_000)
  expect(asked(210_001)).toEqual([ann, ben])
  depot.hold(ann, { kind: 'hold', ids: [id], ...named1, isNamed: false, pinMs: 3_600_000 }, 211_000)
  expect(asked(220_000)).toEqual([])
})

test('of much that is found, so much is asked about at a time as goes into a message', () => {
  const view = {
    self,
    isUp: () => true,
    peers: () => [ann],
    keepersFor: () => [ann],
    isAnyFull: () => false,
    isGone: () => false,
    situation: () => ''
  }
  const depot = new Depot(view, 1_000_000)
  const strays = new Strays(view, depot)
  depot.restored(
    Array.from({ length: idsMax + 1 }, (_, at) => named(at)),
    0
  )
  const sizes = [0, 2_000].map((now) =>
    strays.wake(now).map((one) => one.kind === 'send' && one.message.ids.length)
  )
  expect(sizes).toEqual([[idsMax], [1]])
})
