/**
 * Files and pipes with everything that could be in them: what was written is read, and anything else is refused or passed over.
 *
 * Not here: a store that crashes or lies (test/node/store.test.ts, damage.test.ts), and messages of other machines (parsers.test.ts).
 * A crash leaves half a line, a disk wrong bytes, and the code of users writes into whatever its engine has open.
 */
import { readSync, writeSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Ledger, ledgerFile } from '../../bin/ledger.ts'
import { DataFiles } from '../../src/node/datafiles.ts'
import { Journal } from '../../src/node/journal.ts'
import { createKey, keyOfText, keyText, readKey } from '../../src/node/key.ts'
import { joinFrame, peerMessages } from '../../src/node/messages.ts'
import { Seal } from '../../src/node/seal.ts'
import { openStore } from '../../src/node/store.ts'
import { seededRandom } from '../../src/random.ts'
import { createDeskMemory, openDesk, outcomesOnDeskMax, readDesk } from '../../src/tasks/executor/desk.ts'
import { encodeFrame, FrameReader } from '../../src/tasks/executor/frames.ts'
import { closeTape, createTape, parseTape, readTape, TapeWriter } from '../../src/tasks/executor/tape.ts'
import { isWord, Words } from '../../src/tasks/executor/words.ts'
import {
  anything,
  bytes,
  check,
  checkFiles,
  checkLater,
  same,
  seeds,
  takenLater,
  testTimeout
} from './cases.ts'
import { damaged, Samples } from './samples.ts'

vi.setConfig({ testTimeout })

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-fuzz-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('the key file: a key or SHOAL_BAD_KEY, whatever is in it', async () => {
  const text = fc.oneof(
    fc.string({ maxLength: 80 }),
    fc.uint8Array({ maxLength: 80 }),
    fc.stringMatching(/^shoal-key-1 [A-Za-z0-9_-]{41,45}\s{0,2}$/)
  )
  check(text, (content) => {
    const key = keyOfText(Buffer.from(content as string).toString())
    if (key !== undefined) expect(keyOfText(`${keyText(key)}\n`)).toBeDefined()
  })
  const own = createKey()
  same(keyText(keyOfText(keyText(own)) ?? createKey()), keyText(own))
  const file = join(folder, 'lab.key')
  await checkFiles(text, async ([content = '']) => {
    await writeFile(file, content)
    const isKey = keyOfText(Buffer.from(content as string).toString()) !== undefined
    expect((await takenLater('SHOAL_BAD_KEY', () => readKey(file))) !== undefined).toBe(isKey)
  })
})

test('the ledger of a run: lines that are none are passed over, the others are found', async () => {
  const entry = fc.record(
    { key: fc.constantFrom('a', 'b', 3), stdout: fc.jsonValue(), stderr: fc.string(), files: fc.jsonValue() },
    { requiredKeys: [] }
  )
  const files = fc.array(
    fc.oneof(
      fc.record({ name: fc.constantFrom('x', '/', '\0', '..'), size: fc.nat(1), mtimeMs: fc.nat(1) }),
      fc.jsonValue()
    )
  )
  const full = fc.record({ key: fc.constantFrom('a', 'b'), stdout: fc.string(), stderr: fc.string(), files })
  const line = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.oneof(entry, full, fc.jsonValue()).map((one) => JSON.stringify(one))
  )
  const own = { key: 'own', stdout: 'out', stderr: '', files: [] }
  await checkFiles(line, async (lines) => {
    await writeFile(join(folder, ledgerFile), [...lines, JSON.stringify(own), '{"key":"cut'].join('\n'))
    const ledger = await Ledger.open(folder, { command: 'true' }, { isResumed: true, isWanted: true })
    expect(await ledger?.find('own')).toMatchObject({ stdout: 'out', files: [] })
    for (const key of ['a', 'b']) {
      const found = await ledger?.find(key)
      if (found !== undefined)
        expect([typeof found.stdout, typeof found.stderr]).toEqual(['string', 'string'])
    }
    await ledger?.close()
  })
})

test('the seal of a store: of what it seals it says nothing, of anything else that it is damaged', async () => {
  const seal = await Seal.begin(folder)
  seal.take('a', Uint8Array.of(1))
  check(fc.tuple(bytes, seeds), ([rubbish, seed]) => {
    const good = seal.next([])
    expect(seal.verdict(good, 0)).toBeUndefined()
    expect(seal.verdict(rubbish, 0)).toBeTypeOf('string')
    const other = damaged(good, seededRandom(seed))
    // A seal is three numbers, and nothing else; of another group it may be.
    const [, count, sum] = Buffer.from(good).toString().split(' ')
    const isSame = new RegExp(`^\\d{1,15} 0*${count} 0*${sum}$`).test(Buffer.from(other).toString())
    expect(seal.verdict(other, 0) === undefined).toBe(isSame)
  })
  await seal.close()
  const note = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.stringMatching(/^\d{15,17} \d{9,11}\n?$/))
  await checkFiles(note, async ([text = '']) => {
    await writeFile(join(folder, 'SYNCED'), text)
    expect(await Seal.lastSynced(folder)).toBeGreaterThanOrEqual(0)
  })
})

test('the records of a store: each is a message, or SHOAL_BAD_MESSAGE says that one is none', async () => {
  await checkLater(fc.tuple(bytes, seeds), async ([rubbish, seed]) => {
    const random = seededRandom(seed)
    const samples = new Samples(random)
    const frame = joinFrame([samples.message(peerMessages)])
    const store = await openStore(undefined)
    await store.write([{ key: 's/aaaaaaaa/0/0/0000000000000001', value: frame }])
    expect((await Array.fromAsync(new Journal(store).read())).flat()).toHaveLength(1)
    await store.write([
      { key: 's/aaaaaaaa/0/0/2', value: random.chance(0.5) ? rubbish : damaged(frame, random) }
    ])
    await takenLater('SHOAL_BAD_MESSAGE', () => Array.fromAsync(new Journal(store).read()))
  })
})

test('files of data: what is not what its name says is gone, and nothing else is taken for data', async () => {
  const data = await mkdtemp(join(folder, 'data-'))
  const files = await DataFiles.open(data, { isTemporary: true })
  await checkFiles(bytes, async (contents) => {
    const [first = Uint8Array.of()] = contents
    const id = await files.add([first])
    expect(await files.checkAgain(id)).toBe(true)
    for (const content of contents.slice(1, 2)) {
      await writeFile(files.path(id), content)
      expect(await files.checkAgain(id)).toBe(Buffer.compare(content, first) === 0)
      if (files.has(id)) continue
      expect(await files.chunks(id, true)).toBeUndefined()
      await files.add([first])
    }
    void files.drop(id)
  })
  await files.close()
})

test('the tape of an engine: what was written is read; of anything else some of it, or nothing', async () => {
  /** Behind the page of the pool's word. */
  const recordsAt = 4_096
  await checkFiles(fc.tuple(bytes, seeds), async (cases) => {
    const outcomes = cases.slice(0, 3).map(([outcome]) => outcome)
    const tape = createTape()
    try {
      // As when the process ended in the middle of its first record, or its code wrote there itself.
      const rubbish = cases[3]?.[0] ?? new Uint8Array()
      writeSync(tape, rubbish, 0, rubbish.byteLength, recordsAt)
      readTape(tape)
      const pen = new TapeWriter(tape)
      for (const [position, outcome] of outcomes.entries()) {
        pen.begin({ order: 1, position, startedAt: 1 }, position === 0)
        pen.end(outcome)
      }
      pen.begin({ order: 1, position: 3, startedAt: 1 }, false)
      const read = readTape(tape)
      same(read.running, { order: 1, position: 3, startedAt: 1 })
      same([...(read.ended?.outcomes.positions ?? [])], [0, 1, 2])
      same(Buffer.from(read.ended?.outcomes.body ?? []).equals(Buffer.concat(outcomes)), true)
      const whole = new Uint8Array(2_048)
      const written = whole.subarray(0, readSync(tape, whole, 0, whole.byteLength, recordsAt))
      for (const [other, seed] of cases)
        for (const input of [other, damaged(written, seededRandom(seed))]) {
          const found = parseTape(input)?.ended?.outcomes
          const ends = [...(found?.ends ?? [])]
          same(
            ends,
            ends.toSorted((one, next) => one - next)
          )
          expect(found?.body.byteLength ?? 0).toBe(ends.at(-1) ?? 0)
        }
    } finally {
      closeTape(tape)
    }
  })
})

test('the desk of a thread: whatever lies there is copied, and no more than there is', () => {
  const desk = openDesk(createDeskMemory())
  check(fc.tuple(fc.integer(), fc.array(fc.nat(0xffffffff), { maxLength: 4 })), ([count, ends]) => {
    desk.count[0] = count
    desk.ends.set(ends)
    const found = readDesk(desk)
    expect(found.positions.length).toBeLessThanOrEqual(outcomesOnDeskMax)
    expect(found.body.byteLength).toBeLessThanOrEqual(desk.body.byteLength)
  })
})

test('frames of an engine: they come out as they went in, however they are cut; of anything else there is an error', () => {
  check(fc.tuple(fc.array(anything, { maxLength: 3 }), bytes, seeds), ([messages, rubbish, seed]) => {
    const random = seededRandom(seed)
    const whole = Buffer.concat(messages.map(encodeFrame))
    const reader = new FrameReader()
    const heard: unknown[] = []
    for (let at = 0; at < whole.byteLength; ) {
      const next = at + 1 + random.below(whole.byteLength)
      heard.push(...reader.read(whole.subarray(at, next)))
      at = next
    }
    expect(heard).toHaveLength(messages.length)
    for (const input of [rubbish, damaged(whole, random)])
      try {
        new FrameReader().read(input)
      } catch (error) {
        // The engine is ended then, whatever the error is (child.ts).
        expect(error).toBeInstanceOf(Error)
      }
  })
})

test('what an engine says of its tasks: words within their limits, or none', () => {
  const word = fc.record(
    {
      kind: fc.constantFrom('progress', 'printed', 'listens', 'x'),
      run: fc.oneof(fc.nat(3), anything),
      position: fc.oneof(fc.nat(3), anything),
      stream: fc.constantFrom('stdout', 'stderr', 'constructor', '__proto__'),
      text: fc.oneof(fc.string(), fc.constant('x'.repeat(70_000)), anything),
      fraction: fc.oneof(fc.double(), anything)
    },
    { requiredKeys: ['kind'] }
  )
  check(fc.array(fc.oneof(word, anything), { maxLength: 4 }), (said) => {
    const words = new Words()
    for (const one of said) if (isWord(one)) words.heard(one)
    for (const told of words.news(new Uint8Array(4))) {
      expect([typeof told.stdout, typeof told.stderr, typeof told.text]).toEqual([
        'string',
        'string',
        'string'
      ])
      expect(Number.isFinite(told.fraction)).toBe(true)
    }
  })
})
