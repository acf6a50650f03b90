/**
 * The marker of a list: that all of the list before is there, and by which a keeper is believed alone where there are two.
 *
 * Not here: how lists follow one another under faults (the simulator).
 */
import { expect, test } from 'vitest'
import { type Ballot, ballotOf, type PeerId, roundOf } from '../../src/ids.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { markIndex, type TaskMessage, type TaskMessageOf } from '../../src/tasks/messages.ts'
import { Register } from '../../src/tasks/register.ts'
import { recordOf } from './record.ts'

const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]

/** To whom, and whether it is the marker. */
const said = (sends: readonly Send[]): [PeerId, boolean][] =>
  sends.flatMap(({ to, message }) =>
    message.kind === 'accept' ? [[to, message.outcomes.indexes[0] === markIndex]] : []
  )
const isUp = (): boolean => true
const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 }
const outcome = pack(a, [0], [encodeOutcome(header, new Uint8Array(8))])
const pair = { list: 1, keepers: [a, b], seats: [0, 1], seatsGiven: 2, before: [a], beforeSeats: [0] }
const record = recordOf(a, 1, { ...pair, copies: 2 })
const { key } = record
const accepted = (ballot: Ballot, serial: number) =>
  ({ kind: 'accepted', key, list: 1, ballot, serial }) as const

/** Of a pair, after it has read what one keeper had committed before, and sent that to both. */
function recommitting(): { register: Register; taken: Send[] } {
  const register = Register.takeOver(record, a, 0, 0)
  register.begin(0)
  const { ballot } = register
  const promise = (list: number, outcomes: readonly ReturnType<typeof pack>[] = []) =>
    ({
      kind: 'promised',
      key,
      list,
      ballot,
      accepted: outcomes.map((one) => ({ ballot: 0, outcomes: one })),
      part: 0,
      parts: 1
    }) as TaskMessageOf<'promised'>
  register.promised(a, promise(1), 1)
  register.promised(b, promise(1), 2)
  return { register, taken: register.promised(a, promise(0, [outcome]), 3) }
}

test('a keeper gets the marker of a list when it has all that the list took over, and not before', () => {
  const { register, taken } = recommitting()
  const { ballot } = register
  expect(roundOf(ballot)).toBeGreaterThan(0)
  expect(said(taken)).toEqual([
    [a, false],
    [b, false]
  ])
  expect(said(register.accepted(a, accepted(ballot, 1), 4).effects)).toEqual([[a, true]])
  // It does not answer, and is asked again.
  expect(said(register.again(60_000, isUp)).filter(([to]) => to === b)).toEqual([[b, false]])
  expect(said(register.accepted(b, accepted(ballot, 1), 60_001).effects)).toEqual([[b, true]])
})

test('a list of two counts when both have its marker, and one alone is enough while the other one is down', () => {
  const { register } = recommitting()
  const { ballot } = register
  register.accepted(a, accepted(ballot, 1), 4)
  register.accepted(a, accepted(ballot, 2), 5)
  expect(register.isInForce).toBe(false)
  register.again(1000, isUp)
  expect(register.isInForce).toBe(false)
  const { register: alone } = recommitting()
  alone.accepted(a, accepted(ballot, 1), 4)
  alone.accepted(a, accepted(ballot, 2), 5)
  alone.again(1000, (peer) => peer === a)
  expect(alone.isInForce).toBe(true)
  register.accepted(b, accepted(ballot, 1), 1001)
  register.accepted(b, accepted(ballot, 2), 1002)
  expect(register.isInForce).toBe(true)
})

test('one of a pair that hears that their list counts keeps to the list before until it has the marker', () => {
  const keeper = new Keeper(b)
  const old = recordOf(a, 1, { keepers: [b], copies: 1 })
  keeper.step(a, { kind: 'store', record: old, isRepair: false })
  keeper.step(a, { kind: 'store', record, isRepair: true })
  const moved = { kind: 'moved', key, list: 1, keepers: [a, b], seats: [0, 1] } as const
  keeper.step(a, moved)
  expect(keeper.inForce(key)).toBe(0)
  const accept = (serial: number, outcomes: Batch): TaskMessage =>
    ({ kind: 'accept', key, list: 1, ballot: ballotOf(1, 0), serial, outcomes }) as const
  keeper.step(a, accept(1, outcome))
  keeper.step(a, accept(2, pack('', [markIndex], [new Uint8Array(0)])))
  keeper.step(a, moved)
  expect(keeper.inForce(key)).toBe(1)
})
