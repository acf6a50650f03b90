/**
 * What a cell does with a command that reaches it twice, as one does that was said to two members.
 *
 * Not here: whole histories (test/sim/cells.ts).
 */
import { expect, test } from 'vitest'
import { answers, type Command } from '../../src/cells/commands.ts'
import { decide, newState } from '../../src/cells/state.ts'

const take: Command = { kind: 'take', isPatient: false }
const put: Command = { kind: 'put', value: new Uint8Array(1), size: 1, isPatient: false }
const acquire = (lease: string): Command => ({
  kind: 'acquire',
  lease,
  leaseMs: 1_000,
  permits: 1,
  isPatient: false
})

/** What each command is answered, said one after another under its id. */
function answersTo(cell: string, said: readonly (readonly [id: string, command: Command])[]): string[] {
  let state = newState(cell)
  return said.map(([id, command]) => {
    const verdict = decide(state, { id, base: 0, command })
    state = verdict.state
    return verdict.word === 'decided' ? answers.parse(verdict.answer).kind : verdict.word
  })
}

test('who was told that the lock is taken does not get it later, when nobody would give it back', () => {
  const first = acquire('one')
  const second = acquire('two')
  const release: Command = { kind: 'release', lease: 'one' }
  const third = acquire('three')
  const said = [
    ['a', first],
    ['b', second],
    ['c', release],
    ['b', second],
    ['d', third]
  ] as const
  expect(answersTo('lock:l', said)).toEqual(['granted', 'refused', 'done', 'refused', 'granted'])
})

test('who was told that a queue is empty takes nothing later, when nobody would see it', () => {
  const said = [
    ['a', take],
    ['b', put],
    ['a', take],
    ['c', take]
  ] as const
  expect(answersTo('queue:q', said)).toEqual(['refused', 'done', 'refused', 'value'])
})

test('who was told that a queue is full puts nothing later', () => {
  const said = [
    ['a', put],
    ['b', put],
    ['c', take],
    ['b', put],
    ['d', take]
  ] as const
  expect(answersTo('queue:q', said)).toEqual(['done', 'refused', 'value', 'refused', 'refused'])
})

test('who looked into a queue before anybody put something does not decide its size', () => {
  const said = [
    ['a', { ...take, isPatient: true }],
    ['a', { kind: 'cancel' }],
    ['b', { ...put, size: 7 }],
    ['c', { ...put, size: 8 }]
  ] as const
  expect(answersTo('queue:q', said)).toEqual(['waiting', 'refused', 'done', 'refused'])
})
