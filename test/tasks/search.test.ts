/**
 * Looking for a job by its id, where one node keeps it and another one knows that it is over.
 *
 * Not here: what the reader makes of the answer (client/session.ts), and real meshes (integration/forgetting.test.ts).
 */
import { expect, test } from 'vitest'
import type { ClientId, JobId, PeerId } from '../../src/ids.ts'
import { shardKey } from '../../src/ids.ts'
import { pack } from '../../src/tasks/batch.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { TaskMessage, TaskMessageOf } from '../../src/tasks/messages.ts'
import { Searches } from '../../src/tasks/search.ts'
import { headerOf } from './header.ts'

const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]
const job = 'job-0001' as JobId
const reader = 'reader' as ClientId
const header = headerOf({ job })
const answerOf = (keeper: Keeper): TaskMessage | undefined => {
  const [answer] = keeper.step(a, { kind: 'find', job })
  return answer?.kind === 'send' ? answer.message : undefined
}

test('a job that one node has forgotten is not read from another that was away then, and that one is told', () => {
  const [keeps, knows] = [new Keeper(b), new Keeper(a)]
  const inputs = pack('', [0], [new Uint8Array(1)])
  const size = { copies: 1, header, first: 0, count: 1, shards: 1, inputs, root: [], needs: [] }
  const record = { key: shardKey(job, 0, 0), ...firstSeating([b]), ...size }
  keeps.step(a, { kind: 'store', record, isRepair: false })
  expect(answerOf(knows)).toEqual({ kind: 'unknown', job })
  knows.step(a, { kind: 'forget', name: job })
  const [found, over] = [answerOf(keeps), answerOf(knows)]
  expect(over).toEqual({ kind: 'forget', name: job })
  const searches = new Searches(0)
  searches.begin(reader, job, [a, b], 0)
  expect(found?.kind === 'found' ? searches.answered(b, found) : found).toEqual([])
  expect(searches.forgotten(job)).toEqual([
    { kind: 'reply', client: reader, message: { kind: 'released', job } },
    { kind: 'send', to: b, message: { kind: 'forget', name: job } }
  ])
  expect(searches.size).toBe(0)
})

const found = (): TaskMessageOf<'found'> => {
  const placement = { key: shardKey(job, 0, 0), keepers: [b], first: 0, count: 1 }
  return { kind: 'found', placement, header, shards: 1 }
}
const absent = { kind: 'reply', client: reader, message: { kind: 'absent', job } }

test('a node that has just started asks those it meets before it says that nobody knows a job', () => {
  const searches = new Searches(5_000)
  expect(searches.begin(reader, job, [a], 100).map(({ to }) => to)).toEqual([a])
  expect(searches.answered(a, { kind: 'unknown', job })).toEqual([])
  expect(searches.wake(4_999)).toEqual([])
  expect(searches.peerUp(b)).toEqual([{ kind: 'send', to: b, message: { kind: 'find', job } }])
  expect(searches.answered(b, found())).toMatchObject([{ message: { kind: 'found', shards: 1 } }])
  // Nobody who knows it came.
  searches.begin(reader, job, [a], 100)
  expect(searches.answered(a, { kind: 'unknown', job })).toEqual([])
  expect(searches.wake(5_000)).toEqual([absent])
})

test('a node that knows whom there is to know says at once that nobody knows a job', () => {
  const searches = new Searches(5_000)
  searches.begin(reader, job, [a], 5_000)
  expect(searches.peerUp(b)).toEqual([])
  expect(searches.answered(a, { kind: 'unknown', job })).toEqual([absent])
})
