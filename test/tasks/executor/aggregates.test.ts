/**
 * That errors which hold several others arrive with them, thrown and as values.
 *
 * Not here: other failures and values (codec.test.ts).
 */
import { expect, test } from 'vitest'
import { packError, unpackError } from '../../../src/client/sync/failures.ts'
import { TaskError } from '../../../src/errors.ts'
import { decodeValue, encodeArgs, encodeValue } from '../../../src/tasks/executor/codec.ts'
import {
  decodeFailure,
  encodeFailure,
  errorsMax,
  failureBytesMax,
  failureOf
} from '../../../src/tasks/executor/failure.ts'

const arrived = (thrown: unknown): TaskError => {
  const bytes = encodeFailure(failureOf(thrown, 'TASK_FAILED'))
  expect(bytes.byteLength).toBeLessThanOrEqual(failureBytesMax)
  return new TaskError('job:0', decodeFailure(bytes), { attempt: 1, engine: 'n/0' })
}
const anyOf = (...errors: unknown[]): Promise<unknown> =>
  Promise.any(errors.map((one) => Promise.reject(one))).catch((error: unknown) => error)

test('errors of a thrown aggregate arrive as errors, with their causes, also for a blocked caller', async () => {
  const inner = new AggregateError([new TypeError('deep')], 'inner')
  const db = new RangeError('db is down', { cause: new Error('no route') })
  const error = arrived(await anyOf(db, 'a text', inner))
  expect(error.name).toBe('AggregateError')
  for (const one of [error, unpackError(packError(error)) as TaskError]) {
    expect(one.errors).toHaveLength(3)
    expect(one.errors?.every((each) => each instanceof Error)).toBe(true)
    expect(one.errors?.[0]).toMatchObject({
      name: 'RangeError',
      message: 'db is down',
      cause: { message: 'no route' }
    })
    expect(one.errors?.[0]?.stack).toContain('aggregates.test')
    expect(one.errors?.[1]?.message).toBe('a text')
    expect(one.errors?.[2]).toMatchObject({ name: 'AggregateError', errors: [{ message: 'deep' }] })
  }
  // Of a task that waited for another one, and threw what that one threw.
  expect(arrived(error).errors?.[0]?.message).toBe('db is down')
  expect('errors' in arrived(new Error('alone'))).toBe(false)
  expect('errors' in arrived(Object.assign(new Error('invalid'), { errors: ['a field'] }))).toBe(false)
})

test('of many errors the first are told, and those of a circle end', () => {
  const many = Array.from({ length: 1_000 }, (_, n) => new Error(`${n}${'\0'.repeat(500)}`))
  const few = arrived(new AggregateError(many.slice(0, 3))).errors
  expect(few?.map(({ message }) => message[0])).toEqual(['0', '1', '2'])
  const told = arrived(new AggregateError(many)).errors ?? []
  expect(told.length).toBeGreaterThan(0)
  expect(told.length).toBeLessThanOrEqual(errorsMax)
  const circle = new AggregateError([], 'round')
  circle.errors.push(circle, circle, circle)
  expect(arrived(circle).errors).toHaveLength(3)
  expect(packError(circle).errors).toHaveLength(3)
})

test('an AggregateError within a value keeps its errors, and is the same one wherever it stands', async () => {
  class Several extends AggregateError {}
  const inner = new Several([new TypeError('deep')], 'Größe über ✓', { cause: 'why' })
  const error = (await anyOf(new RangeError('db is down'), inner, 5)) as AggregateError
  const value = { list: [error], by: new Map([['it', error]]) }
  error.errors.push(value)
  const back = decodeValue(encodeValue(value)) as typeof value
  const [found] = back.list
  expect(found).toBe(back.by.get('it'))
  expect(found).toBeInstanceOf(AggregateError)
  expect(found?.errors.slice(0, 3)).toMatchObject([
    { name: 'RangeError', message: 'db is down' },
    { name: 'AggregateError', message: 'Größe über ✓', cause: 'why', errors: [{ message: 'deep' }] },
    5
  ])
  expect(found?.errors[3]).toBe(back)
  expect(() => encodeArgs([new AggregateError([() => 1])])).toThrow('args[0].errors[0] is a function')
})

test('bytes that end as a value with aggregates does are what they are', () => {
  const like = Buffer.from('AggregateError, shoalErrors')
  expect(decodeValue(encodeValue(like))).toEqual(like)
  expect(decodeValue(encodeValue(['AggregateError', like]))).toEqual(['AggregateError', like])
})
