/**
 * What may be given as an option, an input or a list of arguments.
 *
 * Not here: what options do. Whatever cannot be used is refused before anything of it leaves, by its name: the mesh would not
 * read it, and whoever sent it would wait.
 */
import { expect, test } from 'vitest'
import { moduleFunction } from '../../src/client/functions.ts'
import { checkMapOptions, checkTaskOptions } from '../../src/client/options.ts'
import { waitsOf } from '../../src/client/waits.ts'
import { plainInputs } from '../../src/client/zip.ts'

const refused = {
  name: [5, null, 'x'.repeat(129)],
  key: [5, null, '', 'x'.repeat(257)],
  retries: [-1, 1.5, Number.NaN, '2', null, true, 1e9],
  timeout: [-1, 0, Number.NaN, Number.POSITIVE_INFINITY, '5', null, true],
  queueTimeout: [-1, 0, Number.NaN, '5', null, true],
  retention: [-1, 0, Number.NaN, '5', null, true],
  priority: [Number.NaN, Number.POSITIVE_INFINITY, '5', null],
  atMostOnce: ['yes', 1, null],
  returnErrors: ['yes', 1, null],
  inFlightMax: [0, -1, 1.5, Number.NaN, '3', null],
  scope: [5, 'x', null, [1]],
  keepers: [0, -1, 1.5, Number.NaN, '3', null, [], { max: 3 }, { count: 2, min: 5 }, { min: Number.NaN }],
  requires: [5, 'gpu', [], { lables: {} }, { resources: { gpu: 0.5 } }],
  targets: [5, 'x', null, {}, [5], [''], ['zmveuz'], ['zmveuz/1'], ['a b']],
  after: [5, null, {}, [5], { tasks: ['a'], all: 'yes' }, { tasks: ['a'], success: 1 }],
  follow: [5, null, {}, [5], { tasks: ['a'], failure: 'yes' }],
  signal: [5, 'x', {}, null],
  retrys: [2]
}
for (const [name, values] of Object.entries(refused)) {
  for (const value of values) {
    test(`the option ${name}: ${JSON.stringify(value)} is refused by its name`, () => {
      const check = (): unknown => checkMapOptions({ [name]: value })
      expect(check).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
      expect(check).toThrow(name)
    })
  }
}

test('options that are no object are refused', () => {
  for (const options of [5, 'retries', null, [2]])
    expect(() => checkTaskOptions(options as never)).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
    )
})

test('what is no list of arguments and cannot be iterated is refused', () => {
  for (const given of [undefined, null, 5, { a: 1 }, () => 1])
    expect(() => plainInputs(given)).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_VALUE' }))
  for (const given of [null, 5, 'abc', { a: 1 }])
    expect(() => waitsOf(given as never, [])).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_VALUE' }))
})

test('the characters of a text are inputs, as of everything that can be iterated', () => {
  expect([...(plainInputs('añ🐟').inputs as Iterable<unknown>)]).toEqual(['a', 'ñ', '🐟'])
})

test('a module function needs a path', () => {
  for (const file of [5, undefined, null, ''])
    expect(() => moduleFunction(file as never)).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_FUNCTION' })
    )
})
