/**
 * What an owner makes of runs whose node was away and came back: nothing was ended, so nobody is blamed, and nothing told twice.
 *
 * Not here: nodes that stay away (lead.test.ts).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { STATUS } from '../../src/tasks/batch.ts'
import { key, nodes, Solo } from './solo.ts'

test('a run that was given up and ends well after all is not told as lost beside that, nor is what was begun after it', () => {
  const solo = new Solo(2)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  solo.claim(a, 2, 0, 1)
  solo.lose(a, 2)
  solo.claim(b, 1, 0, 3)
  solo.lose(b, 4)
  solo.back(a)
  solo.outcome(a, 0, STATUS.ok, 1, 5)
  solo.outcome(a, 1, STATUS.ok, 1, 5)
  expect([...solo.ended.values()]).toMatchObject([
    { attempt: 1, earlier: [] },
    { attempt: 1, earlier: [] }
  ])
})

test('a run whose node was away and came back is not held against its task, however often, nor told', () => {
  const solo = new Solo(1)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  const says = { key, attempt: 1, indexes: Uint32Array.of(0) }
  solo.claim(a, 1, 0, 1)
  for (const now of [2, 4, 6, 8]) {
    solo.says(a, { kind: 'begun', ...says }, now)
    solo.lose(a, now)
    solo.back(a)
    solo.says(a, { kind: 'holding', ...says }, now + 1)
  }
  expect(solo.ended.size).toBe(0)
  solo.lose(a, 10)
  solo.claim(b, 1, 0, 11)
  const [grant] = solo.granted(b)
  solo.outcome(b, 0, STATUS.ok, grant?.attempt ?? 0, 12)
  expect(solo.ended.get(0)).toMatchObject({ code: 'ok', earlier: ['1 lost on node1'] })
})

test('nor are runs that others took over meanwhile: each of four nodes is away for a while, and no engine was ended', () => {
  const solo = new Solo(1)
  const other = 'other' as PeerId
  for (const [at, peer] of nodes(4).entries()) {
    const now = at * 10
    solo.claim(peer, 1, 0, now)
    const attempt = solo.granted(peer)[0]?.attempt ?? 0
    expect(attempt).toBe(at + 1)
    solo.says(peer, { kind: 'begun', key, attempt, indexes: Uint32Array.of(0) }, now + 1)
    solo.lose(peer, now + 2)
    solo.claim(other, 1, at, now + 3)
    expect(solo.granted(other)).toMatchObject([{ attempt: attempt + 1 }])
    solo.back(peer)
    solo.says(peer, { kind: 'holding', key, attempt, indexes: Uint32Array.of(0) }, now + 4)
    const back = { key, attempt: attempt + 1, isStarted: false, indexes: Uint32Array.of(0) }
    solo.says(other, { kind: 'handback', ...back }, now + 5)
  }
  expect(solo.ended.size).toBe(0)
})
