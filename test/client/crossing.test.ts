/**
 * Values between a blocked caller and the thread behind it, copied as that copies them.
 *
 * Not here: the blocking client itself (test/integration/verbs.test.ts), and values between machines (values.test.ts).
 */
import { expect, test } from 'vitest'
import { pack, unpack } from '../../src/client/sync/crossing.ts'
import { Objects } from '../../src/client/sync/objects.ts'

const none = (): never => expect.unreachable('nothing here leaves a gap')
const copied = (value: unknown): unknown => unpack(structuredClone(pack(value, new Objects().search)), none)

test('an AggregateError within a value keeps its errors, and is the same one wherever it stands', () => {
  const inner = new AggregateError([new TypeError('deep')], 'inner')
  const error = new AggregateError([new RangeError('db is down'), inner, 5], 'none', { cause: inner })
  const value = copied({ a: { b: [{ c: new Map([['d', error]]) }] }, again: inner }) as {
    a: { b: [{ c: Map<string, AggregateError> }] }
    again: AggregateError
  }
  const found = value.a.b[0].c.get('d') as AggregateError
  expect(found).toBeInstanceOf(AggregateError)
  expect(found.name).toBe('AggregateError')
  expect(found.message).toBe('none')
  expect(found.errors).toEqual([new RangeError('db is down'), value.again, 5])
  expect(found.errors[1]).toBe(value.again)
  expect(found.cause).toBe(value.again)
  expect(value.again.errors[0]).toBeInstanceOf(TypeError)
})

test('what is copied is not changed by it', () => {
  const error = new AggregateError([1], 'one')
  const value = [error, { error }]
  expect(pack(value, new Objects().search).value).toBe(value)
  expect(copied(error)).toMatchObject({ errors: [1] })
})
