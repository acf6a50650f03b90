/**
 * Nodes whose disk has no room for what tasks need or make: where these go, and how they end if nobody has room.
 *
 * Not here: which tasks these are (node/provisions.test.ts), and full disks (integration/disks.test.ts).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { STATUS } from '../../src/tasks/batch.ts'
import { movesMax, restMs } from '../../src/tasks/roomless.ts'
import { nodes, Solo } from './solo.ts'

const failure = (code: string): string => JSON.stringify({ code, name: code, message: 'no', stack: '' })

test('what a node has no room for goes elsewhere, and is held against nobody; that node rests for a while', () => {
  const solo = new Solo(3)
  const [full, other] = nodes(2) as [PeerId, PeerId]
  solo.claim(other, 0, 0, 1)
  solo.claim(full, 2, 0, 1)
  expect(solo.granted(full).flatMap(({ inputs }) => [...inputs.indexes])).toEqual([0, 1])
  for (const task of [0, 1]) solo.outcome(full, task, STATUS.noRoom, 1, 2, failure('SHOAL_DISK'))
  expect(solo.sent.get(full)).toMatchObject([{ kind: 'confirm' }, { kind: 'confirm' }])
  solo.claim(full, 3, 2, 3)
  expect(solo.granted(full)).toEqual([])
  solo.claim(other, 1, 0, 4)
  const [first] = solo.granted(other)
  solo.outcome(other, 0, STATUS.ok, first?.attempt ?? 0, 5)
  expect(solo.ended.get(0)).toMatchObject({ code: 'ok', attempt: 2, earlier: ['1 handed back on node1/3'] })
  // What was never there is granted there later, when it may have room again.
  solo.at(2 + restMs)
  expect(solo.granted(full).flatMap(({ inputs }) => [...inputs.indexes])).toEqual([2])
  expect([...solo.ended.keys()]).toEqual([0])
})

test('where no other node could take it, having no room is how a task ends', () => {
  const solo = new Solo(2)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  solo.claim(b, 0, 0, 1)
  solo.claim(a, 1, 0, 1)
  solo.outcome(a, 0, STATUS.noRoom, 1, 2, failure('SHOAL_DISK'))
  solo.claim(b, 2, 0, 3)
  const grants = solo.granted(b)
  for (const { inputs, attempt } of grants)
    for (const task of inputs.indexes) solo.outcome(b, task, STATUS.noRoom, attempt, 4, failure('SHOAL_DISK'))
  expect([...solo.ended.values()].map(({ code }) => code)).toEqual(['SHOAL_DISK', 'SHOAL_DISK'])
})

test('a task whose result has room nowhere ends, however long its runs take', () => {
  const solo = new Solo(1)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  for (const peer of [a, b]) solo.claim(peer, 100, 0, 1)
  for (let runs = 0; solo.ended.size === 0 && runs < 100; runs++) {
    const peer = runs % 2 === 0 ? b : a
    for (const { attempt } of solo.granted(peer))
      solo.outcome(peer, 0, STATUS.noRoom, attempt, (runs + 1) * 2 * restMs, failure('SHOAL_DISK'))
  }
  expect(solo.ended.get(0)).toMatchObject({ code: 'SHOAL_DISK', attempt: movesMax + 1 })
})
