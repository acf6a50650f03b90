/**
 * Every parser with everything that could be thrown at it: it takes it, or refuses it by its own error, and never anything else.
 *
 * Not here: what follows from messages that parse (core.test.ts), and streams (streams.test.ts).
 * A short run in `npm test`; `npm run fuzz` tries 100,000 cases for each parser. fast-check prints how to replay a failure.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encode } from 'cborg'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { milliseconds, pairs, readArguments, readJobArguments, wholeNumber } from '../../bin/arguments.ts'
import { capturesOf } from '../../src/client/captures.ts'
import { readSaid } from '../../src/client/misread.ts'
import { clientMessages, entryMessages } from '../../src/client/protocol.ts'
import { decodeFailure, decodeValue, encodeValue } from '../../src/client/values.ts'
import { ShoalError } from '../../src/errors.ts'
import { isShardKey, shardName } from '../../src/ids.ts'
import { mergeJobs } from '../../src/node/inquiry.ts'
import { createKey, readKey, writeKey } from '../../src/node/key.ts'
import { gossipMessages, joinFrame, peerMessages, splitFrame } from '../../src/node/messages.ts'
import { seededRandom } from '../../src/random.ts'
import { isSound, pack, pickAt, readOutcomeHeader, valueAt } from '../../src/tasks/batch.ts'
import { readClosed } from '../../src/tasks/closing.ts'
import { decodeArgs, encodeArgs } from '../../src/tasks/executor/codec.ts'
import { encodePlacement, parseNext, parsePlacement } from '../../src/tasks/messages.ts'
import { type EarlierAttempt, splitStory, withStory } from '../../src/tasks/story.ts'
import type { Codec } from '../../src/wire.ts'
import { damaged, Samples } from './samples.ts'

const runs = Number(process.env.FUZZ_RUNS ?? 2_000)
vi.setConfig({ testTimeout: Math.max(60_000, runs * 6) })

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-fuzz-'))
})
afterAll(() => rm(folder, { recursive: true }))

const bytes = fc.uint8Array({ maxLength: 300 })
const seeds = fc.nat()
const check = <T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => void): void =>
  fc.assert(fc.property(arbitrary, holds), { numRuns: runs })

/** What was parsed; `undefined` if it was refused with that code. Any other error fails the test. */
function taken<T>(code: string, parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof ShoalError && error.code === code) return undefined
    throw error
  }
}

const codecs: [string, Codec<unknown>][] = [
  ['peer', peerMessages as Codec<unknown>],
  ['client', clientMessages as Codec<unknown>],
  ['entry', entryMessages as Codec<unknown>],
  ['gossip', gossipMessages as Codec<unknown>]
]

test.each(codecs)('%s messages: random bytes', (_, codec) => {
  check(bytes, (input) => void taken('SHOAL_BAD_MESSAGE', () => codec.parse(input)))
})

test.each(codecs)('%s messages: any structure under a known kind', (_, codec) => {
  const kinds = fc.constantFrom(...Object.keys(codec.kinds))
  const any = fc.anything({
    values: [fc.integer(), fc.string(), fc.uint8Array(), fc.boolean(), fc.constant(null), fc.double()],
    maxDepth: 4
  })
  const cbor = (value: unknown): Uint8Array => {
    try {
      return encode(value)
    } catch {
      return new Uint8Array(0)
    }
  }
  check(fc.tuple(kinds, fc.array(any, { maxLength: 12 })), ([kind, body]) => {
    taken('SHOAL_BAD_MESSAGE', () => codec.parse(cbor([kind, body])))
  })
})

test.each(codecs)('%s messages: valid ones are read back, damaged ones are taken or refused', (_, codec) => {
  check(seeds, (seed) => {
    const random = seededRandom(seed)
    const valid = new Samples(random).message(codec)
    const message = codec.parse(valid)
    expect(codec.parse(codec.encode(message))).toEqual(message)
    const other = taken('SHOAL_BAD_MESSAGE', () => codec.parse(damaged(valid, random)))
    // What is taken can be passed on, and is then the same.
    if (other !== undefined) expect(codec.parse(codec.encode(other))).toEqual(other)
  })
})

test('what clients say: good messages are heard in order, and for each other one there is an answer that can be read', () => {
  check(
    fc.tuple(seeds, fc.array(fc.oneof(bytes, fc.constant(undefined)), { maxLength: 6 })),
    ([seed, given]) => {
      const random = seededRandom(seed)
      const parts = given.map((part) => {
        const good = new Samples(random).message(clientMessages)
        return part ?? (random.chance(0.5) ? good : damaged(good, random))
      })
      const good = parts.filter((part) => taken('SHOAL_BAD_MESSAGE', () => clientMessages.parse(part)))
      const { messages, answers, misread } = readSaid(parts)
      expect(messages).toEqual(good.map((part) => clientMessages.parse(part)))
      expect([misread, answers.length]).toEqual([parts.length - good.length, parts.length - good.length])
      for (const answer of answers) expect(entryMessages.parse(entryMessages.encode(answer))).toEqual(answer)
    }
  )
})

test('frames: their parts come back, anything else is refused', () => {
  check(fc.tuple(fc.array(bytes, { maxLength: 5 }), seeds), ([parts, seed]) => {
    const frame = joinFrame(parts)
    expect(splitFrame(frame)).toEqual(parts)
    const found = taken('SHOAL_BAD_MESSAGE', () => splitFrame(damaged(frame, seededRandom(seed))))
    if (found !== undefined) expect(found.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(10_000)
  })
})

test('batches: what is sound can be read and cut at every place', () => {
  const numbers = fc.array(fc.nat(12), { maxLength: 6 }).map((list) => Uint32Array.from(list))
  check(fc.tuple(numbers, numbers, bytes), ([indexes, ends, body]) => {
    const batch = { node: '', indexes, ends, body } as const
    if (!isSound(batch, 10)) return
    let size = 0
    for (let at = 0; at < indexes.length; at++) {
      size += valueAt(batch, at).length
      expect(valueAt(pickAt(batch, [at]), 0)).toEqual(valueAt(batch, at))
      readOutcomeHeader(valueAt(batch, at))
    }
    expect(size).toBe(body.length)
    expect(new Set(indexes).size).toBe(indexes.length)
  })
})

test('outcomes: headers and stories of any bytes; a story that was written is read', () => {
  const attempt: fc.Arbitrary<EarlierAttempt> = fc.record({
    attempt: fc.nat(),
    engine: fc.string(),
    how: fc.constantFrom('failed', 'timed out', 'lost', 'handed back'),
    startedAt: fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0),
    elapsedMs: fc.nat(),
    reason: fc.string()
  })
  check(fc.tuple(bytes, fc.array(attempt, { maxLength: 4 }), seeds), ([input, told, seed]) => {
    const { attempt: number, elapsedMs, slot } = readOutcomeHeader(input)
    expect([number, slot].every(Number.isInteger)).toBe(true)
    expect(typeof elapsedMs).toBe('number')
    expect(splitStory(input).outcome.length).toBeLessThanOrEqual(input.length)
    if (input.length === 0) return
    const plain = Uint8Array.from(input)
    plain[0] = (plain[0] as number) & 0x7f
    const whole = withStory(plain, told)
    expect(splitStory(whole)).toEqual({ outcome: plain, told })
    splitStory(damaged(whole, seededRandom(seed)))
  })
})

test('register values: a placement is read back, anything else is none', () => {
  check(fc.tuple(bytes, seeds), ([input, seed]) => {
    parseNext(input)
    expect(readClosed(input)).toBeGreaterThanOrEqual(0)
    const random = seededRandom(seed)
    const placement = { key: 'aaaaaaaa/1/0', keepers: ['peerA'], first: 3, count: 4, list: 0 } as never
    const value = encodePlacement(placement)
    expect(encodePlacement(parsePlacement(value) ?? ({} as never))).toEqual(value)
    parsePlacement(damaged(value, random))
    expect(parsePlacement(input)).toBeUndefined()
  })
})

test('names: what is a shard key has its parts', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-z]{7,9}\/\d{0,3}\/\d{0,3}$/))
  check(text, (key) => {
    if (!isShardKey(key)) return
    const { job, index, epoch } = shardName(key)
    expect(job.length).toBeGreaterThan(7)
    expect(Number.isInteger(index) && Number.isInteger(epoch)).toBe(true)
  })
})

test('values and arguments: read back as they were, any other bytes are refused', () => {
  const value = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    maxDepth: 4
  })
  check(fc.tuple(value, bytes, seeds), ([input, rubbish, seed]) => {
    for (const broken of [rubbish, damaged(rubbish, seededRandom(seed))]) {
      taken('SHOAL_BAD_VALUE', () => decodeValue(broken))
      taken('SHOAL_BAD_VALUE', () => decodeArgs(broken))
      taken('SHOAL_BAD_VALUE', () => decodeFailure(broken))
    }
    const encoded = taken('SHOAL_BAD_VALUE', () => encodeValue(input))
    if (encoded === undefined) return
    const value = decodeValue(encoded)
    expect(decodeValue(encodeValue(value))).toEqual(value)
    taken('SHOAL_BAD_VALUE', () => decodeValue(damaged(encoded, seededRandom(seed))))
    taken('SHOAL_BAD_VALUE', () => decodeArgs(damaged(encodeArgs([input]), seededRandom(seed))))
  })
})

test('the key file: a key or SHOAL_BAD_KEY, whatever is in it', async () => {
  const file = join(folder, 'lab.key')
  await writeKey(file, createKey())
  await readKey(file)
  const text = fc.oneof(
    fc.string({ maxLength: 80 }),
    fc.uint8Array({ maxLength: 80 }),
    fc.stringMatching(/^shoal-key-1 [A-Za-z0-9_-]{41,45}\s{0,2}$/)
  )
  const reads = fc.asyncProperty(text, async (content) => {
    await writeFile(file, content)
    await readKey(file).catch((error: unknown) => expect(error).toMatchObject({ code: 'SHOAL_BAD_KEY' }))
  })
  await fc.assert(reads, { numRuns: Math.min(runs, 20_000) })
})

test('the text of a function: what it captures is told, and no text is too odd to be read', () => {
  const pieces = [
    '(',
    ')',
    '=>',
    '{',
    '}',
    'function',
    'async',
    'x',
    'y',
    '=',
    '...',
    '`',
    '${',
    '[',
    ']',
    ',',
    ';',
    'class',
    '*',
    'yield',
    'await',
    '\n',
    '"',
    '/',
    'import',
    'this'
  ]
  const source = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc.array(fc.constantFrom(...pieces), { maxLength: 15 }).map((list) => list.join(' '))
  )
  check(source, (text) => void expect(typeof capturesOf(text).kind).toBe('string'))
})

test('what nodes say of their jobs: any JSON is put together or left out', () => {
  const report = fc.oneof(
    fc.jsonValue(),
    fc.record(
      {
        job: fc.jsonValue(),
        name: fc.jsonValue(),
        submittedAt: fc.jsonValue(),
        shards: fc.jsonValue(),
        parts: fc.jsonValue()
      },
      { requiredKeys: [] }
    )
  )
  const good = { job: 'aaaaaaaa', name: 'x', submittedAt: 1, shards: 1, parts: [[0, 3, 2]] }
  const summary = { id: 'aaaaaaaa', name: 'x', submittedAt: 1, tasks: 3, done: 2, isClosed: true }
  check(fc.array(report, { maxLength: 4 }), (said) => {
    expect(mergeJobs([...said, good])).toContainEqual(summary)
  })
})

test('arguments of the command: values, or SHOAL_BAD_OPTION that names what is wrong', () => {
  const flags = {
    slots: { type: 'string' },
    label: { type: 'string', multiple: true },
    mdns: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false }
  } as const
  const word = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom(
      '--slots',
      '--slots=3',
      '--no-mdns',
      '--label',
      'a=b',
      '--',
      '-',
      '--json',
      '--jsn',
      '-x',
      '--no-json=1'
    )
  )
  check(fc.array(word, { maxLength: 6 }), (args) => {
    const read = taken('SHOAL_BAD_OPTION', () => readArguments('up', args, flags))
    taken('SHOAL_BAD_OPTION', () => readJobArguments('result', args, flags))
    for (const arg of args) {
      taken('SHOAL_BAD_OPTION', () => wholeNumber('--slots', arg))
      taken('SHOAL_BAD_OPTION', () => milliseconds('--timeout', arg))
      taken('SHOAL_BAD_OPTION', () => pairs('--label', [arg]))
    }
    for (const operand of read?.operands ?? []) expect(args).toContain(operand.text)
  })
})

test('packed values are what was packed', () => {
  check(fc.array(bytes, { maxLength: 6 }), (values) => {
    const batch = pack(
      '',
      values.map((_, i) => i),
      values
    )
    expect(isSound(batch, values.length)).toBe(true)
    expect(values.map((_, at) => valueAt(batch, at))).toEqual(values)
  })
})
