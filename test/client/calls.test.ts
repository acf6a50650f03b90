/**
 * Calls of engines by tasks that wait for each other: which one is refused, and when.
 *
 * Not here: tasks and nodes (test/conformance/nested.test.ts).
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { OpenCall } from '../../src/client/answers.ts'
import { Calls, isToRefuse } from '../../src/client/calls.ts'
import { End } from '../../src/client/endings.ts'
import type { JobId } from '../../src/ids.ts'

/** Tasks on the engines `around` wait for it, and only `targets` may run it. */
const call = (job: string, around: string, targets: string): OpenCall => ({
  job,
  around: around.split(' '),
  targets: targets.split(' ')
})
const refused = (...calls: OpenCall[]): string[] =>
  calls.filter(({ job }) => isToRefuse(job, calls)).map(({ job }) => job)

test.each([
  ['two that call each other', [call('2', 'A', 'B'), call('1', 'B', 'A')], ['1']],
  ['three in a circle', [call('1', 'A', 'B'), call('2', 'B', 'C'), call('3', 'C', 'A')], ['1']],
  ['a circle through a task of any engine', [call('1', 'A', 'B'), call('2', 'B X', 'A')], ['1']],
  ['who only waits for a circle', [call('0', 'D', 'A'), call('1', 'A', 'B'), call('2', 'B', 'A')], ['1']],
  [
    'two circles',
    [call('1', 'A', 'B'), call('2', 'B', 'A'), call('3', 'C', 'D'), call('4', 'D', 'C')],
    ['1', '3']
  ],
  ['a line', [call('1', 'A', 'B'), call('2', 'B', 'C')], []],
  ['an engine that may do it instead', [call('1', 'A', 'B C'), call('2', 'B', 'A')], []],
  ['all that may do it wait', [call('1', 'A', 'B C'), call('2', 'B', 'A'), call('3', 'C', 'A')], ['1']]
])('%s', (_, calls, expected) => {
  expect(refused(...calls)).toEqual(expected)
})

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test.each([
  ['what two looks have seen', ['12', '12'], true],
  ['what had begun by the second look', ['12', '1'], false],
  ['what came only then', ['1', '12'], false]
])('%s', async (_, seen, isRefused) => {
  const both = [call('1', 'A', 'B'), call('2', 'B', 'A')]
  const looks = [...seen]
  const calls = new Calls(async () => {
    const now = looks.shift() ?? ''
    return both.filter(({ job }) => now.includes(job))
  })
  const errors: Error[] = []
  calls.watch({ id: '1' as JobId, end: new End(), abandon: (error) => errors.push(error) })
  await vi.advanceTimersByTimeAsync(1_900)
  expect(errors.map((error) => (error as Error & { code: string }).code)).toEqual(
    isRefused ? ['SHOAL_OWN_ENGINE'] : []
  )
})

test('a call that has ended is not looked for', async () => {
  const look = vi.fn(async () => [])
  const calls = new Calls(look)
  const end = new End()
  calls.watch({ id: '1' as JobId, end, abandon: () => {} })
  end.over(false)
  await vi.advanceTimersByTimeAsync(100_000)
  expect(look).not.toHaveBeenCalled()
})
