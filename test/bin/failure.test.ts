/**
 * How the command tells an error, and what it advises.
 *
 * Not here: which exit code it has (test/integration/command.test.ts).
 */
import { expect, test } from 'vitest'
import { errorLine } from '../../bin/failure.ts'
import { ShoalError } from '../../src/errors.ts'

test('who asks for a job that nobody knows is told of `shoal jobs`, and who asks for a node or a source is not', () => {
  const of = (message: string): string => errorLine(new ShoalError('SHOAL_NOT_FOUND', message))
  expect(of('no node that could be asked knows the job x')).toContain('`shoal jobs`')
  expect(of('no node x is up; see `shoal status`')).toBe(
    'SHOAL_NOT_FOUND: no node x is up; see `shoal status`'
  )
  expect(of('no node that is up offers the source x')).not.toContain('`shoal jobs`')
})

test('a file that is not found by its name as a text is one to be renamed', () => {
  const of = (name: string): string =>
    errorLine(new ShoalError('SHOAL_BAD_OPTION', `there is no file ${name}; nothing was submitted`))
  expect(of('caf\uFFFD.txt')).toBe(
    'SHOAL_BAD_OPTION: there is no file caf\uFFFD.txt; nothing was submitted; rename a file whose name is no UTF-8'
  )
  expect(of('café.txt')).toBe('SHOAL_BAD_OPTION: there is no file café.txt; nothing was submitted')
})
