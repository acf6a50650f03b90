/**
 * What outcomes tell of how long a function's tasks take.
 *
 * Not here: what a node asks for by it, and what a submitter is charged (the simulator's `fair` judges both).
 */
import { expect, test } from 'vitest'
import { type Batch, encodeOutcome, pack, STATUS, type Status } from '../../src/tasks/batch.ts'
import { Speeds } from '../../src/tasks/speeds.ts'
import { headerOf } from './header.ts'

const header = headerOf()

const outcomes = (...ended: readonly (readonly [Status, number])[]): Batch =>
  pack(
    '',
    ended.map((_, index) => index),
    ended.map(([status, elapsedMs]) =>
      encodeOutcome({ status, slot: 0, attempt: 1, elapsedMs, startedAt: 0 }, new Uint8Array())
    )
  )

test('tasks that were ended say nothing about how long a task takes', () => {
  const speeds = new Speeds()
  speeds.measure(header, outcomes([STATUS.lost, 0], [STATUS.cancelled, 1]))
  expect(speeds.of(header)).toBe(Number.POSITIVE_INFINITY)
  speeds.measure(
    header,
    outcomes([STATUS.ok, 20], [STATUS.lost, 0], [STATUS.error, 40], [STATUS.cancelled, 0])
  )
  expect(speeds.of(header)).toBe(30)
  expect(speeds.batchOf(header, 90, 100)).toBe(3)
})
