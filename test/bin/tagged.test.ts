/**
 * Lines of many tasks at once: whole, and each with its own.
 *
 * Not here: how they come (test/integration/programs.test.ts).
 */
import { expect, test } from 'vitest'
import { TaggedLines } from '../../bin/tagged.ts'

test('lines are told when they are whole, whatever pieces they come in, and of whichever stream', () => {
  const said: string[] = []
  const lines = new TaggedLines((index, line) => said.push(`${index} ${line}`))
  const add = (index: number, stdout: string, stderr = ''): void => lines.add({ index, stdout, stderr })
  add(0, 'a', 'x\ny')
  expect(said).toEqual(['0 x'])
  add(1, 'one\r\n\ntwo\n')
  add(0, 'b\nc')
  expect(said.splice(1)).toEqual(['1 one', '1 ', '1 two', '0 ab'])
  lines.end(1)
  lines.end(0)
  expect(said.splice(1)).toEqual(['0 c', '0 y'])
  lines.end(0)
  add(0, 'z'.repeat(70_000))
  expect(said.splice(1)).toEqual([`0 ${'z'.repeat(70_000)}`])
})
