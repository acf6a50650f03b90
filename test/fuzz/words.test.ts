/**
 * What people write, on a command line or as options, with everything that they could: used, or refused by an error that says why.
 *
 * Not here: what is right to write (test/bin, test/node), and what other machines send (parsers.test.ts).
 * Whoever mistypes is to read SHOAL_BAD_OPTION and what would be right, never a TypeError from within.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import {
  amounts,
  integer,
  milliseconds,
  nearest,
  pairs,
  readArguments,
  readJobArguments,
  readRequires,
  wholeNumber
} from '../../bin/arguments.ts'
import { lastExpression } from '../../bin/commands/repl.ts'
import { linesOf, readInputs } from '../../bin/inputs.ts'
import { TaggedLines } from '../../bin/tagged.ts'
import { cellSorts, isCellName } from '../../src/cells/commands.ts'
import { capturesOf } from '../../src/client/captures.ts'
import { cellName } from '../../src/client/coordination/options.ts'
import { checkMapOptions, checkTaskOptions } from '../../src/client/options.ts'
import { prepare } from '../../src/client/views/statements.ts'
import {
  dataName,
  engineNamed,
  isDataId,
  isDigest,
  isJobId,
  isPeerId,
  isShardKey,
  type PeerId,
  shardName,
  taskNamed
} from '../../src/ids.ts'
import { addressesOf, parseAddress, peerOfAddress } from '../../src/node/host.ts'
import { isWithin, parseHours } from '../../src/node/presence.ts'
import { on, type Requires, requirement, requirementOf } from '../../src/routing/requirement.ts'
import { fill, hasTemplate, insideName, isInside, shellWord } from '../../src/tasks/executor/template.ts'
import { check, checkLater, same, taken, takenLater, testTimeout } from './cases.ts'

vi.setConfig({ testTimeout })

const text = fc.string({ maxLength: 40 })
const peer = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5' as PeerId

test('requirements: any value is one, or SHOAL_BAD_OPTION; what is one travels and comes back', () => {
  const leaf = fc.oneof(
    fc.constantFrom(true, 'a100', 3, null, 1n, Number.NaN, ['a', 2]),
    fc.anything({ maxDepth: 1, withBigInt: true })
  )
  const key = fc.constantFrom(
    'labels',
    'any',
    'all',
    'not',
    'resources',
    'source',
    '<',
    '>=',
    'gpu',
    'toJSON',
    '__proto__'
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 3 })
    )
  }))
  check(fc.tuple(value, fc.oneof(fc.array(text, { maxLength: 2 }), leaf)), ([requires, targets]) => {
    const found = taken('SHOAL_BAD_OPTION', () => requirementOf(requires as Requires, targets as string[]))
    if (found === undefined) return
    const read = requirement.check(requirement.plain(found), 'it')
    same(read.text, found.text)
    same(on('peerA/0', found).targets, ['peerA/0'])
  })
})

test('requirements that travel: any text is one, or SHOAL_BAD_MESSAGE', () => {
  const parts = [
    '{',
    '}',
    '"labels"',
    ':',
    '"any"',
    '[',
    ']',
    '"not"',
    '"targets"',
    ',',
    'true',
    '1',
    '"x"',
    '"<"',
    'null'
  ]
  const jsonLike = fc.array(fc.constantFrom(...parts), { maxLength: 12 }).map((list) => list.join(''))
  check(fc.oneof(fc.json({ maxDepth: 3 }), jsonLike, fc.anything({ maxDepth: 1 })), (said) => {
    const read = taken('SHOAL_BAD_MESSAGE', () => requirement.check(said, 'it'))
    if (read !== undefined) same(requirement.check(read.text, 'it'), read)
  })
})

test('options of jobs: any value is used, or refused by a code', () => {
  const names = [
    'retries',
    'timeout',
    'requires',
    'targets',
    'copies',
    'name',
    'signal',
    'after',
    'retention'
  ]
  const some = fc.dictionary(fc.constantFrom(...names), fc.anything({ maxDepth: 1, withBigInt: true }), {
    maxKeys: 3
  })
  check(fc.oneof(some, fc.anything({ maxDepth: 1 })), (options) => {
    for (const checkOptions of [checkTaskOptions, checkMapOptions])
      taken('SHOAL_BAD_OPTION', () => checkOptions(options as never))
  })
})

test('hours: two times of a day, or SHOAL_BAD_OPTION', () => {
  const time = fc.stringMatching(/^\d{0,3}:\d{0,3}$/)
  check(
    fc.oneof(
      text,
      fc.tuple(time, time).map(([from, to]) => `${from}-${to}`)
    ),
    (said) => {
      const found = taken('SHOAL_BAD_OPTION', () => parseHours(said))
      if (found === undefined) return
      for (const minute of [found.from, found.to]) expect(minute >= 0 && minute <= 1_440).toBe(true)
      expect(isWithin(found, found.from % 1_440)).toBe(true)
    }
  )
})

test('addresses: one that can be dialled, or SHOAL_BAD_OPTION; of those that others tell, bad ones are left out', () => {
  const part = fc.constantFrom(
    '/ip4',
    '/ip6',
    '/127.0.0.1',
    '/::1',
    '/tcp',
    '/4400',
    '/99999',
    '/p2p',
    `/${peer}`,
    '/dns',
    '/x',
    '/',
    ''
  )
  const made = fc.array(part, { maxLength: 7 }).map((list) => list.join(''))
  check(fc.oneof(made, text), (said) => {
    const address = taken('SHOAL_BAD_OPTION', () => parseAddress(said))
    if (address !== undefined) expect(isPeerId(peerOfAddress(address) ?? peer)).toBe(true)
    for (const one of addressesOf(peer, [said, '/ip4/127.0.0.1/tcp/1'])) {
      expect(one.toString()).toContain(peer)
      expect(peerOfAddress(one)).toBe(peer)
    }
  })
})

test('names: what is one has its parts, and is written as it was', () => {
  const key = fc.stringMatching(/^[a-z]{7,9}[/:.]\d{0,3}([/:]\d{0,3})?$/)
  const data = fc.stringMatching(/^[A-Za-z0-9_-]{42,44}\.\d{0,4}$/)
  check(fc.tuple(fc.oneof(text, key, data), fc.constantFrom(...cellSorts)), ([name, sort]) => {
    if (isShardKey(name)) {
      const { job, index, epoch } = shardName(name)
      expect(isJobId(job) && Number.isInteger(index) && Number.isInteger(epoch)).toBe(true)
    }
    if (isDataId(name)) {
      const { hash, size } = dataName(name)
      expect(isDigest(hash)).toBe(true)
      expect(`${hash}.${size}`).toBe(name)
    }
    const task = taskNamed(name)
    if (task !== undefined) expect(isJobId(task.job) && Number.isInteger(task.index)).toBe(true)
    const engine = engineNamed(name)
    if (engine !== undefined) expect(isPeerId(engine.node) && engine.slot < 1_000).toBe(true)
    const cell = taken('SHOAL_BAD_OPTION', () => cellName(sort, name))
    if (cell !== undefined) expect(isCellName(cell)).toBe(true)
  })
})

test('paths and templates: what lies inside a folder stays there, and a text without an input stays as it is', () => {
  const part = fc.constantFrom(
    '/',
    '..',
    '.',
    'a',
    '{}',
    '{/}',
    '{.}',
    '{//}',
    '{#}',
    '{',
    '}',
    "'",
    '\\',
    '\0',
    ' '
  )
  const path = fc.oneof(
    text,
    fc.array(part, { maxLength: 8 }).map((list) => list.join(''))
  )
  check(fc.tuple(path, path), ([one, other]) => {
    const name = insideName(one)
    if (name !== undefined && !name.includes('\0')) expect(isInside(name)).toBe(true)
    if (isInside(one)) expect(one.startsWith('/')).toBe(false)
    expect(fill(one, undefined)).toBe(one)
    const filled = fill(one, { text: other, number: 1 }, shellWord)
    if (!hasTemplate(one)) expect(filled).toBe(one)
    // Whoever reads the word as a shell does gets the text, and nothing beside it.
    const read = shellWord(other)
      .replaceAll(`'\\''`, '\0quote')
      .replaceAll("'", '')
      .replaceAll('\0quote', "'")
    if (!other.includes('\0')) expect(read).toBe(other)
  })
})

test('the text of a function: what it captures is told, and no text is too odd to be read', () => {
  const pieces =
    '( ) => { } function async x y = ... ` ${ [ ] , ; class * yield await \n " / import this'.split(' ')
  const source = fc.oneof(
    text,
    fc.array(fc.constantFrom(...pieces), { maxLength: 15 }).map((list) => list.join(' '))
  )
  check(source, (text) => void expect(typeof capturesOf(text).kind).toBe('string'))
})

test('statements at a prompt: made ready to run, or SHOAL_BAD_FUNCTION', () => {
  const pieces =
    'let const var x y = 1 function f ( ) { } class A ; , [ ] await return import export ` ${ " / \n 0x # @ ?.'.split(
      ' '
    )
  const source = fc.oneof(
    text,
    fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((list) => list.join(' '))
  )
  check(source, (text) => {
    const ready = taken('SHOAL_BAD_FUNCTION', () => prepare(text))
    if (ready !== undefined) expect(typeof ready).toBe('string')
    expect(text).toContain(lastExpression(text))
  })
})

test('arguments of the command: values, or SHOAL_BAD_OPTION that names what is wrong', () => {
  const flags = {
    slots: { type: 'string' },
    label: { type: 'string', multiple: true },
    mdns: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false }
  } as const
  const words =
    '--slots --slots=3 --no-mdns --label a=b a=2 -- - --json --jsn -x --no-json=1 7 -7 .5 {} {"labels":{}}'.split(
      ' '
    )
  const flagged = ['--slots', '--label', '--no-mdns']
  const word = fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom(...words))
  check(fc.array(word, { maxLength: 6 }), (args) => {
    const read = taken('SHOAL_BAD_OPTION', () => readArguments('up', args, flags))
    taken('SHOAL_BAD_OPTION', () => readJobArguments('result', args, flags))
    for (const arg of args) {
      taken('SHOAL_BAD_OPTION', () => wholeNumber('--slots', arg))
      taken('SHOAL_BAD_OPTION', () => integer('--priority', arg))
      taken('SHOAL_BAD_OPTION', () => milliseconds('--timeout', arg))
      taken('SHOAL_BAD_OPTION', () => pairs('--label', [arg]))
      taken('SHOAL_BAD_OPTION', () => amounts('--resource', [arg]))
      const requires = taken('SHOAL_BAD_OPTION', () => readRequires(arg))
      if (requires !== undefined) taken('SHOAL_BAD_OPTION', () => requirementOf(requires))
      expect([undefined, ...flagged]).toContain(nearest(arg, flagged))
    }
    for (const operand of read?.operands ?? []) expect(args).toContain(operand.text)
  })
})

test('inputs of a job: as they were written, or SHOAL_BAD_OPTION, whether they come as words or as lines', async () => {
  // No asterisk: what it matches is looked for in all folders of this machine.
  const word = fc.string({
    unit: fc.constantFrom('a', '?', '[', ']', '{', '}', ',', '!', '\0', '"', '1', '-', ' '),
    maxLength: 5
  })
  const operand = fc.record({
    text: fc.oneof(word, fc.constantFrom('-', '{"a":1}', '[1]')),
    isLiteral: fc.boolean()
  })
  const chunk = fc.string({ unit: fc.constantFrom('a', '\n', '\r', '{}', ' '), maxLength: 6 })
  const given = fc.tuple(fc.array(operand, { maxLength: 3 }), fc.boolean(), fc.array(chunk, { maxLength: 4 }))
  await checkLater(given, async ([operands, isJson, chunks]) => {
    async function* stdin(): AsyncGenerator<Uint8Array> {
      yield* chunks.map((chunk) => Buffer.from(chunk))
    }
    const inputs = await takenLater('SHOAL_BAD_OPTION', () => readInputs(operands, isJson, stdin()))
    if (inputs !== undefined) await takenLater('SHOAL_BAD_OPTION', () => Array.fromAsync(inputs))
    const whole = chunks.join('').replace(/\r?\n$/, '')
    const lines = await Array.fromAsync(linesOf(stdin()))
    if (chunks.join('') !== '')
      same(lines.join('\n').replace(/\r$/, ''), whole.replaceAll('\r\n', '\n').replace(/\r$/, ''))
  })
})

test('lines that many tasks print at once: each is told whole, under the task that printed it', () => {
  const chunk = fc.string({ unit: fc.constantFrom('a', 'b', '\n', 'é'), maxLength: 6 })
  const said = fc.array(fc.record({ index: fc.nat(2), stdout: chunk, stderr: chunk }), { maxLength: 6 })
  check(said, (list) => {
    const told: string[] = []
    const lines = new TaggedLines((index, line) => told.push(`${index} ${line}`))
    for (const one of list) lines.add({ fraction: -1, text: '', ...one } as never)
    for (const index of [0, 1, 2]) lines.end(index)
    const printed = [0, 1, 2].flatMap((index) =>
      (['stdout', 'stderr'] as const).flatMap((stream) => {
        const whole = list
          .filter((one) => one.index === index)
          .map((one) => one[stream])
          .join('')
        const parts = whole.split('\n')
        return (parts.at(-1) === '' ? parts.slice(0, -1) : parts).map((line) => `${index} ${line}`)
      })
    )
    same(told.toSorted(), printed.toSorted())
  })
})
