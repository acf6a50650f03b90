/**
 * A node that comes back long after the others have forgotten what it kept and ran.
 *
 * Not here: short absences (every seed has some), and the disk of such a node in real life (integration/forgetting.test.ts).
 */
import { expect, test } from 'vitest'
import { host, planOf } from './by-hand.ts'
import { type Act, PLAIN_JOB } from './plan.ts'
import { World } from './world.ts'

const leavesAt = 1_700
/** Longer than any patience that a node has. */
const away = 660_000
const backAt = leavesAt + away

test('a node that kept and ran a job, and comes back long after it was released, runs nothing of it again and keeps nothing', () => {
  const hosts = ['ann', 'ben', 'cat', 'dan'].map((name) => host(name))
  const job = { ...PLAIN_JOB, at: 1_000, taskMs: 300, shards: [30], releaseAfter: 1_000 }
  const crash = (pick: string, backAfter: number): { at: number; act: Act } => ({
    at: leavesAt,
    act: { kind: 'crash', pick, disk: 'synced', isSilent: false, backAfter }
  })
  const plan = planOf(hosts, [job], backAt + 60_000, [crash('ben', away), crash('cat', 1_000)])
  const before = { runs: 0, keeps: 0 }
  const after = { runs: 0, keeps: 0 }
  let [tasksLeft, keptByOthers] = [Number.NaN, Number.NaN]
  const world = new World(1, {
    plan,
    onNote: () => {},
    onStep: (at, who, input, effects) => {
      const core = world.nodes.find(({ id }) => id === who)?.core
      if (at < backAt) {
        tasksLeft = world.nodes.reduce((sum, node) => sum + (node.core?.owner.unfinished ?? 0), 0)
        keptByOthers = world.nodes.reduce((sum, node) => sum + (node.core?.keeper.keys().length ?? 0), 0)
      }
      if (who !== 'ben') return
      const about = at < backAt ? before : after
      about.runs += effects.filter(({ kind }) => kind === 'run').length
      if (input.kind === 'restored' && at >= backAt) before.keeps = core?.keeper.keys().length ?? 0
      after.keeps = core?.keeper.keys().length ?? 0
    }
  })
  world.run()
  expect(before.runs).toBeGreaterThan(0)
  expect(before.keeps).toBe(1)
  expect([tasksLeft, keptByOthers]).toEqual([0, 0])
  expect(after).toEqual({ runs: 0, keeps: 0 })
})

test('who alone kept a job, and was away when it was released, forgets it when it is back', () => {
  for (let seed = 1; ; seed++) {
    const copies = { wanted: 1, least: 1 }
    const job = { ...PLAIN_JOB, at: 1_000, taskMs: 10, shards: [3], copies, releaseAfter: 3_000 }
    const act: Act = { kind: 'crash', pick: 'ben', disk: 'synced', isSilent: false, backAfter: 10_000 }
    const hosts = ['ann', 'ben', 'cat'].map((name) => host(name))
    let [kept, keeps] = [0, 0]
    const world = new World(seed, {
      plan: planOf(hosts, [job], 30_000, [{ at: 3_000, act }]),
      onNote: () => {},
      onStep: (at) => {
        keeps = world.nodes.find(({ id }) => id === 'ben')?.core?.keeper.size ?? keeps
        if (at < 3_000) kept = keeps
      }
    })
    world.run()
    // In other worlds it is another node that keeps it, to which the client is attached.
    if (kept === 0) continue
    expect([kept, keeps]).toEqual([1, 0])
    return
  }
})
