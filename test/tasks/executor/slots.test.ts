/**
 * That functions and programs are never in one slot at the same time, and that what waits at the door can be taken back.
 *
 * Not here: either executor. Two that only note what they are told.
 */
import { beforeEach, expect, test } from 'vitest'
import type { Digest, ShardKey } from '../../../src/ids.ts'
import { pack, readOutcomeHeader, STATUS, valueAt } from '../../../src/tasks/batch.ts'
import type { Executor, ExecutorEvent, RunBatch } from '../../../src/tasks/executor/executor.ts'
import { programExport } from '../../../src/tasks/executor/program.ts'
import { type SharedSlots, shareSlots } from '../../../src/tasks/executor/slots.ts'

let told: string[]
let events: ExecutorEvent[]
let slots: SharedSlots

const noting = (name: string): Executor => ({
  run: ({ run }) => void told.push(`${name} runs ${run}`),
  cancel: (run) => void told.push(`${name} cancels ${run}`),
  recall: (run) => void told.push(`${name} recalls ${run}`),
  close: async () => void told.push(`${name} closes`)
})

beforeEach(() => {
  told = []
  events = []
  slots = shareSlots(noting('functions'), noting('programs'), (event) => events.push(event))
})

function batch(run: number, kind: 'function' | 'program', slot = 0, count = 1): RunBatch {
  const exportName = kind === 'program' ? programExport : 'default'
  const indexes = Array.from({ length: count }, (_, i) => i)
  const inputs = pack(
    '',
    indexes,
    indexes.map((i) => Uint8Array.of(i))
  )
  const rest = { key: 'job-of-test/0/0' as ShardKey, first: 0, attempt: 1, timeoutMs: 0 }
  return { run, slot, exportName, inputs, code: 'code' as Digest, ...rest }
}

const done = (run: number): ExecutorEvent => ({
  kind: 'ended',
  run,
  slot: 0,
  outcomes: pack('', [], []),
  done: true
})

test('runs of one kind follow each other freely; one of the other kind waits until all of them are over', () => {
  slots.run(batch(1, 'function'))
  slots.run(batch(2, 'function'))
  slots.run(batch(3, 'program'))
  // Behind a program that waits, in its order.
  slots.run(batch(4, 'function'))
  slots.run(batch(5, 'program', 1))
  expect(told).toEqual(['functions runs 1', 'functions runs 2', 'programs runs 5'])
  slots.heard(done(1))
  slots.heard({ ...done(2), done: false } as ExecutorEvent)
  expect(told).toHaveLength(3)
  slots.heard(done(2))
  expect(told.slice(3)).toEqual(['programs runs 3'])
  slots.heard(done(3))
  expect(told.slice(4)).toEqual(['functions runs 4'])
  expect(events).toHaveLength(4)
})

test('what waits at the door is taken back, or cancelled in part, without the executor', async () => {
  slots.run(batch(1, 'function'))
  slots.run(batch(2, 'program'))
  slots.run(batch(3, 'program', 0, 3))
  slots.recall(2)
  slots.cancel(3, Uint32Array.of(1))
  await Promise.resolve()
  expect(events).toMatchObject([
    { kind: 'recalled', run: 2, done: true },
    { kind: 'ended', run: 3, done: false }
  ])
  const [, ended] = events
  const outcomes = ended?.kind === 'ended' ? ended.outcomes : pack('', [], [])
  expect([...outcomes.indexes]).toEqual([1])
  expect(readOutcomeHeader(valueAt(outcomes, 0)).status).toBe(STATUS.cancelled)
  slots.heard(done(1))
  expect(told).toEqual(['functions runs 1', 'programs runs 3'])
  slots.cancel(3)
  slots.recall(3)
  expect(told.slice(2)).toEqual(['programs cancels 3', 'programs recalls 3'])
})

test('a node without programs gives them back', async () => {
  slots = shareSlots(noting('functions'), undefined, (event) => events.push(event))
  slots.run(batch(1, 'program'))
  slots.run(batch(2, 'function'))
  await Promise.resolve()
  expect(events).toMatchObject([{ kind: 'recalled', run: 1, done: true }])
  expect(told).toEqual(['functions runs 2'])
})
