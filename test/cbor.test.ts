/**
 * The quick reader of usual messages: it reads what the library reads, or leaves it to the library.
 *
 * Not here: messages (wire.test.ts).
 */
import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readUsual } from '../src/cbor.ts'

/** What the library makes of these bytes; `undefined` if nothing. */
function read(bytes: Uint8Array): unknown {
  try {
    return decode(bytes)
  } catch {
    return undefined
  }
}

const leaf = fc.oneof(
  fc.maxSafeNat(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noInteger: true }),
  fc.boolean(),
  fc.constantFrom(null, 'claim', 'peerA', 'peerB', 'x'.repeat(96)),
  fc.string({ unit: fc.integer({ min: 0, max: 127 }).map((code) => String.fromCharCode(code)) }),
  fc.uint8Array()
)
const { value: usual } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie('value')))
}))

test('what usual messages are made of is read without the library, from a Buffer too, and is a copy', () => {
  const sample = [
    2 ** 32,
    2 ** 53 - 2,
    -1,
    -(2 ** 40),
    1 / 3,
    'shard/0/0',
    ['a', [], [true, null, undefined]]
  ]
  const bytes = encode(sample)
  expect(readUsual(bytes)).toEqual(sample)
  const buffer = Buffer.from(encode([Uint8Array.of(1, 2)]))
  const [part] = readUsual(buffer) as [Uint8Array]
  buffer.fill(0)
  expect(part).toEqual(Uint8Array.of(1, 2))
  fc.assert(
    fc.property(usual, (value) => {
      const found = readUsual(encode(value))
      // Numbers of few digits travel as short floats, which are the library's.
      if (found !== undefined) expect(found).toEqual(value)
    })
  )
})

test('what is changed, cut, repeated or at random is read as by the library, or left to it', () => {
  const broken = fc
    .tuple(
      usual.map((value) => encode(value)),
      fc.nat(),
      fc.nat(255),
      fc.constantFrom('set', 'cut', 'add')
    )
    .map(([bytes, at, byte, how]) => {
      const place = at % bytes.length
      const rest = how === 'add' ? bytes : bytes.slice(place + 1)
      return Uint8Array.from([...bytes.slice(0, place), ...(how === 'cut' ? [] : [byte, ...rest])])
    })
  fc.assert(
    fc.property(fc.oneof(broken, fc.uint8Array({ maxLength: 40 })), (bytes) => {
      const found = readUsual(bytes)
      if (found !== undefined) expect(found).toEqual(read(bytes))
    }),
    { numRuns: 5_000 }
  )
})

test('texts of equal length and hash place are not mixed up', () => {
  const texts = Array.from({ length: 5_000 }, (_, i) => `peer${String(i).padStart(5, '0')}`)
  for (const text of [...texts, ...texts]) expect(readUsual(encode(text))).toBe(text)
})

test.each([
  ['a map', encode({ a: 1 })],
  ['a BigInt', encode(2n ** 60n)],
  ['a text that is no ASCII', encode('é')],
  ['a long text', encode('x'.repeat(97))],
  ['a list of indefinite length', Uint8Array.of(0x9f, 0xff)],
  ['a list longer than the bytes', Uint8Array.of(0x9b, 0, 0x10, 0, 0, 0, 0, 0, 0)],
  ['a number of half the bytes', Uint8Array.of(0x19, 1)],
  ['two values', Uint8Array.of(1, 2)],
  ['nothing', new Uint8Array(0)]
])('%s is left to the library', (_, bytes) => {
  expect(readUsual(bytes)).toBeUndefined()
})
