/**
 * That values arrive as they were sent, and that what cannot travel is named.
 *
 * Not here: values on their way through an engine (pool.test.ts).
 * The properties are stated for all values and all bytes; the table holds the messages that people read.
 */
import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { closeEnvelope, idsIn } from '../../../src/data/envelope.ts'
import { makeRef } from '../../../src/data/ref.ts'
import { ShoalError, TaskError } from '../../../src/errors.ts'
import { dataId } from '../../../src/ids.ts'
import { giveUp, takeMemory } from '../../../src/spent.ts'
import {
  decodeArgs,
  decodeValue,
  encodeArgs,
  encodeValue,
  valueBytesMax
} from '../../../src/tasks/executor/codec.ts'
import {
  decodeFailure,
  encodeFailure,
  failureBytesMax,
  failureOf
} from '../../../src/tasks/executor/failure.ts'

const anyValue = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
  withUnicodeString: true
})

function refusalOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof ShoalError && error.code === 'SHOAL_BAD_VALUE') return error.message
    throw error
  }
  throw new Error('nothing was refused')
}

test('every value comes back', () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      expect(decodeValue(encodeValue(value))).toEqual(value)
    })
  )
})

test('all arguments come back', () => {
  fc.assert(
    fc.property(fc.array(anyValue), (args) => {
      expect(decodeArgs(encodeArgs(args))).toEqual(args)
    })
  )
})

test.each([
  ['undefined', undefined],
  ['negative zero', -0],
  ['NaN', Number.NaN],
  ['text with a byte order mark', '\ufeffa'],
  ['half a surrogate pair', 'a\ud800'],
  ['a Buffer', Buffer.from('abc')],
  ['views inside', { floats: new Float64Array([1, 2]), view: new DataView(new ArrayBuffer(3), 1) }],
  ['an error', new RangeError('far')],
  ['an error with a cause', new Error('far', { cause: new TypeError('wrong', { cause: { code: 7 } }) })],
  ['a map of sets', new Map([[new Date(7), new Set([/x/giu, 2n ** 80n])]])],
  ['an ArrayBuffer', { memory: Uint8Array.of(1, 2).buffer, big: new BigInt64Array([-1n]) }],
  ['undefined and holes', Object.assign(new Array(4), { 1: undefined, 2: { gone: undefined } })],
  ['one array as the only argument', [1, 2]]
])('%s survives', (_, value) => {
  expect(decodeValue(encodeValue(value))).toStrictEqual(value)
  expect(decodeArgs(encodeArgs([value]))).toStrictEqual([value])
})

test('cycles survive', () => {
  const value: { self?: unknown } = {}
  value.self = value
  const copy = decodeValue(encodeValue(value)) as typeof value
  expect(copy.self).toBe(copy)
})

test('a decoded typed array owns its memory, also where several lay in one buffer', () => {
  const { buffer } = new Float64Array([1, 2, 3])
  const value = { all: new Float64Array(buffer), last: new Float64Array(buffer, 8) }
  const { all, last } = decodeValue(encodeValue(value)) as typeof value
  expect([all.buffer.byteLength, last.buffer.byteLength]).toEqual([24, 16])
  last[0] = 7
  expect([...all]).toEqual([1, 2, 3])
})

const nothing = (): void => {}
function argumentsOf(..._: unknown[]): unknown {
  // biome-ignore lint/complexity/noArguments: this very object is what somebody may send.
  return arguments
}
const gone = (): ArrayBuffer => {
  const buffer = new ArrayBuffer(4)
  structuredClone(buffer, { transfer: [buffer] })
  return buffer
}
test.each([
  [[{ rows: [1, 2, { f: nothing }] }], 'args[0].rows[2].f is a function and cannot travel; send data only'],
  [[nothing], 'args[0] is a function and cannot travel; send data only'],
  [[1, { 'odd key': Symbol('s') }], 'args[1]["odd key"] is a symbol and cannot travel; send data only'],
  [[new Map([['k', nothing]])], 'args[0].get("k") is a function and cannot travel; send data only'],
  [[new Set([1, nothing])], '[...args[0]][1] is a function and cannot travel; send data only'],
  [[{ p: Promise.resolve() }], 'args[0].p is a Promise and cannot travel; send data only'],
  [
    [{ s: [new SharedArrayBuffer(4)] }],
    'args[0].s[0] is a SharedArrayBuffer and cannot travel; send data only'
  ],
  [[{ w: new WeakMap() }], 'args[0].w is a WeakMap and cannot travel; send data only'],
  [[{ p: new Proxy({ a: 1 }, {}) }], 'args[0].p is a Proxy and cannot travel; send data only'],
  [[new Proxy([1], {})], 'args[0] is a Proxy and cannot travel; send data only'],
  [[(function* () {})()], 'args[0] is a Generator and cannot travel; send data only'],
  [[(async function* () {})()], 'args[0] is an AsyncGenerator and cannot travel; send data only'],
  [
    [{ a: [new Error('x', { cause: new Error('y', { cause: nothing }) })] }],
    'args[0].a[0].cause.cause is a function and cannot travel; send data only'
  ],
  // Fields of errors stay behind.
  [
    [Object.assign(new Error('x'), { nothing }), { nothing }],
    'args[1].nothing is a function and cannot travel; send data only'
  ],
  [[1, [argumentsOf(1, 2)]], 'args[1][0] is an arguments object and cannot travel; send data only'],
  [[{ b: gone() }], 'args[0].b is a detached ArrayBuffer and cannot travel; send data only']
])('the part that cannot travel is named: %#', (args, message) => {
  expect(refusalOf(() => encodeArgs(args))).toBe(message)
})

test('a throwing getter and a bottomless value are refused, not crashed on', () => {
  const trap = {
    get x() {
      throw new Error('trapped')
    }
  }
  expect(refusalOf(() => encodeValue(trap))).toContain('trapped')
  let deep: unknown[] = []
  for (let i = 0; i < 200_000; i++) deep = [deep]
  expect(refusalOf(() => encodeValue(deep))).toContain('value is nested too deeply to travel')
})

test('of each class is said once as what its instances arrive', async () => {
  class Point {
    readonly x = 1
  }
  class Secret {
    #hidden = 1
    tell = (): number => this.#hidden
  }
  class Sealed {
    tell(): number {
      return 1
    }
  }
  class Lookup extends Map<string, number> {
    readonly of = 'names'
  }
  class Stack extends Array<number> {}
  class CodedError extends RangeError {
    readonly code = 'E_CODED'
    readonly where = new Sealed()
  }
  const said: string[] = []
  const isSaid = new Promise<void>((resolve) => {
    const listen = ({ code, message }: Error & { code?: unknown }): void => {
      if (code !== 'SHOAL_PLAIN_DATA') return
      said.push(message)
      if (!message.includes('DOMException')) return
      process.off('warning', listen)
      resolve()
    }
    process.on('warning', listen)
  })
  const points = { list: [new Map([['a', new Point()]])], buffer: Buffer.from('b'), when: new Date() }
  expect(decodeValue(encodeValue([points, points]))).toEqual([points, points])
  expect(refusalOf(() => encodeValue(new Secret()))).toContain('value.tell is a function')
  encodeValue(new CodedError('far'))
  encodeArgs([new Sealed(), new Point()])
  encodeArgs([new URL('shoal:x')], 'input 3')
  encodeValue(new Lookup([['a', 1]]))
  encodeValue(Stack.of(1))
  encodeValue(new Error('far', { cause: new DOMException('gone', 'AbortError') }))
  await isSaid
  const advice = 'pass plain objects, or make the instance where it is used'
  expect(said).toEqual([
    `value holds an instance of Point, which arrives as plain data, without methods; ${advice}`,
    `value holds an instance of CodedError, which arrives as an Error, without fields and methods of its class; ${advice}`,
    `args holds an instance of Sealed, which arrives as an empty object; ${advice}`,
    `input 3 holds an instance of URL, which arrives as an empty object; ${advice}`,
    `value holds an instance of Lookup, which arrives as a Map, without fields and methods of its class; ${advice}`,
    `value holds an instance of Stack, which arrives as an Array, without methods of its class; ${advice}`,
    `value holds an instance of DOMException, which arrives as an Error, without fields and methods of its class; ${advice}`
  ])
})

test('a value over the limit is refused', () => {
  expect(encodeValue(new Uint8Array(valueBytesMax - 1)).byteLength).toBe(valueBytesMax)
  expect(refusalOf(() => encodeValue(new Uint8Array(valueBytesMax)))).toContain('more than the limit')
})

test('any bytes are a value or refused', () => {
  const valid = anyValue.map((value) => Array.from(encodeValue([value])))
  const mutated = fc
    .tuple(valid, fc.nat(), fc.nat(255))
    .map(([bytes, at, byte]) => Uint8Array.from(bytes).fill(byte, at % bytes.length, (at % bytes.length) + 1))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), mutated), (bytes) => {
      for (const decode of [decodeValue, decodeArgs]) {
        try {
          decode(bytes)
        } catch (error) {
          expect(error).toMatchObject({ code: 'SHOAL_BAD_VALUE' })
        }
      }
    }),
    { numRuns: 2000 }
  )
})

test('a failure comes back, cut to fit', () => {
  const short = { code: 'TASK_FAILED', name: 'RangeError', message: 'far', stack: 'at f' } as const
  expect(decodeFailure(encodeFailure(short))).toEqual(short)
  const long = { ...short, message: 'é'.repeat(100_000), stack: '\u0000'.repeat(100_000) }
  const bytes = encodeFailure(long)
  expect(bytes.byteLength).toBeLessThanOrEqual(failureBytesMax)
  const back = decodeFailure(bytes)
  expect(back.stack).toBe('')
  expect(long.message.startsWith(back.message) && back.message.length > 10_000).toBe(true)
})

test('a program that failed and printed what takes much room as JSON is told of with the end of it', () => {
  const printed = '\0'.repeat(8 << 10)
  const exit = { code: 1, signal: null, stdout: `${printed}out`, stderr: `${printed}err` }
  const bytes = encodeFailure({ code: 'TASK_EXIT', name: 'ExitError', message: 'ended', stack: '', exit })
  expect(bytes.byteLength).toBeLessThanOrEqual(failureBytesMax)
  const back = decodeFailure(bytes)
  expect([back.message, back.exit?.stdout?.slice(-4), back.exit?.stderr.slice(-4)]).toEqual([
    'ended',
    '\0out',
    '\0err'
  ])
})

test('of a thrown object it is told what it holds', () => {
  const messageOf = (thrown: unknown): string => failureOf(thrown, 'TASK_FAILED').message
  expect(messageOf({ code: 5, reason: 'busy' })).toBe("{ code: 5, reason: 'busy' }")
  expect(messageOf('a text')).toBe('a text')
  expect(messageOf({ toString: () => 'its own words' })).toBe('its own words')
})

test('causes come back, as deep as is told', () => {
  const far = new Error('far', { cause: new TypeError('wrong', { cause: 'why' }) })
  const back = decodeFailure(encodeFailure(failureOf(far, 'TASK_FAILED')))
  expect(back.cause).toMatchObject({
    name: 'TypeError',
    message: 'wrong',
    cause: { message: 'why', stack: '' }
  })
  const error = new TaskError('job-1/0', back, { attempt: 1, engine: 'n/0' })
  expect(error.cause).toMatchObject({ name: 'TypeError', message: 'wrong', cause: { message: 'why' } })
  const turning = new Error('round')
  turning.cause = turning
  const bytes = encodeFailure(failureOf(turning, 'TASK_FAILED'))
  expect(bytes.byteLength).toBeLessThan(failureBytesMax)
  let depth = 0
  for (let at: unknown = decodeFailure(bytes); at; at = (at as Error).cause) depth++
  expect(depth).toBe(6)
})

test('any bytes are a failure or refused', () => {
  expect(refusalOf(() => decodeFailure(new TextEncoder().encode('null')))).toContain('a field is missing')
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      refusalOf(() => decodeFailure(bytes))
    })
  )
})

test('what can be read of an error is told, whichever of its getters throw', () => {
  const get = (): never => {
    throw new Error('no')
  }
  const told = (error: Error, field: string): unknown =>
    failureOf(Object.defineProperty(error, field, { get }), 'TASK_FAILED')
  expect(told(new RangeError('far'), 'stack')).toEqual({
    code: 'TASK_FAILED',
    name: 'RangeError',
    message: 'far',
    stack: ''
  })
  expect(told(new RangeError('far'), 'cause')).toMatchObject({ name: 'RangeError', message: 'far' })
  expect(told(new RangeError('far'), 'name')).toMatchObject({ name: 'Error', message: 'far' })
  const message = 'its message cannot be turned into text'
  expect(told(new RangeError('far'), 'message')).toMatchObject({ name: 'RangeError', message })
})

const mute = {
  toString: (): never => {
    throw new Error('no')
  },
  [inspect.custom]: (): never => {
    throw new Error('nor this')
  }
}
test.each([
  ['a string', 'oops', 'oops'],
  ['nothing', undefined, 'undefined'],
  ['an object without text', Object.create(null), '[Object: null prototype] {}'],
  ['what tells nothing', mute, 'a value was thrown that cannot be turned into text']
])('%s can be thrown', (_, thrown, message) => {
  expect(failureOf(thrown, 'TASK_FAILED')).toEqual({ code: 'TASK_FAILED', name: 'Error', message, stack: '' })
})

test('a ref anywhere in a value is named before it, and gives its bytes to a task', () => {
  const id = dataId('x'.repeat(43), 3)
  const ref = makeRef(id, 'text/plain')
  // As it comes back from a file, or from another thread.
  const told = JSON.parse(JSON.stringify(ref)) as typeof ref
  const bytes = Uint8Array.of(1, 2, 3)
  for (const [value, read] of [
    [ref, bytes],
    [
      { deep: [told, new Map([[ref, new Set([ref])]])] },
      { deep: [bytes, new Map([[bytes, new Set([bytes])]])] }
    ],
    [{ why: new Error('far', { cause: told }) }, { why: new Error('far', { cause: bytes }) }]
  ]) {
    const encoded = encodeValue(value)
    expect(idsIn(encoded)).toEqual([id])
    expect(decodeValue(encoded)).toEqual(value)
    expect(decodeValue(encoded, () => bytes)).toEqual(read)
    expect(decodeArgs(encodeArgs([7, value]), () => bytes)).toEqual([7, read])
  }
  expect(idsIn(encodeValue({ shoalRef: 'is a word like any other' }))).toEqual([])
  // One object stays one object, as everywhere in a value, and its bytes are read once; another one has bytes of its own.
  let count = 0
  const fresh = (): Uint8Array => Uint8Array.of(++count)
  const [first, again, other] = decodeValue(encodeValue([ref, ref, { ...ref }]), fresh) as Uint8Array[]
  expect(again).toBe(first)
  expect(other).not.toBe(first)
  expect(count).toBe(2)
})

test.each([100, 5_000, 2 ** 20, 2 ** 21])(
  '%i bytes lie in memory of their own, whoever uses that of others again',
  (size) => {
    const id = dataId(Buffer.alloc(32, 1).toString('base64url'), size)
    const far = closeEnvelope({ kind: 'far', ids: [id], inner: new Uint8Array(0) })
    const bytesOf = (fill: number): Uint8Array => new Uint8Array(size).fill(fill)
    const inMemory = (content: Uint8Array): Uint8Array => {
      const memory = takeMemory(content.byteLength)
      memory.set(content)
      return memory
    }
    const values: unknown[] = []
    for (const fill of [1, 2, 3, 4]) {
      const encoded = encodeValue(bytesOf(fill))
      values.push(
        decodeValue(encoded),
        decodeValue(far, () => inMemory(encoded))
      )
      values.push(decodeArgs(far, () => inMemory(encodeArgs([bytesOf(fill)])))[0])
      values.push(decodeValue(encodeValue(makeRef(id, 'a')), () => inMemory(bytesOf(fill))))
      giveUp(encoded)
    }
    for (const [at, value] of (values as Uint8Array[]).entries()) {
      expect(Buffer.compare(value, bytesOf(1 + Math.floor(at / 4)))).toBe(0)
      expect([value.constructor, value.byteOffset, value.buffer.byteLength]).toEqual([Uint8Array, 0, size])
    }
  }
)
