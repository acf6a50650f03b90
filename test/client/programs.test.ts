/**
 * What a program over inputs becomes before it travels.
 *
 * Not here: running it (test/tasks/executor/programs.test.ts, test/integration/programs.test.ts).
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ProgramOptions, planProgram, textThere } from '../../src/client/programs.ts'
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

test('two files of one name are refused in words that are true of the command, too', async () => {
  const plan = planProgram({
    command: 'cat',
    files: [join(folder, 'a'), `${folder}/../${basename(folder)}/a`]
  })
  await expect(plan.ship(put)).rejects.toThrow(
    /^two files would be a in the program's folder; give one of them another name$/
  )
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

const most = 'x'.repeat(131_071)

test.each<[string, Omit<ProgramOptions, 'command'>, string | undefined]>([
  ['the longest argument', { each: [most] }, undefined],
  ['a longer one', { each: ['1', `${most}x`] }, 'an argument of input 2 has 131072 bytes'],
  [
    'one of bytes, not characters',
    { each: [`${'é'.repeat(65_535)}xx`] },
    'an argument of input 1 has 131072'
  ],
  [
    'a script with its quotes',
    { each: [`${most.slice(6)} `], shell: true },
    'the script of input 1 has 131073'
  ],
  ['a variable with its name', { each: [most.slice(1)], env: { A: '{}' } }, 'the variable A of input 1 has'],
  ['an argument without inputs', { args: [`${most}x`] }, 'an argument has 131072 bytes'],
  ['an input that is no argument', { each: [`${most}x`], args: ['{#}'] }, undefined],
  ['a longer one', { each: [`${most}xx`], args: ['{#}'] }, 'input 1 has 131073 characters, more than 131072'],
  ['the name of a file', { each: [`${most}xx`], files: ['{}'] }, 'input 1 has 131073 characters'],
  ['stdin', { stdin: new Uint8Array((4 << 20) + 1) }, '`stdin` has 4194305 bytes, more than 4194304']
])('%s: what is too long is refused before anything is submitted', async (_, options, refusal) => {
  const check = async (): Promise<string | undefined> => {
    const plan = planProgram({ command: 'true', ...options })
    return plan.check().then(() => undefined)
  }
  const told = await check().catch(({ message }: Error) => message)
  expect(told?.slice(0, refusal?.length)).toBe(refusal)
  if (told !== undefined) expect(told).toMatch(/; put it into a file[^x]*$/)
})

test('a line that is too long among inputs that come later is named, and not told whole', async () => {
  async function* each(): AsyncGenerator<string> {
    yield '1'
    yield `${most}xx`
  }
  const plan = planProgram({ command: 'echo', each: each() })
  await plan.ship(put)
  const inputs = plan.inputs(put)
  await inputs.next()
  await expect(inputs.next()).rejects.toMatchObject({
    code: 'SHOAL_BAD_VALUE',
    message:
      'input 2 has 131073 characters, more than 131072; put it into a file, and give its name instead; input 2 and what follows it were not submitted'
  })
})
