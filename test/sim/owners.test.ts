/**
 * Two owners whose tasks want the same node: neither is behind the other, whichever of them is the node's own.
 *
 * Not here: submitters at one owner (test/tasks/round.test.ts, and the checker `fair`), and what a node asks for (turns.test.ts).
 */
import { expect, test } from 'vitest'
import type { Amount } from '../../src/routing/match.ts'
import { requirementOf } from '../../src/routing/requirement.ts'
import { host, planOf } from './by-hand.ts'
import { type JobPlan, PLAIN_JOB } from './plan.ts'
import { World } from './world.ts'

const gpu: readonly Amount[] = [{ name: 'gpu', amount: 1 }]
/** And something that no task needs. */
const more: readonly Amount[] = [...gpu, { name: 'memory', amount: 8 }]
const onGpu = { requires: requirementOf({ resources: { gpu: 1 } }) }

const startsAt = [2_000, 2_700] as const

/**
 * Whose tasks begin, in order, once the second submitter's are there too; `first` and `second` name the owners of their shards.
 * `loopMs`: how long Ben's takes at most to hear anything.
 */
function beginnings(
  first: string,
  second: string,
  jobs: readonly JobPlan[],
  { resources = gpu, loopMs = 0 } = {}
): string {
  for (let seed = 1; ; seed++) {
    const owners = new Map<string, string>()
    let begun = ''
    const hosts = [
      { ...host('peerLab', 2), resources },
      host('peerAnn', 0),
      { ...host('peerBen', 0), loopMs }
    ]
    const world = new World(seed, {
      plan: { ...planOf(hosts, jobs, 12_000), clients: 2 },
      onNote: () => {},
      onStep: (at, _who, _input, effects) => {
        for (const effect of effects) {
          if (effect.kind !== 'run') continue
          const { header, keepers, inputs } = effect
          owners.set(header.submitter, keepers[0] ?? '')
          if (at >= startsAt[1]) begun += header.submitter.repeat(inputs.indexes.length)
        }
      }
    })
    world.run()
    if (owners.get('a') === first && owners.get('b') === second) return begun
  }
}

const job = (client: 0 | 1, count: number, more: Partial<JobPlan>): JobPlan => ({
  ...PLAIN_JOB,
  at: startsAt[client],
  client,
  submitter: client === 0 ? 'a' : 'b',
  shards: [count],
  copies: { wanted: 1, least: 1 },
  ...more
})
/** Tasks of the first that begin before all of the second have. */
const before = (begun: string): number =>
  [...begun.slice(0, begun.lastIndexOf('b'))].filter((one) => one === 'a').length

test.each([
  ['peerLab', 'peerAnn'],
  ['peerAnn', 'peerBen']
])('long tasks of owners at %s and %s begin in turn', (first, second) => {
  const begun = beginnings(first, second, [job(0, 30, { taskMs: 300 }), job(1, 4, { taskMs: 300 })])
  expect(before(begun)).toBeLessThanOrEqual(6)
})

test.each([
  ['peerLab', 'peerAnn', gpu],
  ['peerAnn', 'peerBen', gpu],
  ['peerLab', 'peerAnn', more],
  ['peerAnn', 'peerBen', more]
])(
  'so do those that need a unit of which there is one, of owners at %s and %s (%#)',
  (first, second, has) => {
    const needs = { taskMs: 300, ...onGpu }
    const begun = beginnings(first, second, [job(0, 12, needs), job(1, 4, needs)], { resources: has })
    expect(before(begun)).toBeLessThanOrEqual(5)
  }
)

test.each([{}, onGpu])('short ones, too (%#)', (needs) => {
  const more = { taskMs: 20, ...needs }
  const begun = beginnings('peerLab', 'peerAnn', [job(0, 200, more), job(1, 10, more)])
  expect(before(begun)).toBeLessThanOrEqual(20)
})

test.each([
  [{}, gpu],
  [onGpu, gpu],
  [onGpu, more]
])('what is more urgent at another owner goes first (%#)', (needs, has) => {
  const jobs = [job(0, 20, { taskMs: 300, ...needs }), job(1, 4, { taskMs: 300, priority: 5, ...needs })]
  const begun = beginnings('peerLab', 'peerAnn', jobs, { resources: has })
  expect(before(begun)).toBeLessThanOrEqual(2)
})

test.each([
  ['peerLab', 300, 1_500],
  ['peerAnn', 1_000, 1_500],
  ['peerAnn', 12_000, 900]
])(
  'an owner that nearly always answers too late has its turns, too, against %s with tasks of %i ms',
  (first, taskMs, loopMs) => {
    const needs = { taskMs, ...onGpu }
    const begun = beginnings(first, 'peerBen', [job(0, 30, needs), job(1, 4, needs)], { loopMs })
    expect(before(begun)).toBeLessThanOrEqual(15)
  }
)
