/**
 * In a simulated lab, tasks go where their data is: how much of it moves because tasks need it elsewhere.
 *
 * Not here: the choice itself (test/tasks/locality.test.ts), and real bytes (test/integration/data.test.ts).
 */
import { expect, test } from 'vitest'
import { host, planOf } from './by-hand.ts'
import { CALM, type JobPlan, PLAIN_JOB, type Plan } from './plan.ts'
import { World } from './world.ts'

const job: JobPlan = { ...PLAIN_JOB, at: 2_000, taskMs: 400, shards: [50], data: 10 }

const hosts = ['A', 'B', 'C', 'D', 'E'].map((letter) => host(`peer${letter}`))
const plan = (copies: number): Plan => ({
  ...planOf(hosts, [{ ...job, copies: { wanted: copies, least: copies } }], 12_000),
  weather: CALM
})

function movedShare(copies: number, seed: number): number {
  const world = new World(seed, { plan: plan(copies), onNote: () => {} })
  world.run()
  expect(world.goods.putBytes).toBeGreaterThan(0)
  return world.goods.movedBytes / world.goods.putBytes
}

const seeds = Array.from({ length: 10 }, (_, at) => at + 1)

test('50 tasks over 10 inputs on 5 nodes move hardly anything of what three nodes have', () => {
  const shares = seeds.map((seed) => movedShare(3, seed))
  expect(Math.max(...shares)).toBeLessThan(0.5)
})

test('and less than the inputs once more if each lies on one node only', () => {
  const shares = seeds.map((seed) => movedShare(1, seed))
  expect(Math.max(...shares)).toBeLessThan(1)
})
