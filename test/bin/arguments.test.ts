/**
 * Arguments: what flags become, and what one is told about a wrong one.
 *
 * Not here: what commands do with them (test/integration/command.test.ts).
 */
import { describe, expect, test } from 'vitest'
import {
  distance,
  given,
  milliseconds,
  nearest,
  pairs,
  readArguments,
  readJobArguments,
  wholeNumber
} from '../../bin/arguments.ts'

const flags = {
  slots: { type: 'string' },
  label: { type: 'string', multiple: true },
  mdns: { type: 'boolean', default: true },
  json: { type: 'boolean', default: false }
} as const

const read = (...args: string[]) => readArguments('up', args, flags)

describe('flags', () => {
  test('are given in any order, between operands', () => {
    const { values, operands } = read('a', '--slots', '4', 'b', '--label=x=1', '--label', 'y', '--no-mdns')
    expect(values).toMatchObject({ slots: '4', label: ['x=1', 'y'], mdns: false, json: false })
    expect(operands).toEqual([
      { text: 'a', isLiteral: false },
      { text: 'b', isLiteral: false }
    ])
  })

  test('end at --, and a single dash is no flag', () => {
    const { values, operands } = read('-', '--', '--json', '-')
    expect(values.json).toBe(false)
    expect(operands).toEqual([
      { text: '-', isLiteral: false },
      { text: '--json', isLiteral: true },
      { text: '-', isLiteral: true }
    ])
  })

  test.each([
    ['--sloots', '`shoal up` has no flag --sloots; did you mean --slots?'],
    ['--lab=x', '`shoal up` has no flag --lab; did you mean --label?'],
    ['--no-mnds', '`shoal up` has no flag --no-mnds; did you mean --no-mdns?'],
    ['--frobnicate', '`shoal up` has no flag --frobnicate; see `shoal help up`'],
    ['-x', '`shoal up` has no flag -x; see `shoal help up`'],
    ['--slots', '--slots of `shoal up` needs a value; see `shoal help up`'],
    [
      '--slots --json',
      '--slots of `shoal up` needs a value (--slots=VALUE if that begins with a dash); see `shoal help up`'
    ],
    ['--json=1', '--json of `shoal up` takes no value; see `shoal help up`']
  ])('%s is refused with advice', (args, message) => {
    expect(() => read(...args.split(' '))).toThrow(
      expect.objectContaining({ code: 'SHOAL_BAD_OPTION', message })
    )
  })
})

test('ids of jobs may begin with a dash', () => {
  const { id, values } = readJobArguments('result', ['--json', '-bcdefgh-_ABC123'], flags)
  expect(id).toBe('-bcdefgh-_ABC123')
  expect(values.json).toBe(true)
  expect(readJobArguments('result', ['--bcdefgh-_ABC12'], flags).id).toBe('--bcdefgh-_ABC12')
  expect(readJobArguments('result', ['--', '-b'], flags).id).toBe('-b')
  expect(() => readJobArguments('result', [], flags)).toThrow('which job?')
  expect(() => readJobArguments('result', ['a', 'b'], flags)).toThrow('one job at a time, not also b')
})

test('numbers are checked before they are used', () => {
  expect(milliseconds('--timeout', '1.5')).toBe(1_500)
  expect(milliseconds('--timeout', '.5')).toBe(500)
  expect(milliseconds('--timeout', undefined)).toBeUndefined()
  for (const text of ['0', '-1', '', '1s', 'NaN', 'Infinity', '1e3'])
    expect(() => milliseconds('--timeout', text)).toThrow('give seconds above 0, like --timeout 30')
  expect(wholeNumber('--slots', '0')).toBe(0)
  for (const text of ['', ' ', '1.5', '-1', '0x10'])
    expect(() => wholeNumber('--slots', text)).toThrow('give a whole number, like --slots 4')
})

test('labels are pairs', () => {
  expect(pairs('--label', ['a=1', 'b=', 'c=x=y', 'a=2'])).toEqual({ a: '2', b: '', c: 'x=y' })
  expect(pairs('--label', undefined)).toBeUndefined()
  for (const text of ['a', '=a', '']) expect(() => pairs('--label', [text])).toThrow('like --label gpu=a100')
})

test('options that were not given are left out', () => {
  expect(Object.keys(given({ a: 1, b: undefined, c: false }))).toEqual(['a', 'c'])
})

describe('the nearest name', () => {
  test.each([
    ['stauts', 'status'],
    ['stat', 'status'],
    ['reslt', 'result'],
    ['jbos', 'jobs'],
    ['mp', 'map'],
    ['upp', 'up']
  ])('to %s is %s', (typed, name) => {
    expect(nearest(typed, ['init', 'up', 'status', 'map', 'jobs', 'result', 'cancel'])).toBe(name)
  })

  test('is none if nothing is near', () => {
    for (const typed of ['', 'explode', '--', 'x'])
      expect(nearest(typed, ['init', 'up', 'status'])).toBeUndefined()
  })

  test('counts a swap as one edit', () => {
    expect(distance('stauts', 'status')).toBe(1)
    expect(distance('', 'abc')).toBe(3)
    expect(distance('kitten', 'sitting')).toBe(3)
    expect(distance('same', 'same')).toBe(0)
  })
})
