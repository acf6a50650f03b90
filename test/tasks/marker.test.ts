/**
 * The marker of a list, by which a keeper of it is believed alone where there are two.
 *
 * Not here: how lists follow one another under faults (the simulator).
 */
import { expect, test } from 'vitest'
import { type PeerId, roundOf } from '../../src/ids.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Send } from '../../src/tasks/effects.ts'
import { markIndex, type TaskMessageOf } from '../../src/tasks/messages.ts'
import { Register } from '../../src/tasks/register.ts'
import { recordOf } from './record.ts'

const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]

test('a keeper gets the marker of a list when it has all that the list took over, and not before', () => {
  const more = { list: 1, keepers: [a, b], seats: [0, 1], seatsGiven: 2, before: [a], beforeSeats: [0] }
  const record = recordOf(a, 1, { ...more, copies: 2 })
  const register = Register.takeOver(record, a, 0, 0)
  register.begin(0)
  const { key } = record
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
  const accepted = (serial: number) => ({ kind: 'accepted', key, list: 1, ballot, serial }) as const
  /** To whom, and whether it is the marker. */
  const said = (sends: readonly Send[]): [PeerId, boolean][] =>
    sends.flatMap(({ to, message }) =>
      message.kind === 'accept' ? [[to, message.outcomes.indexes[0] === markIndex]] : []
    )
  const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 }
  const outcome = pack(a, [0], [encodeOutcome(header, new Uint8Array(8))])
  register.promised(a, promise(1), 1)
  register.promised(b, promise(1), 2)
  const taken = register.promised(a, promise(0, [outcome]), 3)
  expect(said(taken)).toEqual([
    [a, false],
    [b, false]
  ])
  expect(said(register.accepted(a, accepted(1), 4).effects)).toEqual([[a, true]])
  // It does not answer, and is asked again.
  const isUp = (): boolean => true
  expect(said(register.again(60_000, isUp)).filter(([to]) => to === b)).toEqual([[b, false]])
  expect(said(register.accepted(b, accepted(1), 60_001).effects)).toEqual([[b, true]])
  expect(roundOf(ballot)).toBeGreaterThan(0)
})
