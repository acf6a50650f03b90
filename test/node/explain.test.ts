/**
 * What is said of a task that waits for nodes that take no work now.
 *
 * Not here: what nodes lack (test/conformance/machines.test.ts), a real owner who comes back (test/integration/manners.test.ts).
 */
import { expect, test } from 'vitest'
import { explanationText } from '../../bin/commands/explain.ts'
import type { PeerId } from '../../src/ids.ts'
import { explanation, type TaskReport } from '../../src/node/explain.ts'

const traits = (peer: string) => ({ peer: peer as PeerId, slots: 2, labels: [], resources: [], sources: [] })
const idle = {
  slots: 2,
  running: 0,
  queued: 0,
  free: [],
  holds: undefined,
  kept: undefined,
  owned: undefined
}
const waiting = {
  kept: { requires: '', keepers: ['ada'], isSettled: false },
  owned: {
    state: 'waiting',
    attempt: 1,
    losses: 0,
    failures: 0,
    holder: undefined,
    before: 0,
    waitsFor: [],
    follows: undefined,
    isReady: true
  }
} as const
const job = 'job'
const explain = (...reports: object[]) => {
  const full = reports.map((one, at): TaskReport => ({ node: ['ada', 'ben'][at] as PeerId, ...idle, ...one }))
  return explanation(
    `${job}:0`,
    full,
    full.map(({ node }) => traits(node)),
    0
  )
}

test('that no node takes work now, and why, when its owner uses the machine and it is outside its hours', () => {
  const found = explain({ ...waiting, unavailable: 'in-use' }, { unavailable: 'outside-hours' })
  expect(found.reason).toBe(
    '2 of 2 nodes could run it, but none takes work now: paused, as its machine is in use; outside its hours'
  )
  expect(found.nodes.map(({ unavailable }) => unavailable)).toEqual(['in-use', 'outside-hours'])
  expect(explanationText(found).split('\n').slice(-3, -1)).toEqual([
    'ada       2        0       0  paused, as its machine is in use',
    'ben       2        0       0  outside its hours'
  ])
})

test('that one of two leaves, and that the other is busy', () => {
  const found = explain({ ...waiting, unavailable: 'leaving' }, { running: 2 })
  expect(found.reason).toBe(
    '2 of 2 nodes could run it, of which 1 takes no work now; all that it needs is in use there, and 0 tasks are before it'
  )
  expect(explanationText(found)).toContain('leaves the mesh')
  for (const unavailable of ['nonsense of another version', ['in-use'], { toString: 5 }])
    expect(explain({ ...waiting, unavailable }).reason).toBe(
      '1 of 1 nodes could run it, and 0 tasks are before it'
    )
})

test('that a task stands still where it was begun', () => {
  const found = explain({
    ...waiting,
    owned: { ...waiting.owned, state: 'granted' },
    holds: 'running',
    unavailable: 'in-use'
  })
  expect(found.reason).toBe('it runs on ada (paused, as its machine is in use)')
  expect(explanationText(found)).toContain('it is running here (paused, as its machine is in use)')
})
