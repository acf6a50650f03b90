/**
 * Sources read side by side: who is pulled how far, and who is told that no more is wanted.
 *
 * Not here: jobs made of them (test/conformance/views.test.ts).
 */
import { expect, test } from 'vitest'
import { zipped } from '../../src/client/zip.ts'

function* upTo(count: number, ended: unknown[] = [], fault?: Error): Generator<number> {
  try {
    for (let n = 0; n < count; n++) yield n
    if (fault !== undefined) throw fault
  } finally {
    ended.push(count)
  }
}
async function* later(count: number, ended: unknown[] = [], fault?: Error): AsyncGenerator<number> {
  yield* upTo(count, ended, fault)
}
const rowsOf = (sources: unknown): Promise<unknown[]> =>
  Array.fromAsync(zipped(sources).inputs as AsyncIterable<unknown>)

test('the shortest ends it, and those that go on are told', async () => {
  for (const source of [upTo, later]) {
    const ended: unknown[] = []
    expect(await rowsOf([source(9, ended), [5, 6], source(8, ended)])).toEqual([
      [0, 5, 0],
      [1, 6, 1]
    ])
    expect(ended.sort()).toEqual([8, 9])
  }
  expect(await rowsOf([])).toEqual([])
  // One source for two places gives pairs, as in Python.
  const one = upTo(5)
  expect(await rowsOf([one, one])).toEqual([
    [0, 1],
    [2, 3]
  ])
})

test('one that throws ends the others; a reader who leaves ends all', async () => {
  for (const source of [upTo, later]) {
    const ended: unknown[] = []
    const rows = rowsOf([source(4, ended), source(2, ended, new RangeError('no'))])
    await expect(rows).rejects.toThrow('no')
    expect(ended.sort()).toEqual([2, 4])
    for await (const _ of zipped([source(6, ended), source(7, ended)]).inputs) break
    expect(ended).toEqual([2, 4, 6, 7])
  }
})

test('it may be endless only if all of them may; what is no list of iterables is refused', () => {
  expect(zipped([upTo(1), [1]]).mayBeEndless).toBe(false)
  expect(zipped([upTo(1), later(1)]).mayBeEndless).toBe(true)
  for (const odd of [upTo(1), [1, 2], [[1], undefined], 'ab'])
    expect(() => zipped(odd)).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
})
