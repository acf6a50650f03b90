/**
 * Of the three nodes that keep some work, one goes, and then a second one leaves in good order: the third has all of it by then.
 *
 * Not here: what a node says that leaves too early (test/conformance/churn.test.ts), and which shards it waits for
 * (test/tasks/departure.test.ts).
 */
import { expect, test } from 'vitest'
import type { Millis } from '../../src/machine.ts'
import { host, planOf } from './by-hand.ts'
import type { SimNode } from './node.ts'
import { CALM, type JobPlan, PLAIN_JOB } from './plan.ts'
import { World } from './world.ts'

const troubleMs = 40_000
const lookEveryMs = 25
/** On the way, at most: what a node said before it stopped arrives. */
const jitterMs = 30

const job = (at: number, shards: readonly number[]): JobPlan => ({ ...PLAIN_JOB, at, taskMs: 150, shards })
const jobs = [job(1_000, [30, 20]), job(1_100, [1]), job(1_200, [1]), job(1_300, [10])]
const tasks = jobs.flatMap(({ shards }) => shards).reduce((sum, count) => sum + count, 0)

interface Ending {
  /** When the second one went, and how many results the client had by then. */
  readonly at: Millis
  readonly results: number
  /** Without a committed outcome at the third. */
  readonly unfinished: number
}

/** The first one `goes`; the second one leaves after it, at `leavesAt` or later. */
function ending(seed: number, goes: 'leaves' | 'crashes', leavesAt: Millis): Ending {
  const hosts = [host('ann'), host('ben'), host('cat')]
  const weather = { ...CALM, jitterMs, isOrdered: false, slowDisk: 0.3, slowDiskMs: 200 }
  let ended: Ending | undefined
  let results = 0
  const world = new World(seed, {
    plan: { ...planOf(hosts, jobs, troubleMs), weather },
    onNote: (at, _who, what) => {
      const [word, count] = what.split(' ')
      if (word === 'results' && at < troubleMs) results += Number(count)
    }
  })
  const [ann, ben, cat] = world.nodes as [SimNode, SimNode, SimNode]
  const annsId = ann.id
  const leave = (node: SimNode): void => {
    node.step({ kind: 'leave', runs: 'finish' })
    world.clock.after(3_000, () => node.step({ kind: 'leave', runs: 'give back' }))
    const look = (): void => {
      if (node.core?.leftovers.areOver(node.now) !== true) return world.clock.after(lookEveryMs, look)
      world.clock.after(jitterMs, () => world.acts.crash(node, 'synced', false, undefined))
    }
    look()
  }
  world.clock.after(2_000, () => {
    if (goes === 'leaves') leave(ann)
    else world.acts.crash(ann, 'synced', seed % 2 === 0, undefined)
  })
  const begin = (): void => {
    // One that is silent is missed by and by.
    if (ben.core?.membership.isUp(annsId) === true) return world.clock.after(lookEveryMs, begin)
    leave(ben)
  }
  world.clock.after(leavesAt, begin)
  const wait = (): void => {
    if (ann.isRunning || ben.isRunning) return world.clock.after(lookEveryMs, wait)
    const at = world.clock.now
    // What was on its way has arrived by then.
    world.clock.after(5_000, () => {
      const leads = [...(cat.core?.owner.leads.values() ?? [])]
      expect(leads.map(({ key }) => key).toSorted()).toEqual(cat.core?.keeper.keys().toSorted())
      ended = { at, results, unfinished: cat.core?.owner.unfinished ?? Number.NaN }
    })
  }
  world.clock.after(leavesAt, wait)
  world.run()
  if (ended === undefined) throw new Error(`the second one never left (seed ${seed})`)
  return ended
}

const times = { 'in the middle of it': 2_500, 'when it is over': 20_000 }

for (const goes of ['leaves', 'crashes'] as const) {
  for (const [when, leavesAt] of Object.entries(times)) {
    test(`one of three ${goes}, and a second one leaves ${when}: the third has every outcome, and can tell it`, () => {
      for (let seed = 1; seed <= 10; seed++) {
        const { at, results, unfinished } = ending(seed, goes, leavesAt)
        expect({ seed, results, unfinished }).toEqual({ seed, results: tasks, unfinished: 0 })
        expect(at).toBeLessThan(troubleMs - 5_000)
      }
    })
  }
}
