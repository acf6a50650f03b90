/**
 * Inputs of `shoal map`: texts, globs, JSON, and lines of stdin that are read no faster than they are wanted.
 *
 * Not here: sending them.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Operand } from '../../bin/arguments.ts'
import { type Inputs, linesOf, readInputs } from '../../bin/inputs.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-inputs-'))
})
afterEach(() => rm(folder, { recursive: true }))

const plain = (...texts: string[]): Operand[] => texts.map((text) => ({ text, isLiteral: false }))
const literal = (...texts: string[]): Operand[] => texts.map((text) => ({ text, isLiteral: true }))

async function* chunks(...parts: string[]): AsyncGenerator<string> {
  yield* parts
}

async function all(inputs: Inputs | AsyncIterable<unknown>): Promise<unknown[]> {
  const found: unknown[] = []
  for await (const input of inputs) found.push(input)
  return found
}

test('arguments are texts', async () => {
  expect(await readInputs(plain('a', '', 'what?no', 'x#y').slice(0, 2), false, chunks())).toEqual(['a', ''])
  await expect(readInputs([], false, chunks())).rejects.toThrow('no inputs; give some, or -')
})

test('globs are the files that they match, in order', async () => {
  await mkdir(join(folder, 'c.txt'))
  for (const name of ['b.txt', 'a.txt', 'x.md', 'd[1].txt']) await writeFile(join(folder, name), '')
  const inputs = await readInputs(plain(join(folder, '*.txt'), 'z', join(folder, '?.md')), false, chunks())
  expect(inputs).toEqual([
    ...['a.txt', 'b.txt', 'd[1].txt'].map((name) => join(folder, name)),
    'z',
    join(folder, 'x.md')
  ])
  expect(await readInputs(plain(join(folder, 'd[1].txt')), false, chunks())).toEqual([
    join(folder, 'd[1].txt')
  ])
  await expect(readInputs(plain(join(folder, '*.nope')), false, chunks())).rejects.toMatchObject({
    code: 'SHOAL_BAD_OPTION',
    message: expect.stringMatching(/^no file matches .*; check the pattern, or put -- before/)
  })
})

test('after -- nothing has a meaning', async () => {
  const inputs = await readInputs(literal('*.nope', '-', '{a,b}'), false, chunks('no\n'))
  expect(inputs).toEqual(['*.nope', '-', '{a,b}'])
})

test('JSON is read before anything is sent, and is never a glob', async () => {
  expect(await readInputs(plain('[1,2]', '{"a":1}', '"x"'), true, chunks())).toEqual([[1, 2], { a: 1 }, 'x'])
  await expect(readInputs(plain('1', 'x'), true, chunks())).rejects.toThrow('the input "x" is no JSON')
})

test('stdin stands where - stands', async () => {
  const inputs = await readInputs(plain('a', '-', 'z'), false, chunks('l1\nl', '2\r\n\nl', '4'))
  expect(await all(inputs)).toEqual(['a', 'l1', 'l2', '', 'l4', 'z'])
  await expect(readInputs(plain('-', '-'), false, chunks())).rejects.toThrow('- is given twice')
})

test('lines of JSON may be empty, and a wrong one is named', async () => {
  expect(await all(await readInputs(plain('-'), true, chunks('1\n\n{"a":2}\n')))).toEqual([1, { a: 2 }])
  const wrong = await readInputs(plain('-'), true, chunks('1\n{\n'))
  await expect(all(wrong)).rejects.toMatchObject({
    code: 'SHOAL_BAD_OPTION',
    message: 'line 2 of stdin is no JSON; without --json-lines, inputs are texts'
  })
})

test('no chunk is read before it is needed', async () => {
  let read = 0
  async function* endless(): AsyncGenerator<string> {
    for (;;) yield `line ${read++}\n`
  }
  const lines = linesOf(endless())
  for (let i = 0; i < 3; i++) expect((await lines.next()).value).toBe(`line ${i}`)
  expect(read).toBe(3)
  await lines.return()
})
