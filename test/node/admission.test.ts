/**
 * Admission: who holds the key is let in, and nobody else gets or gives anything.
 *
 * Not here: what the admitted may do.
 * The strangers here are bare libp2p hosts that speak our protocols badly, early, or with another key.
 */
import { randomBytes } from 'node:crypto'
import { type GossipSub, gossipsub } from '@chainsafe/libp2p-gossipsub'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { Admission } from '../../src/node/admission.ts'
import { gossipBytesMax } from '../../src/node/gossip.ts'
import { createHost } from '../../src/node/host.ts'
import { createKey, meshTag } from '../../src/node/key.ts'
import { createLink } from '../../src/node/link.ts'
import { Counters } from '../../src/node/stream.ts'
import { connect, ended, startNode, startStranger, stopAll } from './helpers.ts'

afterEach(stopAll)

const closed = (stream: Stream): Promise<unknown> =>
  stream.status === 'open'
    ? new Promise((resolve) => stream.addEventListener('close', resolve))
    : Promise.resolve()

test('a node with another key is refused on both sides, once, and nothing is delivered', async () => {
  const a = await startNode(createKey())
  const b = await startNode(createKey())
  a.transport.dial(b.transport.self, [b.address])
  const failed = await a.events.first('dial-failed')
  expect(failed).toMatchObject({ peer: b.transport.self, reason: 'it holds another mesh key' })
  expect((await b.events.first('refused')).peer).toBe(a.transport.self)
  a.transport.dial(b.transport.self, [b.address])
  await a.events.count('dial-failed', 2)
  expect(a.events.of('refused')).toHaveLength(1)
  expect(b.events.of('refused')).toHaveLength(1)
  expect(b.transport.counters()['peers-refused']).toBeGreaterThan(0)
  expect([...a.events.all, ...b.events.all].filter(({ kind }) => kind === 'peer-connected')).toEqual([])
})

test('whoever was given the address of a node with another key hears of it once, however often it is dialed', async () => {
  const other = await startNode(createKey())
  const node = await startNode(createKey(), { bootstrap: [other.address] })
  await node.events.count('dial-failed', 3)
  expect(node.events.of('seed-refused')).toEqual([{ kind: 'seed-refused', address: other.address }])
  expect(other.events.of('seed-refused')).toEqual([])
})

test('a client with another key gets SHOAL_REFUSED', async () => {
  const node = await startNode(createKey())
  const link = await createLink({ key: createKey(), onFrame: () => {}, onClosed: () => {} })
  ended({ stop: () => link.close() })
  await expect(link.attach(node.address)).rejects.toMatchObject({ code: 'SHOAL_REFUSED' })
  await node.events.first('refused')
  expect(node.events.of('client-connected')).toEqual([])
})

test('who is silent has not refused: a busy node may be tried again', async () => {
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const silent = await createHost({ identity: await generateKeyPair('Ed25519'), listen, services: {} })
  ended(silent)
  await silent.start()
  await silent.handle('/shoal/admit/1.0.0', () => {})
  const address = String(silent.getMultiaddrs()[0])
  const link = await createLink({ key: createKey(), onFrame: () => {}, onClosed: () => {} })
  ended({ stop: () => link.close() })
  await expect(link.attach(address)).rejects.toMatchObject({ code: 'SHOAL_NO_MESH' })
}, 20_000)

test.each(['/shoal/peer/1.0.0', '/shoal/client/1.0.0', '/shoal/blob/1.0.0'])(
  'a stranger gets no stream of %s',
  async (protocol) => {
    const node = await startNode(createKey())
    const stranger = await startStranger()
    const connection = await stranger.dial(multiaddr(node.address))
    const stream = await connection.newStream(protocol)
    stream.addEventListener('message', () => expect.unreachable())
    if (stream.status === 'open') stream.send(randomBytes(1_000))
    await closed(stream)
    expect(node.transport.counters()['streams-refused']).toBe(1)
    expect(node.events.all).toEqual([])
  }
)

test('a stranger that sends rubbish as its proof is disconnected, and the node lives', async () => {
  const key = createKey()
  const node = await startNode(key)
  const stranger = await startStranger()
  for (const size of [1, 32, 64, 100_000]) {
    const connection = await stranger.dial(multiaddr(node.address))
    const gone = new Promise((resolve) => connection.addEventListener('close', resolve))
    const stream = await connection.newStream('/shoal/admit/1.0.0')
    stream.send(randomBytes(size))
    void stream.close().catch(() => {})
    await gone
  }
  expect(node.transport.counters()['peers-refused']).toBe(4)
  await connect(await startNode(key), node)
})

test.each(['/shoal/peer/1.0.0', '/shoal/client/1.0.0', '/shoal/blob/1.0.0', '/meshsub/1.2.0'])(
  'rubbish of a key holder on %s ends at most its stream',
  async (protocol) => {
    const key = createKey()
    const node = await startNode(key)
    const host = await startStranger()
    const self = host.peerId.toString() as PeerId
    const admission = new Admission({
      key,
      self,
      counters: new Counters(),
      onRefused: () => expect.unreachable()
    })
    await admission.attach(host)
    const connection = await host.dial(multiaddr(node.address))
    expect(await admission.verdict(connection)).toEqual({ kind: 'admitted' })
    for (const rubbish of [
      randomBytes(3),
      randomBytes(5_000),
      Buffer.alloc(300),
      Buffer.alloc(1_000, 0xff)
    ]) {
      const stream = await connection.newStream(protocol)
      stream.send(rubbish)
      await stream.close()
      // gossipsub leaves its end of the stream open; ours do not.
      if (protocol.startsWith('/shoal/') && stream.status !== 'closed') await closed(stream)
    }
    expect(connection.status).toBe('open')
    expect(node.events.of('peer-connected')).toEqual([])
    await connect(await startNode(key), node)
  }
)

test('a proof does not fit another connection', async () => {
  const node = await startNode(createKey())
  const stranger = await startStranger()
  const connection = await stranger.dial(multiaddr(node.address))
  const stream = await connection.newStream('/shoal/admit/1.0.0')
  const nonce = randomBytes(32)
  const answer = new Promise<Uint8Array>((resolve) =>
    stream.addEventListener('message', (event) => resolve(event.data.subarray()), { once: true })
  )
  stream.send(nonce)
  // Sent back as it came: the seal names the role, so a listener's does not serve a dialer.
  stream.send((await answer).subarray(32))
  expect((await node.events.first('refused')).reason).toBe('it holds another mesh key')
})

test('gossip of a stranger is not accepted, and it is told none', async () => {
  const key = createKey()
  const [a, b] = await Promise.all([startNode(key), startNode(key)])
  await connect(a, b)
  const host = await gossiper()
  const topic = `shoal-${meshTag(key)}-members`
  const overheard: unknown[] = []
  host.services.sub.addEventListener('message', (event) => overheard.push(event))
  host.services.sub.subscribe(topic)
  const connection = await host.dial(multiaddr(a.address))
  const stream = await connection.newStream('/meshsub/1.2.0')
  await closed(stream)
  await host.services.sub.publish(topic, Buffer.from('forged'))
  await exchangeGossip(a, b)
  expect(b.events.of('gossip').map(({ body }) => Buffer.from(body).toString())).not.toContain('forged')
  expect(overheard).toEqual([])
})

test('gossip of a node that is too large is counted where it arrives, and goes no further', async () => {
  const key = createKey()
  const [a, b, c] = await Promise.all([startNode(key), startNode(key), startNode(key)])
  await connect(a, b)
  c.transport.dial(a.transport.self, [a.address])
  await a.events.count('peer-connected', 2)
  await exchangeGossip(c, b)
  // A node of ours does not send that much: this one is made to.
  const { sub } = (c.transport as unknown as { gossip: { sub: GossipSub } }).gossip
  const topic = `shoal-${meshTag(key)}-members`
  const { recipients } = await sub.publish(topic, randomBytes(gossipBytesMax + 1))
  expect(recipients.map(String)).toEqual([a.transport.self])
  while (a.transport.counters()['gossip-rejected'] === undefined)
    await new Promise((resolve) => setImmediate(resolve))
  a.transport.publish('members', Buffer.from('small'))
  const isSmall = ({ body }: { body: Uint8Array }): boolean => Buffer.from(body).toString() === 'small'
  while (!b.events.of('gossip').some(isSmall))
    await b.events.count('gossip', b.events.of('gossip').length + 1)
  expect(b.events.of('gossip').every(({ body }) => body.length <= gossipBytesMax)).toBe(true)
  expect(a.transport.counters()['gossip-rejected']).toBe(1)
}, 30_000)

/** A host that holds no key, and gossips. */
async function gossiper() {
  const host = await createHost<{ identify: unknown; sub: GossipSub }>({
    identity: await generateKeyPair('Ed25519'),
    listen: [],
    services: {
      identify: identify(),
      sub: gossipsub({ allowPublishToZeroTopicPeers: true }) as () => GossipSub
    }
  })
  await host.start()
  return ended(host)
}

type Node = Awaited<ReturnType<typeof startNode>>

/** Publishes again until one arrives: gossip before the mesh has formed is lost by design. */
async function exchangeGossip(from: Node, to: Node): Promise<void> {
  const arrived = to.events.first('gossip')
  const again = setInterval(() => from.transport.publish('members', Buffer.from('hello')), 20)
  await arrived
  clearInterval(again)
}
