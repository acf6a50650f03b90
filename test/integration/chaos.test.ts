/**
 * The short form of `npm run chaos`: kills, stops, resets and two power cuts on three nodes while clients work.
 *
 * Not here: the long form (test/chaos), which is what to run after a change of the protocol or of the transport.
 * The seed fixes what happens to whom; what that meets is up to the machine, so two runs are alike and never the same.
 */
import { expect, test } from 'vitest'
import { runChaos } from '../chaos/run.ts'

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
})
