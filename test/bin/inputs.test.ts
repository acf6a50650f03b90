/**
 * Inputs of `shoal map`: texts, globs, JSON, and lines of stdin that are read no faster than they are wanted.
 *
 * Not here: sending them.
 */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
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

async function* chunks(...parts: (string | number[])[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : Uint8Array.from(part)
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

test('the mark that a text may begin with is none of it', async () => {
  const mark = [0xef, 0xbb, 0xbf]
  const lines = async (...parts: (string | number[])[]): Promise<unknown[]> => all(linesOf(chunks(...parts)))
  expect(await lines(mark, 'a\r\nb\n')).toEqual(['a', 'b'])
  expect(await lines([0xef], [0xbb], [0xbf], 'a')).toEqual(['a'])
  expect(await lines(mark, '\na', mark)).toEqual(['', 'a\uFEFF'])
  expect(await lines(mark)).toEqual([])
  expect(await all(await readInputs(plain('-'), true, chunks(mark, '{"a":1}\n')))).toEqual([{ a: 1 }])
})

test('no chunk is read before it is needed', async () => {
  let read = 0
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) yield Buffer.from(`line ${read++}\n`)
  }
  const lines = linesOf(endless())
  for (let i = 0; i < 3; i++) expect((await lines.next()).value).toBe(`line ${i}`)
  expect(read).toBe(3)
  await lines.return()
})

test('letters may come in parts, and a line that is no UTF-8 is named', async () => {
  const inputs = await readInputs(
    plain('-'),
    false,
    chunks('caf', [0xc3], [0xa9, 0x0a], 'a\nb', [0xe9], '\nc')
  )
  const read: unknown[] = []
  await expect(
    (async () => {
      for await (const input of inputs) read.push(input)
    })()
  ).rejects.toMatchObject({
    code: 'SHOAL_BAD_OPTION',
    message: 'line 3 of stdin is no UTF-8; convert it, as `iconv -f latin1 -t utf-8` does'
  })
  expect(read).toEqual(['café', 'a'])
  await expect(all(await readInputs(plain('-'), true, chunks('1\n"', [0xc3])))).rejects.toThrow(
    'line 2 of stdin is no UTF-8'
  )
})

test('a file whose name is no UTF-8 is named, and a link to nothing is an input like others', async () => {
  await symlink('nothing', join(folder, 'a.txt'))
  expect(await readInputs(plain(join(folder, '*.txt')), false, chunks())).toEqual([join(folder, 'a.txt')])
  await writeFile(
    Buffer.concat([Buffer.from(join(folder, 'caf')), Buffer.from([0xe9]), Buffer.from('.txt')]),
    ''
  )
  await expect(readInputs(plain(join(folder, '*.txt')), false, chunks())).rejects.toMatchObject({
    code: 'SHOAL_BAD_OPTION',
    message: `the name of ${join(folder, 'caf\uFFFD.txt')} is no UTF-8; rename that file`
  })
})
