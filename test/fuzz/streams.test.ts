/**
 * Every protocol over real streams, spoken by an admitted peer that is broken: the node goes on serving others, and nothing grows.
 *
 * Not here: who is not admitted (test/node/admission.test.ts), and messages that parse (core.test.ts).
 * The broken peer holds the mesh key. What it sends is random, cut short, too long, or a true conversation replayed.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { AbstractMessageStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { clientMessages } from '../../src/client/protocol.ts'
import type { DataId, PeerId } from '../../src/ids.ts'
import { connect, createKey, createNode, type Node } from '../../src/index.ts'
import { Admission } from '../../src/node/admission.ts'
import { createHost, identifyService } from '../../src/node/host.ts'
import { joinFrame, peerMessages } from '../../src/node/messages.ts'
import { Counters, frameBytesMax } from '../../src/node/stream.ts'
import { dataWords } from '../../src/node/talk.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import { Events, ended, startNode, startStranger, stopAll } from '../node/helpers.ts'
import { damaged, Samples } from './samples.ts'

const rounds = Math.ceil(Number(process.env.FUZZ_RUNS ?? 1_000) / 100)
vi.setConfig({ testTimeout: Math.max(60_000, rounds * 500) })

const key = createKey()
const quiet = { key, slots: 1, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false } as const
const liarEvents = new Events()
let node: Node
let connection: Connection
beforeAll(async () => {
  node = await createNode(quiet)
  connection = await admitted()
})
afterAll(async () => {
  await stopAll()
  await node.stop()
})

/** A connection of a host that has proved to hold the key, and then speaks as it likes. */
async function admitted(): Promise<Connection> {
  const host = await startStranger()
  const admission = new Admission({
    key,
    self: host.peerId.toString() as PeerId,
    counters: new Counters(),
    onRefused: () => expect.unreachable()
  })
  await admission.attach(host)
  const connection = await host.dial(multiaddr(node.addresses[0]))
  expect(await admission.verdict(connection)).toEqual({ kind: 'admitted' })
  return connection
}

/** The node serves somebody else, all the while. */
async function isServed(): Promise<void> {
  const client = await connect({ key, peers: [...node.addresses], mdns: false })
  ended({ stop: () => client.close() })
  expect(await client.map((n: number) => n + 1, [1, 2, 3])).toEqual([2, 3, 4])
  await client.close()
}

/** `isOpen`: leaves the end to the node. */
async function speak(protocol: string, chunks: readonly Uint8Array[], isOpen = false): Promise<void> {
  if (connection.status !== 'open') connection = await admitted()
  const stream = await connection.newStream(protocol).catch(() => undefined)
  if (stream === undefined) return
  for (const chunk of chunks) await write(stream, chunk)
  if (isOpen && stream.status === 'open') await once(stream, 'close')
  stream.abort(new Error('enough'))
}

async function write(stream: Stream, chunk: Uint8Array): Promise<void> {
  try {
    if (stream.status === 'open' && !stream.send(chunk))
      await Promise.race([once(stream, 'drain'), once(stream, 'close')])
  } catch {
    // The node ended the stream while we spoke, as it should.
  }
}

/** A length, as the peer and client protocols write it, and what it announces. */
function framed(frame: Uint8Array, length = frame.length): Uint8Array {
  const bytes = new Uint8Array(4 + frame.length)
  new DataView(bytes.buffer).setUint32(0, length, true)
  bytes.set(frame, 4)
  return bytes
}

/** Each with what is too long on it. */
const tooLong: Readonly<Record<string, readonly Uint8Array[]>> = {
  '/shoal/peer/1.0.0': [framed(new Uint8Array(10), frameBytesMax + 1), new Uint8Array(1_000)],
  '/shoal/client/1.0.0': [framed(new Uint8Array(10), 0xffffffff), new Uint8Array(1_000)],
  '/shoal/data/1.0.0': [framed(new Uint8Array(10), frameBytesMax + 1), new Uint8Array(1_000)],
  // A length as a varint: more than a digest has, and more than anything has.
  '/shoal/blob/1.0.0': [Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f), new Uint8Array(1_000)],
  '/shoal/admit/1.0.0': [new Uint8Array(100_000)],
  '/meshsub/1.2.0': [Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f), new Uint8Array(1_000)],
  '/meshsub/1.1.0': [
    Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
    new Uint8Array(1_000)
  ],
  '/meshsub/1.0.0': [Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f), new Uint8Array(1_000)],
  '/ipfs/id/1.0.0': [new Uint8Array(100_000)]
}
const protocols = Object.keys(tooLong)

test('no protocol of a node is missing here', async () => {
  const services = { identify: identifyService() }
  const host = ended(await createHost({ identity: await generateKeyPair('Ed25519'), listen: [], services }))
  await host.start()
  const told = once(host, 'peer:identify')
  await host.dial(multiaddr(node.addresses[0]))
  const [{ detail }] = await told
  const served = (detail.protocols as string[]).filter((one) => one !== '/floodsub/1.0.0')
  expect(protocols).toEqual(expect.arrayContaining(served))
})

/** What a protocol's good frames hold. */
function partsOf(protocol: string, samples: Samples, random: Random): Uint8Array {
  const many = Array.from({ length: random.below(4) })
  if (protocol.includes('data')) return samples.message(dataWords)
  if (protocol.includes('client')) return joinFrame(many.map(() => samples.message(clientMessages)))
  return joinFrame(many.map(() => samples.message(peerMessages)))
}

test.each(protocols)('random, cut and damaged frames on %s', async (protocol) => {
  const random = seededRandom(protocol.length)
  const samples = new Samples(random)
  for (let round = 0; round < rounds; round++) {
    const frames = Array.from({ length: 1 + random.below(4) }, () => {
      const parts = partsOf(protocol, samples, random)
      const good = framed(parts)
      const how = random.below(5)
      if (how === 0) return randomBytes(random.below(300))
      if (how === 1) return damaged(good, random)
      if (how === 2) return framed(randomBytes(random.below(200)))
      return how === 3 ? framed(parts, 4 + random.below(1_000)) : good
    })
    await speak(protocol, frames)
  }
  await isServed()
})

test.each(Object.entries(tooLong))('what is too long on %s is not waited for', async (protocol, frames) => {
  const before = node.counters['frames-too-large'] ?? 0
  // It is the node that ends it, or this waits for ever. Gossip drops such a stream and does not close it; identify reads nothing.
  await speak(protocol, frames, !/meshsub|ipfs/.test(protocol))
  if (/peer|client|data/.test(protocol)) expect(node.counters['frames-too-large']).toBeGreaterThan(before)
  await isServed()
})

test('more frames than were asked for end a talk about data', async () => {
  const ask = framed(
    dataWords.encode({ kind: 'ask', id: `${'A'.repeat(43)}.5` as DataId, isBrief: false, near: 0 })
  )
  await speak(
    '/shoal/data/1.0.0',
    [ask, ...Array.from({ length: 100 }, () => framed(new Uint8Array(10)))],
    true
  )
  await speak(
    '/shoal/data/1.0.0',
    [ask, ...Array.from({ length: 3 }, () => framed(new Uint8Array(6 << 20)))],
    true
  )
  await isServed()
})

/** All that is said on the streams of this process while `story` goes on, by protocol, a list for each end of each stream. */
async function overheard(story: () => Promise<void>): Promise<Map<string, Uint8Array[][]>> {
  const said = new Map<object, { protocol: string; chunks: Uint8Array[] }>()
  const { send } = AbstractMessageStream.prototype
  AbstractMessageStream.prototype.send = function (this: Stream, data) {
    const { protocol } = this
    if (protocol) {
      const one = said.get(this) ?? { protocol, chunks: [] }
      said.set(this, one)
      one.chunks.push(Uint8Array.from(data instanceof Uint8Array ? data : data.subarray()))
    }
    return send.call(this, data)
  } as typeof send
  try {
    await story()
  } finally {
    AbstractMessageStream.prototype.send = send
  }
  const heard = new Map<string, Uint8Array[][]>()
  for (const { protocol, chunks } of said.values())
    heard.set(protocol, [...(heard.get(protocol) ?? []), chunks])
  return heard
}

const announced = framed(new Uint8Array(10), 100)
const noWord = framed(Uint8Array.of(0xff, 0xff, 0xff))
const oversized = framed(new Uint8Array(10), frameBytesMax + 1)
const count = (name: string): number => node.counters[name] ?? 0

/** Each on a stream of its own, with what is counted then. `ends`: nothing follows. */
const faults: readonly [string, string, Uint8Array, counter: string, ends?: boolean][] = [
  ['/shoal/peer/1.0.0', 'no handshake', noWord, 'frames-malformed'],
  ['/shoal/peer/1.0.0', 'half a frame', announced, 'frames-cut-off', true],
  ['/shoal/client/1.0.0', 'lengths that do not add up', noWord, 'clients-dropped'],
  ['/shoal/client/1.0.0', 'half a frame', announced, 'frames-cut-off', true],
  ['/shoal/data/1.0.0', 'no word', noWord, 'frames-malformed'],
  ['/shoal/data/1.0.0', 'too long a frame', oversized, 'frames-too-large'],
  ['/shoal/data/1.0.0', 'half a frame', announced, 'frames-cut-off', true],
  ['/shoal/blob/1.0.0', 'no digest', Uint8Array.of(3, 1, 2, 3), 'frames-malformed'],
  ['/shoal/blob/1.0.0', 'too long a request', Uint8Array.of(0xff, 0xff, 3), 'frames-too-large'],
  ['/shoal/blob/1.0.0', 'too long a length', new Uint8Array(300).fill(0xff), 'frames-too-large'],
  ['/shoal/blob/1.0.0', 'half a request', Uint8Array.of(40, 1, 2), 'frames-cut-off', true]
]

test.each(faults)(
  'on %s %s ends the stream and is counted once',
  async (protocol, _, bytes, counter, ends) => {
    if (connection.status !== 'open') connection = await admitted()
    const before = count(counter)
    const stream = await connection.newStream(protocol)
    const closed = once(stream, 'close')
    await write(stream, bytes)
    if (ends) await stream.close()
    if (stream.status === 'open' || stream.status === 'closing') await closed
    expect(count(counter)).toBe(before + 1)
    await isServed()
  }
)

test('true conversations of every protocol that are replayed to the node, whole, in parts and mixed, change nothing', async () => {
  const value = randomBytes(100_000)
  const job = node.client.map((n: number) => n * 2, [1, 2, 3])
  expect(await job).toEqual([2, 4, 6])
  const ref = await node.client.put(value)
  const heard = await overheard(async () => {
    const other = await createNode({ ...quiet, peers: [...node.addresses] })
    ended({ stop: () => other.stop() })
    const client = await connect({ key, peers: [...other.addresses], mdns: false })
    ended({ stop: () => client.close() })
    // Whichever node has the engine that is asked for has to fetch the code.
    for (const { id } of [node, other])
      expect(await client.map((n: number) => n + 100, [1, 2], { targets: [id] })).toEqual([101, 102])
    expect(Buffer.from(await client.get(ref)).equals(value)).toBe(true)
    await client.get(await client.put(randomBytes(1_000)))
    await client.close()
    await other.stop()
  })
  // Of several versions of gossip, nodes speak the newest.
  const spoken = protocols.filter((one) => one !== '/meshsub/1.1.0' && one !== '/meshsub/1.0.0')
  expect([...heard.keys()]).toEqual(expect.arrayContaining(spoken))
  const random = seededRandom(3)
  for (const protocol of heard.keys())
    for (let round = 0; round < rounds / 2; round++) {
      const chunks = random.pick(heard.get(protocol) ?? []) ?? []
      const others = random.pick(heard.get(protocol) ?? []) ?? []
      const from = random.below(chunks.length)
      const how = random.below(4)
      if (how === 0) await speak(protocol, chunks)
      else if (how === 1) await speak(protocol, chunks.slice(from, from + 1 + random.below(4)))
      else if (how === 2) await speak(protocol, [...chunks.slice(0, from), ...others.slice(from)])
      else
        await speak(
          protocol,
          chunks.map((chunk) => (random.chance(0.2) ? damaged(chunk, random) : chunk))
        )
    }
  expect(await node.client.job(job.id)).toEqual([2, 4, 6])
  expect(Buffer.from(await node.client.get(ref)).equals(value)).toBe(true)
  await isServed()
})

test('an admitted node that says anything on its live stream, and everything it hears back again, spoils nothing', async () => {
  const random = seededRandom(11)
  const samples = new Samples(random)
  const heard: Uint8Array[] = []
  const liar = await startNode(key, {
    tap: (event) => {
      liarEvents.push(event)
      if (event.kind === 'peer-frame' && heard.length < 500) heard.push(Uint8Array.from(event.frame))
    }
  })
  const target = node.id as PeerId
  let streams = 0
  const meet = async (): Promise<void> => {
    const before = liarEvents.of('peer-connected').length
    if (before > liarEvents.of('peer-disconnected').length) return
    liar.transport.dial(target, [...node.addresses])
    await liarEvents.count('peer-connected', before + 1)
    streams++
  }
  for (let round = 0; round < rounds * 2; round++) {
    await meet()
    for (let frames = 1 + random.below(5); frames > 0; frames--) {
      const how = random.below(12)
      const parts = Array.from({ length: random.below(6) }, () => samples.message(peerMessages))
      if (how === 0) liar.transport.sendPeer(target, randomBytes(random.below(500)))
      else if (how === 1) liar.transport.sendPeer(target, damaged(joinFrame(parts), random))
      else if (how < 5) liar.transport.sendPeer(target, random.pick(heard) ?? joinFrame(parts))
      else liar.transport.sendPeer(target, joinFrame(parts))
    }
    // Everything said so far is heard before the next round.
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(streams).toBeGreaterThan(2)
  await liar.transport.stop()
  await isServed()
})

test('nothing grows: after a thousand broken streams the heap is what it was', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const random = seededRandom(9)
  const samples = new Samples(random)
  const noise = async (streams: number): Promise<number> => {
    for (let i = 0; i < streams; i++) {
      const protocol = protocols[i % protocols.length] as string
      const good = framed(partsOf(protocol, samples, random))
      await speak(protocol, [good, framed(randomBytes(2_000)), randomBytes(1_000)])
    }
    await isServed()
    collect()
    return process.memoryUsage().heapUsed
  }
  await noise(300)
  const before = await noise(50)
  const after = await noise(700)
  expect(after - before).toBeLessThan(8 << 20)
})
