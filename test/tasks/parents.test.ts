/**
 * Shards that a task submitted whose node is lost: their owner asks how that task ended, and cancels them then.
 *
 * Not here: what the task's own engine or node does about them (test/conformance/nested.test.ts), and nodes that are killed
 * (test/integration/nested.test.ts). The owner is real; the task's owner and the nodes are played by the test.
 */
import { expect, test } from 'vitest'
import type { JobId, PeerId, ShardKey } from '../../src/ids.ts'
import { encodeOutcome, pack, STATUS, type Status } from '../../src/tasks/batch.ts'
import { isClosed } from '../../src/tasks/closing.ts'
import type { Forgettable, ShardRecord, TaskMessageOf } from '../../src/tasks/messages.ts'
import { key, nodes, Solo } from './solo.ts'

const [first, second, runs] = nodes(3) as [PeerId, PeerId, PeerId]
const around = 'ijklmnop/2/0' as ShardKey
const minute = 60_000

/** Two tasks that the fourth one of `around` has submitted; the first of them runs at a node. */
function submitted(other: Partial<ShardRecord> = {}): Solo {
  const parent = [{ key: around, keepers: [first, second], index: 3 }]
  const solo = new Solo(2, { depth: 1, parent }, other)
  solo.claim(runs, 1, 0, 10)
  expect(solo.granted(runs)).toHaveLength(1)
  return solo
}

function pass(solo: Solo, from: number, ms: number): void {
  for (let now = from; now <= from + ms; now += 500) solo.at(now)
}

/** Questions to `peer` since the last look. */
function asked(solo: Solo, peer: PeerId): TaskMessageOf<'await'>[] {
  const all = (solo.sent.get(peer) ?? []).filter((one) => one.kind === 'await')
  solo.sent.delete(peer)
  return all
}

/** A task of `around` has ended. */
function hearsEnd(solo: Solo, index: number, now: number, status: Status = STATUS.ok): void {
  const head = { status, slot: 0, attempt: 1, elapsedMs: 5, startedAt: 1_000 }
  const outcomes = pack('', [index], [encodeOutcome(head, new Uint8Array(0))])
  solo.says(first, { kind: 'awaited', key: around, outcomes }, now)
  solo.at(now)
}

const codes = (solo: Solo): string[] => [...solo.ended.values()].map(({ code }) => code)

test('what ends within seconds asks nobody', () => {
  const solo = submitted()
  for (const index of [0, 1]) solo.outcome(runs, index, STATUS.ok, 1, 1_000)
  pass(solo, 1_000, 2 * minute)
  expect(codes(solo)).toEqual(['ok', 'ok'])
  expect([...asked(solo, first), ...asked(solo, second)]).toEqual([])
})

test('what does not is asked about, and again each half minute, until it has ended', () => {
  const solo = submitted()
  pass(solo, 500, minute / 2)
  const [question, ...others] = asked(solo, first)
  expect(question).toMatchObject({ key: around, values: new Uint32Array(0), ends: Uint32Array.of(3) })
  expect(others).toEqual([])
  pass(solo, minute, 2 * minute)
  expect(asked(solo, first).length).toBeGreaterThanOrEqual(3)
  for (const index of [0, 1]) solo.outcome(runs, index, STATUS.ok, 1, 3 * minute)
  asked(solo, first)
  pass(solo, 3 * minute, 2 * minute)
  expect(asked(solo, first)).toEqual([])
})

test.each([STATUS.ok, STATUS.error, STATUS.cancelled])(
  'it is cancelled once its task has an outcome (%i), and what runs of it is ended',
  (status) => {
    const solo = submitted()
    pass(solo, 500, minute)
    solo.sent.delete(runs)
    hearsEnd(solo, 3, minute, status)
    expect(codes(solo)).toEqual(['cancelled', 'cancelled'])
    expect(solo.sent.get(runs)).toContainEqual({ kind: 'revoke', key, indexes: Uint32Array.of(0) })
  }
)

test.each([around, 'ijklmnop'])('it is cancelled once %s is forgotten', (name) => {
  const solo = submitted()
  pass(solo, 500, minute)
  solo.says(first, { kind: 'forget', name: name as Forgettable }, minute)
  solo.at(minute)
  expect(codes(solo)).toEqual(['cancelled', 'cancelled'])
})

test('it goes on while its task does, whatever else has ended there or was forgotten', () => {
  const solo = submitted()
  pass(solo, 500, minute)
  hearsEnd(solo, 2, minute)
  solo.says(first, { kind: 'forget', name: 'ijklmnop/1/0' as ShardKey }, minute)
  solo.says(first, { kind: 'forget', name: 'qrstuvwx' as JobId }, minute)
  pass(solo, minute, 2 * minute)
  expect(codes(solo)).toEqual([])
})

test('while those are away who know how its task ended it goes on, and ends when one is back', () => {
  const solo = submitted()
  solo.lose(first, 100)
  solo.lose(second, 100)
  pass(solo, 500, 20 * minute)
  expect(codes(solo)).toEqual([])
  solo.back(second)
  pass(solo, 21 * minute, minute)
  expect(asked(solo, second).length).toBeGreaterThanOrEqual(1)
  hearsEnd(solo, 3, 23 * minute)
  expect(codes(solo)).toEqual(['cancelled', 'cancelled'])
})

test('one of them that has none of it proves nothing; that all say so for ten minutes does', () => {
  const solo = submitted()
  const disowns = (peers: readonly PeerId[], from: number, ms: number): void => {
    for (let now = from; now <= from + ms; now += 500) {
      solo.at(now)
      for (const peer of peers)
        if (asked(solo, peer).length > 0) solo.says(peer, { kind: 'disowned', key: around }, now)
    }
  }
  disowns([first], 500, 20 * minute)
  expect(codes(solo)).toEqual([])
  disowns([first, second], 20 * minute, 9 * minute)
  expect(codes(solo)).toEqual([])
  disowns([first, second], 29 * minute, 4 * minute)
  expect(codes(solo)).toEqual(['cancelled', 'cancelled'])
})

test('a new owner asks anew', () => {
  const solo = submitted()
  pass(solo, 500, minute)
  solo.restart(minute)
  asked(solo, first)
  pass(solo, minute, minute)
  expect(asked(solo, first).length).toBeGreaterThanOrEqual(1)
  hearsEnd(solo, 3, 2 * minute)
  expect(codes(solo)).toEqual(['cancelled', 'cancelled'])
})

test('a job whose submitter went before it had given all is closed with what there is', () => {
  const solo = submitted({ shards: 0 })
  for (const index of [0, 1]) solo.outcome(runs, index, STATUS.ok, 1, 1_000)
  pass(solo, 1_000, minute)
  const register = () => solo.owner.leads.get(key)?.register
  expect(register()).toSatisfy((one) => one !== undefined && !isClosed(one))
  hearsEnd(solo, 3, minute)
  pass(solo, minute, 1_000)
  expect(codes(solo)).toEqual(['ok', 'ok'])
  expect(solo.keeper.isSettled(key)).toBe(true)
})

test('who waits for other tasks there hears of these, too, whoever asked last', () => {
  // See audience.ts: a node asks once for tasks that wait, and once for tasks around others.
  const solo = new Solo(4)
  const wait = (values: number[], ends: number[]): void =>
    solo.says(
      first,
      { kind: 'await', key, values: Uint32Array.from(values), ends: Uint32Array.from(ends) },
      10
    )
  wait([0], [1])
  wait([], [0, 2])
  solo.claim(runs, 4, 0, 20)
  for (const index of [0, 1, 2, 3]) solo.outcome(runs, index, STATUS.ok, 1, 30, 'value')
  const heard = (solo.sent.get(first) ?? []).flatMap((one) =>
    one.kind === 'awaited' ? [[...one.outcomes.indexes, one.outcomes.body.byteLength]] : []
  )
  expect(heard.map(([index]) => index)).toEqual([0, 1, 2])
  const [value, end] = heard.map(([, bytes]) => bytes) as [number, number]
  expect(value).toBeGreaterThan(end)
})
