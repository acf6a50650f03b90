/**
 * What travels and lies within messages as bytes, with everything that could be thrown at its parsers: taken, or refused as it says.
 *
 * Not here: the messages themselves (parsers.test.ts), files (files.test.ts), and what people write (words.test.ts).
 * Nodes keep these bytes and pass them on unread, so whoever reads them at last reads what any member of the mesh has made.
 */
import { encode } from 'cborg'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { parseList } from '../../src/cells/chair.ts'
import { answers, cellSorts, commands, states } from '../../src/cells/commands.ts'
import { council } from '../../src/cells/messages.ts'
import { change, decide, newState, parseCommand, parseState } from '../../src/cells/state.ts'
import { closeEnvelope, idsIn, openEnvelope } from '../../src/data/envelope.ts'
import { type DataId, dataId, isDataId, isPeerId, type PeerId } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { isSound, OUTCOME_HEADER_BYTES, pack, STATUS } from '../../src/tasks/batch.ts'
import { decodeArgs, decodeValue, encodeValue } from '../../src/tasks/executor/codec.ts'
import { encodeGaps, readArgs } from '../../src/tasks/executor/gaps.ts'
import { encodeNext, parseNext, permitBase, permitsEnd, shardTasksMax } from '../../src/tasks/messages.ts'
import { decodeNeeds, encodeNeeds, type Need } from '../../src/tasks/needs.ts'
import { splitOutput, withOutput } from '../../src/tasks/output.ts'
import { closeParcel, openParcel, PARCEL } from '../../src/tasks/parcel.ts'
import { permitAt, permitsFor, permitsIn } from '../../src/tasks/permits.ts'
import { idsInInput } from '../../src/tasks/references.ts'
import { bytes, check, same, seeds, taken, testTimeout } from './cases.ts'
import { damaged, names, Samples } from './samples.ts'

vi.setConfig({ testTimeout })

const ids = [0, 7, 70_000].map((size, i) => dataId(`${'d'.repeat(42)}${i}`, size))
const someIds = fc.array(fc.constantFrom(...ids), { minLength: 1, maxLength: 3 })

test('cells: bytes are a command, a state of this cell, or neither; no state and no command is too odd to be decided', () => {
  check(fc.tuple(bytes, seeds, fc.constantFrom(...cellSorts)), ([rubbish, seed, sort]) => {
    const random = seededRandom(seed)
    const samples = new Samples(random)
    const cell = `${sort}:x`
    const [kept, said] = [samples.message(states), samples.message(commands)]
    for (const input of [rubbish, kept, damaged(kept, random)])
      expect(parseState(cell, input).kind).toBe(newState(cell).kind)
    const state = parseState(cell, kept)
    for (const input of [rubbish, said, damaged(said, random)]) {
      const command = parseCommand(input)
      expect(command?.kind).not.toBe('expire')
      if (command === undefined) continue
      const verdict = decide(state, { id: 'mine', base: random.below(4), command })
      // A liar may have counted to the end of all numbers: nobody reads what comes behind it.
      const isAtEnd = 'token' in state && state.token === Number.MAX_SAFE_INTEGER
      if (verdict.word === 'decided' && !isAtEnd) answers.parse(verdict.answer)
      expect(change(state, command).kind).toBe(state.kind)
    }
  })
})

test('lists of a council: what is one is read, anything else is none', () => {
  check(fc.tuple(bytes, seeds), ([rubbish, seed]) => {
    const random = seededRandom(seed)
    const value = encode(['next', [new Samples(random).plain(council)]])
    for (const input of [rubbish, value, damaged(value, random)]) {
      const found = parseList(input)
      if (found !== undefined) expect(found.members.every(isPeerId)).toBe(true)
    }
    expect(parseList(value)).toBeDefined()
  })
})

test('the next record of a shard: each keeper has its seat, or it is none', () => {
  check(fc.tuple(bytes, seeds), ([rubbish, seed]) => {
    const random = seededRandom(seed)
    const keepers = names.slice(0, 1 + random.below(4)) as unknown as PeerId[]
    const next = { keepers, seats: keepers.map((_, i) => i), seatsGiven: 4 }
    const value = encodeNext(next)
    expect(parseNext(value)).toMatchObject(next)
    for (const input of [rubbish, damaged(value, random), encodeNext({ ...next, seats: [1, 2] })]) {
      const found = parseNext(input)
      if (found !== undefined) expect([found.keepers.length, found.seats.length]).not.toContain(0)
      expect(found?.keepers.length).toBe(found?.seats.length)
    }
  })
})

test('needs: a task waits only for tasks that there are, of its own shard only for earlier ones; all of it comes back', () => {
  const counts = [3, 5]
  const words = fc.array(fc.oneof(fc.nat(6), fc.nat()), { maxLength: 24 })
  const areSound = (needs: readonly Need[], count: number): void => {
    for (const { task, of } of needs) {
      expect(task).toBeLessThan(count)
      expect(of.length).toBeGreaterThan(0)
      for (const [shard, index] of of) expect(index).toBeLessThan(counts[shard] ?? task)
    }
  }
  check(fc.tuple(words, fc.nat(6), seeds), ([list, count, seed]) => {
    areSound(decodeNeeds(Uint32Array.from(list), count, counts) ?? [], count)
    const random = seededRandom(seed)
    const terms = { all: random.chance(0.5), success: random.chance(0.5), failure: random.chance(0.5) }
    const of = Array.from({ length: 1 + random.below(3) }, () => [random.below(2), random.below(3)] as const)
    const needs = ['value', 'after', 'follow'].map((kind, task) => ({ task, kind, ...terms, of }) as Need)
    const encoded = encodeNeeds(needs)
    same(decodeNeeds(encoded, 3, counts), needs)
    encoded[random.below(encoded.length)] = random.below(8)
    areSound(decodeNeeds(encoded, 3, counts) ?? [], 3)
  })
})

test('permits: each names a task, an attempt and a node; what names nobody is none', () => {
  const keys = fc.array(fc.oneof(fc.nat(3_000), fc.integer({ min: permitBase - 2, max: permitsEnd })), {
    maxLength: 5
  })
  const holder = fc.oneof(
    bytes,
    fc.constantFrom(...names).map((name) => Buffer.from(name))
  )
  check(fc.tuple(keys, fc.array(holder, { minLength: 5, maxLength: 5 }), fc.nat(9)), ([list, holders, n]) => {
    const indexes = [...new Set(list)]
    const batch = pack('', indexes, holders.slice(0, indexes.length))
    for (const permit of permitsIn([batch])) {
      expect(isPeerId(permit.holder)).toBe(true)
      expect(permit.index).toBeLessThan(shardTasksMax)
      expect(permit.attempt).toBeGreaterThan(0)
    }
    const written = permitsFor('peerA' as PeerId, [n], 1 + n)
    expect(isSound(written, 1)).toBe(false)
    same(permitAt(written, 0), { index: n, attempt: 1 + n, holder: 'peerA' })
  })
})

test('parcels: their parts come back; of any other bytes all parts lie within them, or it is none', () => {
  check(fc.tuple(fc.array(bytes, { minLength: 1, maxLength: 4 }), bytes, seeds), ([parts, rubbish, seed]) => {
    const parcel = closeParcel(parts)
    same(openParcel(parcel), parts)
    for (const input of [damaged(parcel, seededRandom(seed)), Uint8Array.of(PARCEL, ...rubbish)]) {
      const found = openParcel(input)
      if (found !== undefined) expect(Buffer.compare(closeParcel(found), input)).toBe(0)
      expect(idsInInput(input).every(isDataId)).toBe(true)
    }
  })
})

test('gaps with holes among them are no gaps', () => {
  for (const length of [2, 2 ** 32 - 1]) {
    const holes: unknown[] = []
    holes.length = length
    for (const gaps of [holes, Object.assign([], holes, { length: 1, odd: 1 })])
      expect(taken('SHOAL_BAD_VALUE', () => readArgs(closeParcel([encodeValue([[], gaps])])))).toBeUndefined()
  }
})

test('arguments with gaps: filled as they were meant, any other bytes are refused, and nothing beside them is touched', () => {
  const key = fc.constantFrom('a', 'b', '__proto__', 'constructor', 'prototype', 'length', '', 0, 1)
  const any = fc.anything({ maxDepth: 1, maxKeys: 3 })
  const gap = fc.tuple(fc.array(key, { maxLength: 3 }), fc.integer({ min: -2, max: 3 }))
  const gaps = fc.array(fc.oneof(gap, any), { maxLength: 3 })
  const open = fc.tuple(fc.oneof(fc.array(any, { maxLength: 3 }), any), fc.oneof(gaps, any))
  const own = fc.oneof({ weight: 4, arbitrary: open }, any)
  check(
    fc.tuple(own, fc.array(fc.integer(), { maxLength: 3 }), bytes, seeds),
    ([value, values, rubbish, seed]) => {
      const random = seededRandom(seed)
      const encoded = taken('SHOAL_BAD_VALUE', () => encodeValue(value)) ?? rubbish
      const rest = values.map((one) => encodeValue(one))
      for (const first of [encoded, rubbish, damaged(encoded, random)])
        taken('SHOAL_BAD_VALUE', () => readArgs(closeParcel([first, ...rest])))
      taken('SHOAL_BAD_VALUE', () => readArgs(rubbish))
      same(Object.keys(Object.prototype), [])
      const good = encodeGaps(
        [{ a: 1, b: [0, 0] }, 2],
        [
          { path: [0, 'b', 1], count: -1 },
          { path: [1], count: 2 }
        ]
      )
      const parts = [good, ...[7, 8, 9].map((one) => encodeValue(one))]
      same(readArgs(closeParcel(parts)), [{ a: 1, b: [0, 7] }, [8, 9]])
      taken('SHOAL_BAD_VALUE', () => readArgs(damaged(closeParcel(parts), random)))
    }
  )
})

test('envelopes: they come back; in any other bytes every name is one of data, or there is none', () => {
  const kinds = fc.constantFrom('naming' as const, 'far' as const)
  check(fc.tuple(kinds, someIds, bytes, bytes, seeds), ([kind, some, inner, rubbish, seed]) => {
    const random = seededRandom(seed)
    const value = closeEnvelope({ kind, ids: some, inner })
    same(openEnvelope(value), { kind, ids: some, inner })
    const tagged = Uint8Array.of(16 + random.below(2), random.below(60), 0, ...rubbish)
    // Data that names itself, or again other data, is not followed without end.
    const read = (_: DataId): Uint8Array => value
    for (const input of [value, damaged(value, random), tagged, rubbish]) {
      expect(idsIn(input).every(isDataId)).toBe(true)
      expect(idsInInput(input).every(isDataId)).toBe(true)
      for (const decode of [decodeValue, decodeArgs]) {
        taken('SHOAL_BAD_VALUE', () => decode(input))
        taken('SHOAL_BAD_VALUE', () => decode(input, read))
      }
    }
  })
})

test('output behind an outcome: what was printed is told, and any other bytes are an outcome without', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '"', '\n', '\0', 'é', '😀', '\ud800'), maxLength: 12 })
  check(fc.tuple(text, text, bytes, bytes, seeds), ([stdout, stderr, payload, rubbish, seed]) => {
    const outcome = Uint8Array.of(STATUS.ok, ...new Uint8Array(OUTCOME_HEADER_BYTES - 1), ...payload)
    const whole = withOutput(outcome, { stdout, stderr })
    same(splitOutput(whole), { outcome, output: { stdout, stderr } })
    const odd = withOutput(outcome, { stdout: seed as never, stderr: [stderr] as never })
    for (const input of [rubbish, odd, damaged(whole, seededRandom(seed))]) {
      const found = splitOutput(input)
      expect(found.outcome.byteLength).toBeLessThanOrEqual(input.byteLength)
      same([typeof found.output.stdout, typeof found.output.stderr], ['string', 'string'])
    }
  })
})
