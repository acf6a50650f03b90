/**
 * Two keepers of a shard that lost each other: each may commit alone, and what one has committed the other one takes in.
 *
 * Not here: what both have decided differently, which a pair cannot prevent (the simulator).
 */
import { expect, test } from 'vitest'
import type { Ballot, PeerId } from '../../src/ids.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import { closedIndex, type TaskMessage, type TaskMessageOf } from '../../src/tasks/messages.ts'
import { Register } from '../../src/tasks/register.ts'
import { recordOf } from './record.ts'

const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]
const record = recordOf(a, 3, { ...firstSeating([a, b]), copies: 2 })
const { key } = record
const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 }
const outcomeOf = (index: number, by: PeerId): Batch =>
  pack(by, [index], [encodeOutcome(header, Buffer.from(by))])
const closed = pack('', [closedIndex], [Uint8Array.of(1, 0, 0, 0)])
const isUp = (): boolean => true

function promise(ballot: Ballot, ...outcomes: readonly Batch[]): TaskMessageOf<'promised'> {
  const accepted = outcomes.map((one) => ({ ballot: 0, outcomes: one }))
  return { kind: 'promised', key, list: 0, ballot, accepted, part: 0, parts: 1 }
}

const asked = (sends: readonly Send[]): PeerId[] =>
  sends.flatMap(({ to, message }) => (message.kind === 'prepare' ? [to] : []))
const proposed = (sends: readonly Send[]): number[] =>
  sends.flatMap(({ to, message }) =>
    message.kind === 'accept' && to === b ? [...message.outcomes.indexes] : []
  )

test('who took over alone asks the other one when that is back, and takes in what it had committed', () => {
  const register = Register.takeOver(record, b, 0, 0)
  const { ballot } = register
  register.begin(0)
  register.promised(b, promise(ballot, outcomeOf(0, b)), 1)
  register.again(10_000, (peer) => peer === b)
  register.accepted(b, { kind: 'accepted', key, list: 0, ballot, serial: 1 }, 10_001)
  expect(register.phase).toBe('leading')
  register.accepted(a, { kind: 'accepted', key, list: 0, ballot, serial: 1 }, 10_002)
  // Nobody lets go of the shard before the other one has been heard.
  expect(register.isEverywhere).toBe(false)
  expect(asked(register.again(20_000, isUp, a))).toEqual([a])
  const joined = register.promised(a, promise(ballot, outcomeOf(0, a), outcomeOf(1, a), closed), 20_001)
  expect(proposed(joined).toSorted()).toEqual([1, closedIndex])
  expect([...register.taken()].toSorted()).toEqual([0, 1, closedIndex])
  // Once is enough.
  expect(asked(register.again(30_000, isUp, a))).toEqual([])
  expect(register.promised(a, promise(ballot, outcomeOf(2, a)), 30_001)).toEqual([])
})

test('a keeper that lacks outcomes does not believe that all is over', () => {
  const keeper = new Keeper(a)
  const accept = (serial: number, index: number): TaskMessage => ({
    kind: 'accept',
    key,
    list: 0,
    ballot: 0,
    serial,
    outcomes: outcomeOf(index, a)
  })
  const settle = { kind: 'settle', key, list: 0, ballot: 0, by: 0 } as const
  keeper.step(a, { kind: 'store', record, isRepair: false })
  for (const index of [0, 1]) keeper.step(a, accept(index + 1, index))
  expect(keeper.step(b, settle)).toEqual([])
  expect(keeper.isSettled(key)).toBe(false)
  keeper.step(a, accept(3, 2))
  keeper.step(b, settle)
  expect(keeper.isSettled(key)).toBe(true)
})
