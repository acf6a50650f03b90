/**
 * A task that follows another, to an engine that was away when that was heard, or is another one since.
 *
 * Not here: whole graphs (the simulator). The owner is real; the other shard's owner and the nodes are played by the test.
 */
import { expect, test } from 'vitest'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import type { Traits } from '../../src/routing/match.ts'
import { requirementOf } from '../../src/routing/requirement.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { startIndex } from '../../src/tasks/messages.ts'
import { encodeNeeds } from '../../src/tasks/needs.ts'
import { key, nodes, reader, Solo } from './solo.ts'

const [far, near] = nodes(2) as [PeerId, PeerId]
const before = 'ijklmnop/0/0' as ShardKey
const needsGpu = requirementOf({ labels: { gpu: true } })

const nodeOf = (peer: PeerId, labels: Traits['labels']): Traits => ({
  peer,
  slots: 1,
  labels,
  resources: [],
  sources: []
})

/** What it follows has ended at `far`. */
function hearsEnd(solo: Solo, now: number): void {
  const head = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 5, startedAt: 1_000 } as const
  const ended = encodeOutcome(head, new Uint8Array(0))
  solo.says(near, { kind: 'awaited', key: before, outcomes: pack(far, [0], [ended]) }, now)
  solo.at(now)
}

/** It was to go to `far`, which is another one when it is back, and so it went to `near`. */
function elsewhere(atMostOnce: boolean): Solo {
  const solo = started([['gpu', 'k80']], [near], atMostOnce)
  solo.lose(far, 40)
  solo.back(far)
  solo.members.set(far, nodeOf(far, []))
  solo.at(1_000)
  expect(solo.granted(near)).toHaveLength(1)
  return solo
}

/** There is a new owner, which says so to `near`. */
function leads(solo: Solo, from: number): number {
  solo.restart(from)
  let now = from
  for (; solo.sent.get(near)?.some(({ kind }) => kind === 'leading') !== true; now += 10) solo.at(now)
  return now
}

/** What it follows ran at `far`, which is away; `labels`: what that has when it is back, and the shard may start. */
function started(labels: Traits['labels'], asking: readonly PeerId[] = [far, near], atMostOnce = true): Solo {
  const shards = [{ key: before, keepers: [near], first: 0, count: 1 }]
  const terms = { all: true, success: true, failure: false }
  const words = encodeNeeds([{ task: 0, kind: 'follow', ...terms, of: [[0, 0]] }])
  const solo = new Solo(1, { atMostOnce, requires: needsGpu }, { needs: [{ shards, words }] })
  solo.members.set(near, nodeOf(near, [['gpu', 'a100']]))
  solo.at(0)
  hearsEnd(solo, 10)
  solo.members.set(far, nodeOf(far, labels))
  const start = pack('', [startIndex], [new Uint8Array(0)])
  if (atMostOnce) solo.says(reader, { kind: 'propose', key, outcomes: start }, 20)
  for (const peer of asking) solo.claim(peer, 1, 0, 30)
  return solo
}

test('a task that follows another to a node that is back, and is not what it requires, fails and does not wait for ever', () => {
  const { ended } = started([])
  expect(ended.get(0)).toMatchObject({ code: 'TASK_DEPENDENCY' })
  expect(ended.get(0)?.message).toMatch('to an engine that is not what it requires')
})

test('a task that follows another to a node that is back, and is what it requires, goes to that engine and no other', () => {
  const solo = started([['gpu', 'k80']])
  expect(solo.granted(near)).toEqual([])
  expect(solo.granted(far).map(({ header }) => header.requires.targets)).toEqual([[`${far}/0`]])
  expect(solo.ended.has(0)).toBe(false)
})

test('a task that follows another to a node that is at once back as another one runs elsewhere, and does not wait for ever', () => {
  const solo = started([['gpu', 'k80']], [near])
  expect(solo.granted(near)).toEqual([])
  solo.lose(far, 40)
  solo.back(far)
  solo.members.set(far, nodeOf(far, []))
  solo.claim(far, 1, 0, 50)
  solo.at(1_000)
  expect(solo.granted(far)).toEqual([])
  expect(solo.granted(near).map(({ header }) => header.requires.targets)).toEqual([[]])
})

test.each([true, false])(
  'a new owner does not fail what runs elsewhere for such a node (at most once: %s)',
  (atMostOnce) => {
    const solo = elsewhere(atMostOnce)
    const now = leads(solo, 2_000)
    hearsEnd(solo, now)
    solo.says(near, { kind: 'holding', key, attempt: 1, indexes: Uint32Array.of(0) }, now + 20)
    for (let later = 100; later < 2_000; later += 100) solo.at(now + later)
    expect(solo.ended.size).toBe(0)
    solo.outcome(near, 0, STATUS.ok, 1, 6_000)
    expect(solo.ended.get(0)).toMatchObject({ code: 'ok' })
  }
)

test('a new owner fails what nobody runs and is to follow another to such a node', () => {
  const solo = started([['gpu', 'k80']], [], false)
  solo.members.set(far, nodeOf(far, []))
  const now = leads(solo, 2_000)
  hearsEnd(solo, now)
  expect(solo.ended.size).toBe(0)
  for (const later of [500, 1_000]) solo.at(now + later)
  expect(solo.ended.get(0)).toMatchObject({ code: 'TASK_DEPENDENCY' })
})
