/**
 * Shards of which more was accepted than one message or one record holds.
 *
 * Not here: streams and their limits (test/node/outbox.test.ts), and whole meshes (test/integration/data.test.ts).
 */
import { expect, test } from 'vitest'
import type { ClientId, PeerId, ShardKey } from '../../src/ids.ts'
import { peerMessages } from '../../src/node/messages.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Persist, Send } from '../../src/tasks/effects.ts'
import { Entry } from '../../src/tasks/entry.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { batchEntriesMax, type TaskMessage, type TaskMessageOf } from '../../src/tasks/messages.ts'
import { permitsFor } from '../../src/tasks/permits.ts'
import { Pieces } from '../../src/tasks/pieces.ts'
import { recordOf, upTo } from './record.ts'

const [self, ann] = ['peerA', 'ann'] as [PeerId, PeerId]
const key = 'abcdefgh/0/0' as ShardKey
const place = { key, list: 0, ballot: 0 }
const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 }
const outcome = (bytes: number): Uint8Array => encodeOutcome(header, new Uint8Array(bytes))

const written = (effects: readonly (Send | Persist)[]): TaskMessage[] =>
  effects.flatMap((one) => (one.kind === 'persist' ? one.messages : []))
/** As it lies on a disk and comes on a stream. */
const passed = <M extends TaskMessage>(message: M): M => peerMessages.parse(peerMessages.encode(message)) as M

function keeperOf(
  count: number,
  accepts: (serial: number) => ReturnType<typeof pack>,
  times: number
): Keeper {
  const keeper = new Keeper(self, 1)
  keeper.step(self, { kind: 'store', record: recordOf(self, count), isRepair: false })
  for (const serial of upTo(times))
    keeper.step(self, { kind: 'accept', ...place, serial, outcomes: accepts(serial) })
  return keeper
}

test('what is written of a settled shard can be read, however many permits were given for its tasks', () => {
  const count = 100
  const permits = (serial: number) => permitsFor(ann, upTo(count), serial + 1)
  const keeper = keeperOf(count, permits, 2 + batchEntriesMax / count)
  const outcomes = pack(ann, upTo(count), new Array(count).fill(outcome(200_000)))
  keeper.step(self, { kind: 'accept', ...place, serial: 1_000, outcomes })
  const records = written(keeper.step(self, { kind: 'settle', ...place, by: 0 })).map(passed)
  const restored = new Keeper(self)
  for (const one of records) restored.restore(one as never)
  expect(restored.outcomes(key).size).toBe(count)
  expect(restored.isSettled(key)).toBe(true)
  for (const one of records)
    if (one.kind === 'accept') expect(one.outcomes.body.byteLength).toBeLessThan(5 << 20)
})

test('a promise of more than one message holds is whole once all of it has come, in any order', () => {
  const keeper = keeperOf(60, (at) => pack(ann, [at], [outcome(1 << 20)]), 60)
  const effects = keeper.step(ann, { kind: 'prepare', key, list: 0, ballot: 65_536 })
  const answers = effects.flatMap((one) =>
    one.kind === 'persist' ? one.then.map(({ message }) => passed(message)) : []
  ) as TaskMessageOf<'promised'>[]
  expect(answers.length).toBeGreaterThan(10)
  const pieces = new Pieces()
  const [first, ...rest] = answers.toReversed()
  for (const one of [...rest, ...rest]) expect(pieces.whole(self, one)).toBeUndefined()
  const whole = first === undefined ? [] : pieces.whole(self, first)
  expect(whole?.flatMap(({ outcomes }) => [...outcomes.indexes]).sort((a, b) => a - b)).toEqual(upTo(60))
})

/** An entry whose only keeper is played by the test. */
function entryWith(room: () => number): Entry {
  const keepers = [self]
  return new Entry(
    {
      self: ann,
      isUp: () => true,
      canKeep: () => true,
      peers: () => keepers,
      mayKnow: () => keepers,
      keepersFor: () => keepers,
      room
    },
    0
  )
}

test('a client that has no room is told nothing more, and what it lacks is asked for again once it has', () => {
  let room = 1_500
  const entry = entryWith(() => room)
  const client = 'c#1' as ClientId
  const placement = { key, keepers: [self], first: 0, count: 4 }
  const said = (effects: ReturnType<Entry['client']>) =>
    effects.map((one) =>
      one.kind === 'reply' && one.message.kind === 'results'
        ? [...one.message.outcomes.indexes]
        : one.kind === 'send' && one.message.kind === 'watch' && [...one.message.have].join()
    )
  const comes = (index: number, more: boolean, now: number) =>
    said(
      entry.message(
        self,
        { kind: 'committed', key, outcomes: pack(ann, [index], [outcome(1_000)]), settled: true, more },
        now
      )
    )
  entry.client(client, { kind: 'follow', placement, have: new Uint32Array(0) }, 0)
  // All of these in one step, so that their stream knows of none of them.
  expect([comes(0, true, 1), comes(1, true, 1), comes(2, false, 1)]).toEqual([[[0], '0'], [[1], '0,1'], []])
  room = 0
  expect(said(entry.wake(20_000))).toEqual([])
  room = 1_500
  expect(said(entry.wake(21_000))).toEqual(['0,1'])
  expect(comes(2, false, 21_001)).toEqual([[2]])
  expect(comes(3, false, 21_002)).toEqual([[3]])
})

test('of many shards, a client is told as much at a time as it has room for, and no less', () => {
  const entry = entryWith(() => 1_000_000)
  const client = 'c#1' as ClientId
  const keys = upTo(100).map((shard) => `abcdefgh/${shard + 1}/0` as ShardKey)
  let told = 0
  /** Its owner answers at once. */
  const answer = (effects: ReturnType<Entry['client']>, now: number): void => {
    for (const one of effects) {
      if (one.kind === 'reply') told++
      if (one.kind !== 'send' || one.message.kind !== 'watch') continue
      const outcomes = pack(ann, [0], [outcome(100_000)])
      const answered = {
        kind: 'committed',
        key: one.message.key,
        outcomes,
        settled: true,
        more: false
      } as const
      answer(entry.message(self, answered, now), now)
    }
  }
  for (const at of keys) {
    const placement = { key: at, keepers: [self], first: 0, count: 1 }
    answer(entry.client(client, { kind: 'follow', placement, have: new Uint32Array(0) }, 0), 0)
  }
  expect(told).toBe(10)
  // It has room again as soon as it has read, and what it lacks comes well before anything else is looked at again.
  let now = 0
  for (let wakes = 0; told < 100 && wakes < 12; wakes++) {
    now = entry.wakeAt() ?? 0
    answer(entry.wake(now), now)
  }
  expect(told).toBe(100)
  expect(now).toBeLessThan(500)
})
