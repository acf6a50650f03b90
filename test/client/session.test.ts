/**
 * What a client's memory makes of news that come in an unusual order.
 *
 * Not here: whole clients (the simulator runs this very session), and handles (job.test.ts).
 */
import { expect, test } from 'vitest'
import { entrySilenceMaxMs } from '../../src/client/hearing.ts'
import { epochsPerAttempt } from '../../src/client/nest.ts'
import { Session } from '../../src/client/session.ts'
import type { JobId, PeerId } from '../../src/ids.ts'
import { shardKey } from '../../src/ids.ts'
import { type Batch, encodeOutcome, pack, STATUS, type Status } from '../../src/tasks/batch.ts'
import { encodeClosed, encodeCut } from '../../src/tasks/closing.ts'
import { closedIndex, encodePlacement, placementBase, startIndex } from '../../src/tasks/messages.ts'
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

test('an entry that is busy uses up no epoch: a job within a task has few of them', () => {
  const session = new Session()
  const epochs: number[] = []
  const note = (effects: ReturnType<Session['wake']>): void => {
    for (const effect of effects)
      if (effect.kind === 'send' && effect.message.kind === 'submit') epochs.push(effect.message.epoch)
  }
  session.attached(0)
  session.begin(header, { wanted: 3, least: 3 }, undefined, { epoch: epochsPerAttempt })
  note(session.add(job, pack('', [0], [new Uint8Array(1)]), true))
  const refusal = { kind: 'refused', job, index: 0, message: '' } as const
  for (let now = 200; now <= 10_000; now += 200) {
    session.message({ ...refusal, code: 'SHOAL_BUSY' }, now - 200)
    note(session.wake(now))
  }
  expect(epochs.length).toBeGreaterThan(2 * epochsPerAttempt)
  expect(new Set(epochs)).toEqual(new Set([epochsPerAttempt]))
  // Under what another refusal came for, something may have been placed.
  session.message({ ...refusal, code: 'SHOAL_NO_KEEPERS' }, 10_000)
  note(session.wake(10_200))
  expect(epochs.at(-1)).toBe(epochsPerAttempt + 1)
})

test('a job that another attempt of its task submitted anew is let go, and its entry owes nothing for it', () => {
  const session = new Session()
  session.attached(0)
  session.begin(header, { wanted: 3, least: 3 })
  session.add(job, pack('', [0], [new Uint8Array(1)]), true)
  expect(session.message({ kind: 'superseded', job }, 1)).toEqual([{ kind: 'absent', job }])
  expect(session.wakeAt()).toBeUndefined()
})

test('a job that another attempt of its task has closed is let go, and takes no more tasks', () => {
  const session = new Session()
  session.attached(0)
  session.begin(headerOf({ job }), { wanted: 2, least: 2 })
  session.add(job, pack('', [0], [new Uint8Array(1)]), false)
  const key = shardKey(job, 0, 0)
  const placement = { key, keepers: ['peerA' as PeerId], first: 0, count: 1 }
  session.message({ kind: 'submitted', job, index: 0, placement, copies: 2 }, 0)
  const outcomes = pack('', [closedIndex], [encodeClosed(3)])
  const told = session.message({ kind: 'results', key, outcomes }, 1)
  expect(told).toContainEqual({ kind: 'absent', job })
  expect(session.add(job, pack('', [0], [new Uint8Array(1)]), true)).toEqual([])
})

test('what is to be cancelled of a job is said when its shard is accepted, and again to each entry, until it has ended', () => {
  const session = new Session()
  const told = (effects: ReturnType<Session['attached']>): unknown[] =>
    effects.flatMap((one) =>
      one.kind === 'send' && one.message.kind === 'cancel-tasks'
        ? [[one.message.placement.first, ...one.message.indexes]]
        : []
    )
  const shardAt = (index: number) => ({
    key: shardKey(job, index, 0),
    keepers: ['peerA' as PeerId],
    first: 2 * index,
    count: 2
  })
  const accept = (index: number) =>
    session.message({ kind: 'submitted', job, index, placement: shardAt(index), copies: 3 }, 0)
  session.begin(headerOf({ job }), { wanted: 3, least: 3 })
  const inputs = pack('', [0, 1], [new Uint8Array(1), new Uint8Array(1)])
  session.attached(0)
  session.add(job, inputs, false)
  session.add(job, inputs, false)
  expect([0, 3, 5].map((task) => told(session.cancelTask(job, task)))).toEqual([[], [], []])
  expect([told(accept(0)), told(accept(1))]).toEqual([[[0, 0]], [[2, 1]]])
  // Of an input that was not there yet.
  session.add(job, inputs, true)
  expect(told(accept(2))).toEqual([[4, 1]])
  session.detached()
  expect(told(session.attached(1))).toEqual([
    [0, 0],
    [2, 1],
    [4, 1]
  ])
  const header = { status: STATUS.cancelled, slot: 0, attempt: 1, elapsedMs: 0, startedAt: 0 }
  const outcomes = pack('', [0], [encodeOutcome(header, new Uint8Array(0))])
  session.message({ kind: 'results', key: shardKey(job, 0, 0), outcomes }, 1)
  session.detached()
  expect(told(session.attached(2))).toEqual([
    [2, 1],
    [4, 1]
  ])
  expect(told(session.cancelTask(job, 4))).toEqual([[4, 1, 0]])
})

test('that a job is closed, and that a shard may start, is said again until the registers say it: one of two keepers may lose it', () => {
  const session = new Session()
  const said = (effects: ReturnType<Session['wake']>): string[] =>
    effects.flatMap((one) => (one.kind === 'send' ? [one.message.kind] : []))
  session.attached(0)
  session.begin(header, { wanted: 2, least: 2 })
  session.add(job, pack('', [0], [new Uint8Array(1)]), false)
  const key = shardKey(job, 0, 0)
  const placement = { key, keepers: ['peerA', 'peerB'] as PeerId[], first: 0, count: 1 }
  expect(said(session.message({ kind: 'submitted', job, index: 0, placement, copies: 2 }, 0))).toEqual([
    'start'
  ])
  expect(said(session.close(job))).toEqual(['close'])
  const during = (from: number, ms: number): string[] => {
    const all: string[] = []
    for (let now = from; now < from + ms; now += 500) all.push(...said(session.wake(now)))
    return all.filter((kind) => kind !== 'query')
  }
  expect(during(0, 4_500)).toEqual([])
  expect(during(4_500, 5_000)).toEqual(['close', 'start'])
  const hear = (index: number, value: Uint8Array) =>
    session.message({ kind: 'results', key, outcomes: pack('', [index], [value]) }, 9_500)
  expect(hear(startIndex, new Uint8Array(0))).not.toContainEqual({ kind: 'closed', job })
  expect(during(9_500, 5_000)).toEqual(['close'])
  expect(hear(closedIndex, encodeClosed(1))).toContainEqual({ kind: 'closed', job })
  expect(during(14_500, 12_000)).toEqual([])
})

const outcome = (status: Status) =>
  encodeOutcome({ status, slot: 0, attempt: 1, elapsedMs: 0, startedAt: 0 }, new Uint8Array(0))
const place = (index: number) => ({
  key: shardKey(job, index, 0),
  keepers: ['peerA' as PeerId],
  first: 2 * index,
  count: 2
})
const pair = pack('', [0, 1], [new Uint8Array(1), new Uint8Array(1)])
/** The job's register says: so many shards, without these. */
const cutAt = (...named: number[]) => {
  const batch = pack(
    '',
    named.map((index) => placementBase + index),
    named.map(() => new Uint8Array(0))
  )
  const committed = new Map(named.map((index, at) => [placementBase + index, { ballot: 0, batch, at }]))
  return pack('', [closedIndex], [encodeCut({ committed })])
}

test('who cancels the job of another, which may be gone, ends it with what it has, and what it does not have counts as cancelled', () => {
  const session = new Session()
  session.attached(0)
  session.follow(job)
  const close = { kind: 'send', message: { kind: 'close', root: place(0), shards: 0 } }
  const results = (index: number, outcomes: Batch) =>
    session.message({ kind: 'results', key: shardKey(job, index, 0), outcomes }, 1)
  const ended = pack('', [0, 1], [outcome(STATUS.ok), outcome(STATUS.cancelled)])
  session.message({ kind: 'found', placement: place(0), header, shards: 0 }, 0)
  // Also if all that is known of it has ended.
  results(0, ended)
  expect(session.cancel(job)).toContainEqual(close)
  session.detached()
  expect(session.attached(1)).toContainEqual(close)
  const named = pack(
    '',
    [1, 2].map((at) => placementBase + 2 * at),
    [2, 4].map((at) => encodePlacement(place(at)))
  )
  results(0, named)
  results(2, ended)
  results(0, cutAt(2, 4))
  expect(results(4, ended).at(-1)).toEqual({
    kind: 'complete',
    job,
    tasks: 10,
    missing: [
      { first: 2, count: 2 },
      { first: 6, count: 2 }
    ]
  })
})

test('a submitter hears that others cancelled its job, gives no more inputs, and what was on its way is cancelled', () => {
  const session = new Session()
  session.attached(0)
  session.begin(headerOf({ job }), { wanted: 3, least: 3 })
  session.add(job, pair, false)
  const submitted = (index: number) =>
    session.message({ kind: 'submitted', job, index, placement: place(index), copies: 3 }, 0)
  submitted(0)
  for (let i = 0; i < 3; i++) session.add(job, pair, false)
  submitted(2)
  const results = (index: number, outcomes: Batch) =>
    session.message({ kind: 'results', key: shardKey(job, index, 0), outcomes }, 1)
  expect(results(0, cutAt(2))).toEqual([{ kind: 'cancelled', job }])
  expect(session.add(job, pair, false)).toEqual([])
  for (const index of [1, 3])
    expect(submitted(index)).toContainEqual({
      kind: 'send',
      message: { kind: 'cancel', placement: place(index) }
    })
  const ended = pack('', [0, 1], [outcome(STATUS.cancelled), outcome(STATUS.cancelled)])
  results(0, ended)
  const complete = { kind: 'complete', job, tasks: 6, missing: [{ first: 2, count: 2 }] }
  expect(results(2, ended)).toContainEqual(complete)
  expect(session.wakeAt()).toBeUndefined()
})

test('a submitter whose job one of two keepers had closed alone hears that it was cancelled at the other one, however often', () => {
  const session = new Session()
  session.attached(0)
  session.begin(headerOf({ job }), { wanted: 2, least: 1 })
  session.add(job, pair, false)
  const submitted = (index: number) =>
    session.message({ kind: 'submitted', job, index, placement: place(index), copies: 1 }, 0)
  submitted(0)
  session.add(job, pair, true)
  const results = (outcomes: Batch) =>
    session.message({ kind: 'results', key: shardKey(job, 0, 0), outcomes }, 1)
  expect(results(pack('', [closedIndex], [encodeClosed(2)]))).toEqual([{ kind: 'closed', job }])
  for (let times = 0; times < 2; times++) expect(results(cutAt())).toEqual([{ kind: 'cancelled', job }])
  expect(submitted(1)).toContainEqual({ kind: 'send', message: { kind: 'cancel', placement: place(1) } })
  const ended = pack('', [0, 1], [outcome(STATUS.ok), outcome(STATUS.ok)])
  expect(results(ended).at(-1)).toEqual({ kind: 'complete', job, tasks: 2, missing: [] })
})
