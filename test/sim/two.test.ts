/**
 * Two keepers that cannot see each other decide differently, and meet again.
 *
 * Not here: what one of them alone knows (tasks/pair.test.ts). The checkers ask less of jobs that two keep, since each side of
 * a split is a majority to itself; this is what is left of them in the end.
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { valueAt } from '../../src/tasks/batch.ts'
import { host, planOf } from './by-hand.ts'
import { PLAIN_JOB } from './plan.ts'
import { World } from './world.ts'

const tasks = 20
const healsAt = 15_000
const job = { ...PLAIN_JOB, at: 1_000, taskMs: 300, shards: [tasks], copies: { wanted: 2, least: 2 } }
const plan = planOf([host('ann'), host('ben')], [job], healsAt + 15_000, [
  { at: 1_700, act: { kind: 'split', side: ['ben'], lasts: healsAt - 1_700 } }
])

type Kept = Map<number, { by: string; ballot: number; value: string }>

/** What a node keeps of the job, task by task. */
function keptBy(world: World, name: string): Kept {
  const keeper = world.nodes.find(({ id }) => id === (name as PeerId))?.core?.keeper
  const [key] = keeper?.keys() ?? []
  const all = key === undefined ? [] : [...(keeper?.outcomes(key) ?? [])]
  return new Map(
    all
      .filter(([index]) => index < tasks)
      .sort(([a], [b]) => a - b)
      .map(([index, { batch, at, ballot }]) => {
        const value = Buffer.from(valueAt(batch, at)).toString('latin1')
        return [index, { by: batch.node, ballot, value }]
      })
  )
}

test('two keepers that decided differently keep what the higher ballot decided, both of them', () => {
  let apart: Kept[] = []
  const world = new World(1, {
    plan,
    onNote: () => {},
    onStep: (at) => {
      if (apart.length === 0 && at > healsAt - 500) apart = ['ann', 'ben'].map((name) => keptBy(world, name))
    }
  })
  world.run()
  const [ann, ben] = apart as [Kept, Kept]
  const differ = [...ann.keys()].filter((index) => ann.get(index)?.value !== ben.get(index)?.value)
  expect(differ.length).toBeGreaterThan(0)
  const [first, second] = [ann, ben].map((kept) => Math.max(...[...kept.values()].map((one) => one.ballot)))
  expect(first).not.toBe(second)
  const prevailing = (first ?? 0) > (second ?? 0) ? ann : ben
  const values = (kept: Kept): string[] => [...kept.values()].map(({ value }) => value)
  for (const name of ['ann', 'ben']) expect(values(keptBy(world, name))).toEqual(values(prevailing))
  expect(prevailing.size).toBe(tasks)
})
