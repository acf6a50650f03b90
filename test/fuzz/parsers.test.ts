/**
 * Messages, frames and values with everything that could be thrown at their parsers: taken, or refused by their own error.
 *
 * Not here: what messages carry unread (records.test.ts), files (files.test.ts), what people write (words.test.ts), what follows
 * from messages that parse (core.test.ts), and streams (streams.test.ts).
 * A short run in `npm test`; `npm run fuzz` tries 100,000 cases for each parser. fast-check prints how to replay a failure.
 */
import { encode } from 'cborg'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { answers, commands, states } from '../../src/cells/commands.ts'
import { readSaid } from '../../src/client/misread.ts'
import { clientMessages, entryMessages } from '../../src/client/protocol.ts'
import { decodeFailure, decodeValue, encodeValue } from '../../src/client/values.ts'
import { mergeJobs } from '../../src/node/inquiry.ts'
import { gossipMessages, joinFrame, peerMessages, splitFrame } from '../../src/node/messages.ts'
import { dataWords } from '../../src/node/talk.ts'
import { seededRandom } from '../../src/random.ts'
import { answerCodec, questionCodec } from '../../src/routing/source-messages.ts'
import { isSound, pack, pickAt, readOutcomeHeader, valueAt } from '../../src/tasks/batch.ts'
import { readClosed } from '../../src/tasks/closing.ts'
import { decodeArgs, encodeArgs } from '../../src/tasks/executor/codec.ts'
import { programInputs, recipes } from '../../src/tasks/executor/program.ts'
import { encodePlacement, parseNext, parsePlacement } from '../../src/tasks/messages.ts'
import { type EarlierAttempt, splitStory, withStory } from '../../src/tasks/story.ts'
import type { Codec } from '../../src/wire.ts'
import { anything, bytes, check, same, seeds, taken, testTimeout } from './cases.ts'
import { damaged, Samples } from './samples.ts'

vi.setConfig({ testTimeout })

const codecs: [string, Codec<unknown>][] = [
  ['peer', peerMessages as Codec<unknown>],
  ['client', clientMessages as Codec<unknown>],
  ['entry', entryMessages as Codec<unknown>],
  ['gossip', gossipMessages as Codec<unknown>],
  ['data', dataWords as Codec<unknown>],
  ['source question', questionCodec as Codec<unknown>],
  ['source answer', answerCodec as Codec<unknown>],
  ['state of a cell', states as Codec<unknown>],
  ['command to a cell', commands as Codec<unknown>],
  ['answer of a cell', answers as Codec<unknown>],
  ['recipe of a program', recipes as Codec<unknown>],
  ['input of a program', programInputs as Codec<unknown>]
]

test.each(codecs)('%s messages: random bytes', (_, codec) => {
  check(bytes, (input) => void taken('SHOAL_BAD_MESSAGE', () => codec.parse(input)))
})

test.each(codecs)('%s messages: any structure under a known kind', (_, codec) => {
  const kinds = fc.constantFrom(...Object.keys(codec.kinds))
  const cbor = (value: unknown): Uint8Array => {
    try {
      return encode(value)
    } catch {
      return new Uint8Array(0)
    }
  }
  check(fc.tuple(kinds, fc.array(anything, { maxLength: 12 })), ([kind, body]) => {
    taken('SHOAL_BAD_MESSAGE', () => codec.parse(cbor([kind, body])))
  })
})

test.each(codecs)('%s messages: valid ones are read back, damaged ones are taken or refused', (_, codec) => {
  check(seeds, (seed) => {
    const random = seededRandom(seed)
    const valid = new Samples(random).message(codec)
    const message = codec.parse(valid)
    same(codec.parse(codec.encode(message)), message)
    const other = taken('SHOAL_BAD_MESSAGE', () => codec.parse(damaged(valid, random)))
    // What is taken can be passed on, and is then the same.
    if (other !== undefined) same(codec.parse(codec.encode(other)), other)
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
      same(
        messages,
        good.map((part) => clientMessages.parse(part))
      )
      same([misread, answers.length], [parts.length - good.length, parts.length - good.length])
      for (const answer of answers) same(entryMessages.parse(entryMessages.encode(answer)), answer)
    }
  )
})

test('frames: their parts come back, anything else is refused', () => {
  check(fc.tuple(fc.array(bytes, { maxLength: 5 }), seeds), ([parts, seed]) => {
    const frame = joinFrame(parts)
    same(splitFrame(frame), parts)
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
      same(valueAt(pickAt(batch, [at]), 0), valueAt(batch, at))
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
    same(splitStory(whole), { outcome: plain, told })
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
    same(encodePlacement(parsePlacement(value) ?? ({} as never)), value)
    parsePlacement(damaged(value, random))
    expect(parsePlacement(input)).toBeUndefined()
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
    same(decodeValue(encodeValue(value)), value)
    taken('SHOAL_BAD_VALUE', () => decodeValue(damaged(encoded, seededRandom(seed))))
    taken('SHOAL_BAD_VALUE', () => decodeArgs(damaged(encodeArgs([input]), seededRandom(seed))))
  })
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
        parts: fc.jsonValue(),
        bad: fc.jsonValue()
      },
      { requiredKeys: [] }
    )
  )
  // As a node says it that knows nothing of how tasks ended, and as one that does.
  const good = { job: 'aaaaaaaa', name: 'x', submittedAt: 1, shards: 1, parts: [[0, 3, 2]] }
  const better = { ...good, bad: [[0, 1, 1]] }
  const summary = { id: 'aaaaaaaa', name: 'x', submittedAt: 1, tasks: 3, done: 2, isClosed: true }
  check(fc.array(report, { maxLength: 4 }), (said) => {
    expect(mergeJobs([...said, good])).toContainEqual({ ...summary, failed: 0, cancelled: 0 })
    expect(mergeJobs([...said, better])).toContainEqual({ ...summary, failed: 1, cancelled: 1 })
  })
})

test('of how tasks ended, that counts which the keeper says that knows most of their shard', () => {
  const job = { job: 'aaaaaaaa', name: 'x', submittedAt: 1, shards: 2 }
  const behind = { ...job, parts: [[0, 3, 1]], bad: [[0, 1, 0]] }
  const ahead = {
    ...job,
    parts: [
      [0, 3, 3],
      [1, 2, 2]
    ],
    bad: [
      [0, 1, 1],
      [1, 0, 2]
    ]
  }
  for (const said of [
    [behind, ahead],
    [ahead, behind]
  ])
    expect(mergeJobs(said)).toMatchObject([{ tasks: 5, done: 5, failed: 1, cancelled: 3 }])
})

test('packed values are what was packed', () => {
  check(fc.array(bytes, { maxLength: 6 }), (values) => {
    const batch = pack(
      '',
      values.map((_, i) => i),
      values
    )
    expect(isSound(batch, values.length)).toBe(true)
    same(
      values.map((_, at) => valueAt(batch, at)),
      values
    )
  })
})
