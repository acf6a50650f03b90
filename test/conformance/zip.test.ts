/**
 * What users of ipyparallel rely on in maps over several sources at once.
 *
 * Not here: the rest of what views do (views.test.ts). Names begin with the item of CONFORMANCE.md.
 */
import { writeFile } from 'node:fs/promises'
import { afterEach, expect, test } from 'vitest'
import { Mesh, upTo } from './mesh.ts'

let mesh: Mesh | undefined
afterEach(() => mesh?.close())

test('CONFORMANCE 11: of sources of unequal lengths the shortest wins, generators are taken, and order is kept if asked for', async () => {
  mesh = await Mesh.open(1, { slots: 2 })
  const { client } = mesh
  let isEnded = false
  function* endless(): Generator<number> {
    try {
      for (let n = 0; ; n++) yield n
    } finally {
      isEnded = true
    }
  }
  async function* letters(): AsyncGenerator<string> {
    yield* 'abcd'
  }
  const add = (a: number, b: number): number => a + b
  const zip = true
  expect(await client.map(add, [endless(), [10, 20, 30]], { zip })).toEqual([10, 21, 32])
  expect(isEnded).toBe(true)
  expect(await client.map((a: string, b: number) => a + b, [letters(), endless()], { zip })).toEqual([
    'a0',
    'b1',
    'c2',
    'd3'
  ])
  expect(await client.map(add, [[1, client.submit(() => 2)], endless()], { zip })).toEqual([1, 3])
  expect(await client.map(add, [[], endless()], { zip })).toEqual([])
  expect(() => client.map(add, endless() as never, { zip })).toThrow(/list of iterables/)
  // So do views, and a generator is read to its end.
  const all = client.view('all')
  expect(await all.map(add, [endless(), upTo(5)], { zip })).toEqual([0, 2, 4, 6, 8])
  expect(await all.map((letter: string) => `${letter}!`, letters())).toEqual(['a!', 'b!', 'c!', 'd!'])
  const balanced = client.balanced()
  expect(await balanced.map(add, [upTo(7), upTo(3)], { zip }).get()).toEqual([0, 2, 4])
  expect(await Array.fromAsync(balanced.imap(add, [upTo(4), endless()], { zip }))).toEqual([0, 2, 4, 6])
  // The first one ends last: without order it comes last, with order first.
  const gate = `${mesh.folder}/11`
  const wait = async ([n, path]: readonly [number, string]): Promise<number> => {
    const { existsSync } = process.getBuiltinModule('node:fs')
    while (n === 0 && !existsSync(path)) await new Promise((done) => setTimeout(done, 5))
    return n
  }
  const order = async (ordered: boolean): Promise<number[]> => {
    const all: number[] = []
    for await (const n of balanced.imap(
      wait,
      upTo(3).map((n) => [n, gate] as const),
      { ordered }
    )) {
      all.push(n)
      if (all.length === 2) await writeFile(gate, '')
    }
    return all
  }
  expect(await order(false)).toEqual([1, 2, 0])
  expect(await order(true)).toEqual([0, 1, 2])
})
