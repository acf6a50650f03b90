/**
 * A node that has data for a job, and heard neither of the records that named it nor that these are gone.
 *
 * Not here: who did hear of them (depot.test.ts).
 */
import { expect, test } from 'vitest'
import { Depot } from '../../src/data/depot.ts'
import type { DataEffect } from '../../src/data/effects.ts'
import { lingerMs } from '../../src/data/item.ts'
import { type DataId, dataId, type PeerId } from '../../src/ids.ts'

const hour = 3_600_000
const ann = 'ann' as PeerId
const [same, other] = ['same', 'other'].map((name) => dataId(name.padEnd(43, '_'), 1_000)) as [DataId, DataId]
const dropped = (effects: readonly DataEffect[]): DataId[] =>
  effects.flatMap((effect) => (effect.kind === 'drop-data' ? [effect.id] : []))

// Seed 1600203: it was kept, and spoken of each second, until its time was over.
test('who never heard of the records lets go of what was put for them, and keeps what was put by others', () => {
  const nobody = (): PeerId[] => []
  const keeping = { keepersFor: nobody, isAnyFull: () => false, isGone: () => false, situation: () => '' }
  const depot = new Depot({ self: ann, isUp: () => true, peers: nobody, ...keeping }, 1_000_000)
  const put = { isNamed: false, pinMs: 0, bridgeMs: hour, isNew: true, put: 1, copies: 3, at: [] }
  depot.hold(ann, { kind: 'hold', ids: [same, other], ...put }, 10)
  for (const id of [same, other]) depot.arrived(id, 20)
  depot.crossed({ ids: [same, other], puts: ['ann 1', 'ben 1'] }, 30)
  expect(dropped(depot.wake(30 + lingerMs))).toEqual([same])
  expect(dropped(depot.wake(10 + hour))).toEqual([other])
})
