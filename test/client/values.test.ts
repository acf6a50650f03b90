/**
 * That the client's values are those of the engines.
 *
 * Not here: the format itself, tested in test/tasks/executor/codec.test.ts.
 * Two doors to one room; this checks that the second is not bricked up.
 */
import { expect, test } from 'vitest'
import * as values from '../../src/client/values.ts'

test('arguments, values and failures pass', () => {
  expect(values.decodeArgs(values.encodeArgs([1, 'two']))).toEqual([1, 'two'])
  expect(values.decodeValue(values.encodeValue(new Map([[1, 2n]])))).toEqual(new Map([[1, 2n]]))
  const failure = { code: 'TASK_FAILED', name: 'Error', message: 'm', stack: '' } as const
  expect(values.decodeFailure(values.encodeFailure(failure))).toEqual(failure)
})
