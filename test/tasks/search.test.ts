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
import type { TaskMessage } from '../../src/tasks/messages.ts'
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
  const searches = new Searches()
  searches.begin(reader, job, [a, b], 0)
  expect(found?.kind === 'found' ? searches.answered(b, found) : found).toEqual([])
  expect(searches.forgotten(job)).toEqual([
    { kind: 'reply', client: reader, message: { kind: 'released', job } },
    { kind: 'send', to: b, message: { kind: 'forget', name: job } }
  ])
  expect(searches.size).toBe(0)
})
