/**
 * Which node is meant by what people give for its id.
 *
 * Not here: who is asked for those that are up (test/integration/usage.test.ts).
 */
import { expect, test } from 'vitest'
import { wholeTarget } from '../../bin/nodes.ts'

const id = (end: string): string => `12D3KooW${end.padStart(44, 'q')}`
const up = [id('aaBBcc'), id('xxBBcc'), id('zmveuz')]

test('the end of an id that is up, and of one only, is that node; so is one of its engines', () => {
  expect(wholeTarget('zmveuz', up)).toBe(id('zmveuz'))
  expect(wholeTarget('zmveuz/1', up)).toBe(`${id('zmveuz')}/1`)
  expect(wholeTarget('aBBcc', up)).toBe(id('aaBBcc'))
})

test('a whole id stays as it is, also of a node that is not up', () => {
  expect(wholeTarget(id('gone'), up)).toBe(id('gone'))
  expect(wholeTarget(`${id('gone')}/12`, up)).toBe(`${id('gone')}/12`)
})

test('what is no node that is up, that of several, and what is no id are refused', () => {
  const code = (given: string): unknown => {
    try {
      return wholeTarget(given, up)
    } catch (error) {
      return [(error as { code: string }).code, (error as Error).message]
    }
  }
  const unknown = ['SHOAL_NOT_FOUND', expect.stringContaining('see `shoal status`')]
  for (const given of ['', '/1', 'nobody', 'zmveuz0', '12D3KooW']) expect(code(given)).toEqual(unknown)
  const several = `"BBcc/0" is the end of several ids, ${id('aaBBcc')}, ${id('xxBBcc')}; give more of it`
  expect(code('BBcc/0')).toEqual(['SHOAL_BAD_OPTION', several])
  for (const given of ['zmveuz/', 'zmveuz/x', 'zmveuz/1/2'])
    expect(code(given)).toEqual(['SHOAL_BAD_OPTION', expect.stringContaining('zmveuz/0')])
})
