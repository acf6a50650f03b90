/**
 * What a client's memory makes of news that come in an unusual order.
 *
 * Not here: whole clients (the simulator runs this very session), and handles (job.test.ts).
 */
import { expect, test } from 'vitest'
import { entrySilenceMaxMs } from '../../src/client/hearing.ts'
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

test('an entry that nobody could hear, or that owed nothing, is asked before it is left; one that says nothing is left', () => {
  const session = new Session()
  const left = (now: number): boolean => session.wake(now).some(({ kind }) => kind === 'leave-entry')
  session.attached(0)
  // Nothing was asked of it for a minute.
  let now = 60_000
  session.query('members')
  expect(left(now)).toBe(false)
  // The client computes for longer than an entry may be silent: its answer may be here and unread.
  now += 2 * entrySilenceMaxMs
  expect(left(now)).toBe(false)
  const silentFrom = now
  while (!left(now)) now = session.wakeAt() ?? Number.NaN
  expect(now - silentFrom).toBeGreaterThan(entrySilenceMaxMs / 2)
  expect(now - silentFrom).toBeLessThan(1.5 * entrySilenceMaxMs)
})
