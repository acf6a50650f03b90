/**
 * Nodes whose answers are damaged on their way: whoever asked gets what is right in the end, or a clear error, and goes on.
 *
 * Not here: what is asked wrongly (streams.test.ts).
 * Two real nodes ask each other for data and code, and a client asks one of them; what goes back on streams that the other end
 * opened is changed at random.
 */
import { randomBytes } from 'node:crypto'
import type { Stream } from '@libp2p/interface'
import { AbstractMessageStream } from '@libp2p/utils'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { connect, createKey, createNode, type Node, ShoalError } from '../../src/index.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import { ended, stopAll } from '../node/helpers.ts'
import { damaged } from './samples.ts'

/** At a time; each meets its own lies. */
const together = 8
const rounds = Math.ceil(Number(process.env.FUZZ_RUNS ?? 1_000) / 5_000)
vi.setConfig({ testTimeout: Math.max(90_000, rounds * 60_000) })

const key = createKey()
const quiet = { key, slots: 1, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false } as const
let node: Node
let other: Node
beforeAll(async () => {
  node = ended(await createNode(quiet))
  other = ended(await createNode({ ...quiet, peers: [...node.addresses] }))
  // They have met.
  expect(await node.client.map((n: number) => n, [1], { targets: [other.id] })).toEqual([1])
})
afterAll(stopAll)

/**
 * While `story` goes on, an answer of two in three streams of this protocol is noise, said twice, cut short, or not given at all; if
 * it is named by its content (`isNamed`), it may also have a bit flipped, or be damaged otherwise. The stream ends with it, but in
 * every fifth round only in some cases, if it is named: whoever waits for more then loses patience, which takes 20 s.
 */
async function lying(
  { protocol, isNamed, random }: { protocol: string; isNamed: boolean; random: Random },
  story: (at: number) => Promise<void>
): Promise<void> {
  const { send } = AbstractMessageStream.prototype
  /** How many answers are true before it. */
  const truths = new Map<Stream, number>()
  let [lies, round] = [0, 0]
  AbstractMessageStream.prototype.send = function (this: Stream, data) {
    if (this.protocol !== protocol || this.direction !== 'inbound') return send.call(this, data)
    // The first stream of all has one in any case.
    const isLying = truths.size === 0 || random.chance(2 / 3)
    const first = truths.size === 0 ? 0 : random.below(4)
    const left = truths.get(this) ?? (isLying ? first : Number.POSITIVE_INFINITY)
    truths.set(this, left - 1)
    if (left !== 0) return send.call(this, data)
    lies++
    const bytes = Uint8Array.from(data instanceof Uint8Array ? data : data.subarray())
    const how = random.below(isNamed ? 8 : 4)
    const bit = bytes.length - 1 - random.below(Math.min(bytes.length, 1_000))
    if (how === 0) send.call(this, randomBytes(1 + random.below(300)))
    if (how === 1) send.call(this, Buffer.concat([bytes, bytes]))
    if (how === 2) send.call(this, bytes.subarray(0, random.below(bytes.length)))
    if (how === 4) send.call(this, damaged(bytes, random))
    // As a disk does it: all of the length that it should have.
    if (how > 4) send.call(this, bytes.with(bit, (bytes[bit] as number) ^ 1))
    if (!isNamed || round % 5 < 4 || how === 2 || how === 3) this.abort(new Error('enough'))
    return true
  } as typeof send
  try {
    for (; round < rounds; round++)
      await Promise.all(Array.from({ length: together }, (_, at) => story(round * together + at)))
  } finally {
    AbstractMessageStream.prototype.send = send
  }
  expect(lies).toBeGreaterThan(0)
}

test('data that is answered wrongly is asked for again, and is right', async () => {
  const random = seededRandom(1)
  await lying({ protocol: '/shoal/data/1.0.0', isNamed: true, random }, async (at) => {
    const value = randomBytes(1 + random.below(at % 4 === 0 ? 3 << 20 : 100_000))
    const ref = await node.client.put(value)
    expect(value.equals(await other.client.get(ref))).toBe(true)
  })
})

test('code that is answered wrongly is asked for again, and is right', async () => {
  const random = seededRandom(2)
  await lying({ protocol: '/shoal/blob/1.0.0', isNamed: true, random }, async (at) => {
    const add = new Function('n', `return n + ${at}`) as (n: number) => number
    const targets = [other.id]
    expect(await node.client.map(add, [1, 2], { targets })).toEqual([1 + at, 2 + at])
  })
})

test('a client whose node breaks off, or answers what nobody understands, gets what is right, or a clear error, and the next one is served', async () => {
  const random = seededRandom(3)
  let rights = 0
  await lying({ protocol: '/shoal/client/1.0.0', isNamed: false, random }, async () => {
    try {
      await using client = await connect({ key, peers: [...node.addresses], mdns: false })
      expect(await client.map((n: number) => n * 2, [1, 2, 3])).toEqual([2, 4, 6])
      rights++
    } catch (error) {
      if (!(error instanceof ShoalError)) throw error
    }
  })
  expect(rights).toBeGreaterThan(0)
  await using client = await connect({ key, peers: [...node.addresses], mdns: false })
  expect(await client.map((n: number) => n + 1, [1, 2, 3])).toEqual([2, 3, 4])
})
