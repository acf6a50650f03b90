/**
 * A task to run at most once that follows another, to an engine that was away when that was heard and is back at the start.
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

/** What it follows ran at `far`, which is away; `labels`: what that has when it is back, and the shard may start. */
function started(labels: Traits['labels'], asking: readonly PeerId[] = [far, near]): Solo {
  const shards = [{ key: before, keepers: [near], first: 0, count: 1 }]
  const terms = { all: true, success: true, failure: false }
  const words = encodeNeeds([{ task: 0, kind: 'follow', ...terms, of: [[0, 0]] }])
  const solo = new Solo(1, { atMostOnce: true, requires: needsGpu }, { needs: [{ shards, words }] })
  solo.members.set(near, nodeOf(near, [['gpu', 'a100']]))
  solo.at(0)
  const ended = encodeOutcome(
    { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 5, startedAt: 1_000 },
    new Uint8Array(0)
  )
  solo.says(near, { kind: 'awaited', key: before, outcomes: pack(far, [0], [ended]) }, 10)
  solo.at(10)
  solo.members.set(far, nodeOf(far, labels))
  const start = pack('', [startIndex], [new Uint8Array(0)])
  solo.says(reader, { kind: 'propose', key, outcomes: start }, 20)
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
