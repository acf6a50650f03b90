/**
 * What a client's memory makes of news that come in an unusual order.
 *
 * Not here: whole clients (the simulator runs this very session), and handles (job.test.ts).
 */
import { expect, test } from 'vitest'
import { Session } from '../../src/client/session.ts'
import type { JobId, PeerId } from '../../src/ids.ts'
import { shardKey } from '../../src/ids.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { startIndex } from '../../src/tasks/messages.ts'
import { headerOf } from '../tasks/header.ts'

const job = 'job-0001' as JobId
const header = headerOf({ job, queueTimeoutMs: 100, atMostOnce: true })

test('a shard that was over before anybody said that it may start is accepted, once', () => {
  const session = new Session()
  session.begin(header, { wanted: 3, least: 3 })
  session.add(job, pack('', [0], [new Uint8Array(1)]), true)
  session.attached(0)
  const key = shardKey(job, 0, 0)
  const placement = { key, keepers: ['peerA' as PeerId], first: 0, count: 1 }
  session.message({ kind: 'submitted', job, index: 0, placement, copies: 3 }, 0)
  const ended = encodeOutcome(
    { status: STATUS.error, slot: 0, attempt: 1, elapsedMs: 0, startedAt: 0 },
    new Uint8Array(0)
  )
  const told = [pack('', [0], [ended]), pack('', [startIndex], [new Uint8Array(0)])].map((outcomes) =>
    session.message({ kind: 'results', key, outcomes }, 0).map(({ kind }) => kind)
  )
  expect(told.map((kinds) => kinds.filter((kind) => kind === 'accepted').length)).toEqual([1, 0])
})
