/**
 * The short form of `npm run chaos`: kills, stops, resets and two power cuts on three nodes while clients work.
 *
 * Not here: the long form (test/chaos), which is what to run after a change of the protocol or of the transport.
 * The seed fixes what happens to whom; what that meets is up to the machine, so two runs are alike and never the same.
 */
import { expect, test } from 'vitest'
import { type ChaosSummary, faultsOf, runChaos } from '../chaos/run.ts'

test('nothing is lost, wrong, delivered twice or stuck while nodes are killed, stopped and cut off', {
  timeout: 120_000
}, async () => {
  const said: string[] = []
  const summary = await runChaos({ seconds: 6, nodes: 3, seed: 7, say: (text) => said.push(text) })
  expect(summary, said.join('\n')).toMatchObject({
    powerCuts: 2,
    lost: 0,
    wrong: 0,
    duplicatesDelivered: 0,
    stuck: 0
  })
  expect(summary.tasks, said.join('\n')).toBeGreaterThan(50)
  // Otherwise it would show nothing.
  for (const kind of ['kills', 'pauses', 'cuts'] as const)
    expect(summary[kind], said.join('\n')).toBeGreaterThan(0)
})

test('a run with a loss, or whose killed nodes held up their work for too long, ends with what is wrong', () => {
  const good: ChaosSummary = {
    jobs: 9,
    tasks: 90,
    kills: 20,
    pauses: 3,
    cuts: 2,
    powerCuts: 2,
    lost: 0,
    wrong: 0,
    duplicatesDelivered: 0,
    stuck: 0,
    measured: 10,
    p50RecoveryMs: 999,
    p99RecoveryMs: 2_999
  }
  expect(faultsOf(good)).toEqual([])
  expect(faultsOf({ ...good, p50RecoveryMs: 1_000 })).toEqual([
    'work of killed nodes stood still for 1000 ms (p50 of 10); under 1000 ms is promised'
  ])
  expect(faultsOf({ ...good, p99RecoveryMs: 3_000 })).toHaveLength(1)
  // Too few for a percentile.
  expect(faultsOf({ ...good, measured: 9, p50RecoveryMs: 4_000, p99RecoveryMs: 4_000 })).toEqual([])
  expect(faultsOf({ ...good, measured: 0, p50RecoveryMs: null, p99RecoveryMs: null })).toEqual([])
  for (const kind of ['lost', 'wrong', 'duplicatesDelivered', 'stuck'] as const)
    expect(faultsOf({ ...good, [kind]: 1 })).toEqual([`${kind}: 1`])
})
