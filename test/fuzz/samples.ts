/**
 * Random messages that parse: samples of any type of wire.ts, from a few names, so that messages speak of the same things.
 *
 * Not here: what they must not cause (parsers.test.ts, core.test.ts, streams.test.ts).
 * A leaf is a black box: what suits it is found by trying, so a new field needs nothing here unless nothing known suits it.
 */
import { encode } from 'cborg'
import { type Random, seededRandom } from '../../src/random.ts'
import { pack } from '../../src/tasks/batch.ts'
import { batch, needs, shardRecord } from '../../src/tasks/messages.ts'
import { encodeNeeds, type NeedKind } from '../../src/tasks/needs.ts'
import type { Codec, Fields, Type } from '../../src/wire.ts'

// biome-ignore lint/suspicious/noExplicitAny: samples of whatever it is.
type AnyType = Type<any>

export const names = ['peerA', 'peerB', 'peerC', 'peerD'] as const
const jobs = ['aaaaaaaa', 'bbbbbbbb'] as const
/** Draws until a value suits a leaf. */
const triesMax = 400

export class Samples {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /** The bytes of a message of this kind, by chance any. */
  message<M>(codec: Codec<M>, kind = this.#random.pick(Object.keys(codec.kinds)) ?? ''): Uint8Array {
    const fields = codec.kinds[kind] ?? {}
    return encode([kind, Object.values(fields).map((type) => this.plain(type))])
  }

  /** Any value of the type, as it travels. */
  plain(type: AnyType): unknown {
    if (type.parts !== undefined && type.parts === batch.parts) {
      const from = type === (batch as AnyType) ? this.#random.below(3) : 0
      return batch.plain(this.#batch(this.#random.below(6), from))
    }
    if (type === (shardRecord as AnyType)) return this.#record(type)
    const { parts } = type
    if (parts === undefined) return this.#leaf(type)
    if (isType(parts)) {
      const many = Array.from({ length: this.#random.below(4) }, () => this.plain(parts))
      for (let most = many.length; most >= 0; most--)
        if (suits(type, many.slice(0, most))) return many.slice(0, most)
    } else return Object.values(parts).map((field) => this.plain(field))
    throw new Error('no sample of a list')
  }

  #batch(count: number, from: number): ReturnType<typeof pack> {
    const values = Array.from({ length: count }, () => this.bytes(40))
    const node = this.#random.chance(0.3) ? '' : this.#random.pick(names)
    return pack(
      (node ?? '') as never,
      values.map((_, i) => from + i),
      values
    )
  }

  /** Fields that must agree with one another are made to. */
  #record(type: AnyType): unknown {
    const fields = (type.parts as AnyType).parts as Fields
    const count = 1 + this.#random.below(5)
    const keepers = names.slice(0, 1 + this.#random.below(names.length))
    const values = Array.from({ length: count }, () => this.bytes(20))
    const inputs = batch.plain(
      pack(
        '',
        values.map((_, i) => i),
        values
      )
    )
    const seats = keepers.map((_, i) => i)
    const before = this.#random.chance(0.5) ? [] : names.slice(0, 2)
    const beforeSeats = before.map((_, i) => i + 3)
    const lists = { keepers, seats, before, beforeSeats }
    const fixed: Record<string, unknown> = { count, inputs, ...lists, needs: this.#needs(count) }
    return Object.entries(fields).map(([name, field]) => fixed[name] ?? this.plain(field))
  }

  /** Of some tasks: the first ones of another shard, or those before them in their own. */
  #needs(count: number): unknown[] {
    if (this.#random.chance(0.5)) return []
    const placement = { key: 'aaaaaaaa/1/0', keepers: names.slice(0, 1), first: 0, count: 3 }
    const found = Array.from({ length: this.#random.below(3) }, () => {
      const task = this.#random.below(count)
      const kind: NeedKind = this.#random.pick(['value', 'after', 'follow'] as const) ?? 'value'
      const of = task > 0 && this.#random.chance(0.5) ? ([1, task - 1] as const) : ([0, 2] as const)
      return { task, kind, all: this.#random.chance(0.5), success: true, failure: false, of: [of] }
    })
    return [needs.plain({ shards: [placement as never], words: encodeNeeds(found) })]
  }

  bytes(most: number): Uint8Array {
    return someBytes(this.#random, most)
  }

  #leaf(type: AnyType): unknown {
    const likely = drawsFor(type)
    for (let tries = 0; tries < triesMax; tries++) {
      const draw = this.#random.pick(likely)
      const value = draw?.(this.#random)
      if (suits(type, value)) return value
    }
    throw new Error('nothing known suits a new leaf type: teach samples.ts a value of it')
  }
}

type Draw = (random: Random) => unknown

const someBytes = (random: Random, most: number): Uint8Array =>
  Uint8Array.from({ length: random.below(most) }, () => random.below(256))

const draws: readonly Draw[] = [
  (random) => random.below(4),
  (random) => random.below(1_100),
  (random) => random.below(2 ** 32),
  (random) => random.below(2) * Number.MAX_SAFE_INTEGER,
  (random) => random.next() * 1e6 - 5e5,
  (random) => random.chance(0.5),
  (random) => `${random.pick(jobs)}/${random.below(3)}/${random.below(2)}`,
  (random) => `${'d'.repeat(42)}${random.below(4)}.${random.below(3) * 70_000}`,
  (random) => random.pick(jobs),
  (random) => random.pick(names),
  () => 'A'.repeat(43),
  (random) => random.pick(['', 'x', '/ip4/127.0.0.1/tcp/1', 'default', 'status', '{}', '[null,1,{"job":7}]']),
  (random) => random.pick(['', '{"resources":{"gpu":1}}', '{"labels":{"gpu":true},"targets":["peerA/0"]}']),
  (random) => someBytes(random, 30),
  (random) => new Uint8Array(Uint32Array.from({ length: random.below(5) }, () => random.below(8)).buffer),
  (random) => new Uint8Array(Uint32Array.of(random.below(70_000)).buffer)
]

const suitable = new WeakMap<AnyType, readonly Draw[]>()

/** Those that ever suit it, found out once: the others are most. By its own numbers, so that a seed says all of a case. */
function drawsFor(type: AnyType): readonly Draw[] {
  const known = suitable.get(type)
  if (known !== undefined) return known
  const random = seededRandom(0)
  const tries = Array.from({ length: triesMax / 10 })
  const found = draws.filter((draw) => tries.some(() => suits(type, draw(random))))
  suitable.set(type, found)
  return found
}

/** Bytes with a few of them set, cut out, repeated, or more appended. */
export function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  let result = Uint8Array.from(bytes)
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    const at = random.below(result.length + 1)
    const how = random.below(4)
    if (how === 0) result[at] = random.below(256)
    else if (how === 1) result = result.slice(0, at)
    else if (how === 2)
      result = Uint8Array.from([...result.subarray(0, at), ...result.subarray(random.below(at + 1))])
    else
      result = Uint8Array.from([
        ...result,
        ...Array.from({ length: random.below(20) }, () => random.below(256))
      ])
  }
  return result
}

function suits(type: AnyType, value: unknown): boolean {
  try {
    type.check(value, '')
    return true
  } catch {
    return false
  }
}

function isType(parts: Fields | AnyType): parts is AnyType {
  return typeof (parts as Partial<AnyType>).check === 'function'
}
