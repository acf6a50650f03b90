/**
 * What a program over inputs becomes before it travels.
 *
 * Not here: running it (test/tasks/executor/programs.test.ts, test/integration/programs.test.ts).
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { planProgram, textThere } from '../../src/client/programs.ts'
import { parseProgramInput } from '../../src/tasks/executor/program.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-programs-'))
  for (const name of ['a', 'b']) await writeFile(join(folder, name), name)
})
afterAll(() => rm(folder, { recursive: true }))

const put = (): never => expect.unreachable('small files travel with their input')

test('an input with its file goes as soon as it is there, whether or not another one follows', async () => {
  const gate = Promise.withResolvers<void>()
  let isClosed = false
  async function* each(): AsyncGenerator<string> {
    try {
      yield join(folder, 'a')
      await gate.promise
      yield join(folder, 'b')
      yield join(folder, 'a')
    } finally {
      isClosed = true
    }
  }
  const plan = planProgram({ command: 'cat', each: each(), files: ['{}'] })
  await plan.ship(put)
  const inputs = plan.inputs(put)
  const textOf = ({ value }: IteratorResult<Uint8Array, void>): string =>
    parseProgramInput(value ?? new Uint8Array()).text
  expect(textOf(await inputs.next())).toBe('a')
  gate.resolve()
  expect(textOf(await inputs.next())).toBe('b')
  await inputs.return()
  expect(isClosed).toBe(true)
})

test('a file that is missing among inputs that come later is named with the number of its input', async () => {
  async function* each(): AsyncGenerator<string> {
    yield join(folder, 'a')
    yield join(folder, 'none')
  }
  const plan = planProgram({ command: 'cat', each: each(), files: ['{}'] })
  await plan.ship(put)
  const inputs = plan.inputs(put)
  await inputs.next()
  await expect(inputs.next()).rejects.toThrow(/none; input 2 and what follows it were not submitted$/)
})

test.each([
  ['in/./a', 'in/a'],
  ['/elsewhere/a', 'a'],
  ['-dash', '-dash'],
  ['./-dash', './-dash'],
  ['/elsewhere/-dash', './-dash'],
  ['./-dash/a', './-dash/a']
])('%s is %s there: what was no flag here is none there', (text, there) => {
  expect(textThere({ files: ['{}'] }, text)).toBe(there)
})
