/**
 * The transport on real sockets: frames in order, one stream per pair, bounded queues, and no surprise at an end.
 *
 * Not here: admission (admission.test.ts), blobs (blobs.test.ts).
 */
import { randomBytes } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { afterEach, describe, expect, test } from 'vitest'
import { gossipBytesMax } from '../../src/node/gossip.ts'
import { createKey } from '../../src/node/key.ts'
import { createLink, type Link } from '../../src/node/link.ts'
import { frameBytesMax, outQueueBytesMax } from '../../src/node/stream.ts'
import type { TransportEvent } from '../../src/node/transport.ts'
import { connect, ended, startNode, stopAll, type TestNode } from './helpers.ts'

afterEach(stopAll)

const MiB = 1024 * 1024

async function startLink(key: ReturnType<typeof createKey>) {
  const frames: Uint8Array[] = []
  const closed = Promise.withResolvers<string>()
  let onFrame = (frame: Uint8Array): unknown => frames.push(frame)
  const link: Link = await createLink({ key, onFrame: (frame) => onFrame(frame), onClosed: closed.resolve })
  ended({ stop: () => link.close() })
  return {
    link,
    frames,
    closed: closed.promise,
    next: () =>
      new Promise<Uint8Array>((resolve) => {
        onFrame = resolve
      })
  }
}

describe('peers', () => {
  test('frames of every size arrive in order, both ways', async () => {
    const key = createKey()
    const [a, b] = await Promise.all([startNode(key), startNode(key)])
    await connect(a, b)
    const sizes = [0, 1, 3, 4, 200, 16_384, 16_385, 65_535, 65_536, 262_144, 262_145, MiB, 0, 8 * MiB, 5, 0]
    // Large ones between small ones: memory of the former is given back while the latter are still read.
    const mixed = Array.from({ length: 2_000 }, (_, i) => (i % 100 === 0 ? 100_000 + i : i % 700))
    const frames = [...sizes, ...mixed].map((size) => randomBytes(size))
    for (const frame of frames) {
      a.transport.sendPeer(b.transport.self, frame)
      b.transport.sendPeer(a.transport.self, frame)
    }
    for (const node of [a, b]) {
      const got = await node.events.count('peer-frame', frames.length)
      expect(
        got.every(({ frame }, i) => Buffer.compare(frame, frames[i] ?? Buffer.from('missing')) === 0)
      ).toBe(true)
    }
    expect((await b.events.first('peer-connected')).addresses).toEqual(a.transport.addresses())
    expect((await a.events.first('peer-connected')).addresses).toEqual(b.transport.addresses())
  })

  test('two that dial each other at once get exactly one stream', async () => {
    const key = createKey()
    for (let round = 0; round < 10; round++) {
      const [a, b] = await Promise.all([startNode(key), startNode(key)])
      a.transport.dial(b.transport.self, [b.address])
      b.transport.dial(a.transport.self, [a.address])
      await Promise.all([a.events.first('peer-connected'), b.events.first('peer-connected')])
      for (let i = 0; i < 20; i++) {
        a.transport.sendPeer(b.transport.self, Uint8Array.of(i))
        b.transport.sendPeer(a.transport.self, Uint8Array.of(i))
      }
      // A second stream, or a loss of the first, would have come before the last of many round trips.
      for (let i = 20; i < 60; i++) {
        await Promise.all([a.events.count('peer-frame', i), b.events.count('peer-frame', i)])
        a.transport.sendPeer(b.transport.self, Uint8Array.of(i))
        b.transport.sendPeer(a.transport.self, Uint8Array.of(i))
      }
      for (const { events } of [a, b]) {
        const got = await events.count('peer-frame', 60)
        expect(got.map(({ frame }) => frame[0])).toEqual(Array.from({ length: 60 }, (_, i) => i))
        expect(events.of('peer-connected')).toHaveLength(1)
        expect(events.of('peer-disconnected')).toEqual([])
        expect(events.of('dial-failed')).toEqual([])
      }
      await stopAll()
    }
  })

  test('one that stops or is dropped is reported once, and can be dialed again', async () => {
    const key = createKey()
    const [a, b] = await Promise.all([startNode(key), startNode(key)])
    await connect(a, b)
    a.transport.dropPeer(b.transport.self, 'test')
    expect(a.events.of('peer-disconnected')).toEqual([])
    await Promise.all([a.events.first('peer-disconnected'), b.events.first('peer-disconnected')])
    a.transport.dial(b.transport.self, [b.address])
    await Promise.all([a.events.count('peer-connected', 2), b.events.count('peer-connected', 2)])
    b.transport.sendPeer(a.transport.self, Buffer.from('farewell'))
    await b.transport.stop()
    await a.events.count('peer-disconnected', 2)
    expect(a.events.all.slice(-2)).toMatchObject([{ kind: 'peer-frame' }, { kind: 'peer-disconnected' }])
    a.transport.sendPeer(b.transport.self, Buffer.from('to nobody'))
    a.transport.dial(b.transport.self, [b.address])
    await a.events.first('dial-failed')
  })

  test('an idle stream ends in good order, with its connection, and can be dialed again', async () => {
    const key = createKey()
    const [a, b] = await Promise.all([startNode(key), startNode(key)])
    await connect(a, b)
    b.transport.sendPeer(a.transport.self, Buffer.from('the last word'))
    b.transport.endPeer(a.transport.self, 'idle')
    expect(b.events.of('peer-disconnected')).toEqual([])
    await Promise.all([a.events.first('peer-disconnected'), b.events.first('peer-disconnected')])
    expect(a.events.of('peer-frame').map(({ frame }) => Buffer.from(frame).toString())).toEqual([
      'the last word'
    ])
    // The one that ended it knows that its connection goes; the other may find that out by dialing.
    b.transport.dial(a.transport.self, [a.address])
    await Promise.all([a.events.count('peer-connected', 2), b.events.count('peer-connected', 2)])
  })

  test('a node that restarts with the same identity replaces its old stream', async () => {
    const key = createKey()
    const identity = await generateKeyPair('Ed25519')
    const a = await startNode(key)
    const old = await startNode(key, { identity })
    await connect(old, a)
    const again = await startNode(key, { identity })
    again.transport.dial(a.transport.self, [a.address])
    await again.events.first('peer-connected')
    await a.events.count('peer-connected', 2)
    expect(a.events.all.map(({ kind }) => kind)).toEqual([
      'peer-connected',
      'peer-disconnected',
      'peer-connected'
    ])
    await old.events.first('peer-disconnected')
  })

  test('a peer that sends what is no handshake, or too large a frame, loses its stream', async () => {
    const key = createKey()
    const [a, b] = await Promise.all([startNode(key), startNode(key)])
    await connect(a, b)
    a.transport.sendPeer(b.transport.self, new Uint8Array(frameBytesMax + 1))
    await Promise.all([a.events.first('peer-disconnected'), b.events.first('peer-disconnected')])
    expect(a.transport.counters()['frames-too-large']).toBe(1)
  })

  test('what a slow reader does not take is bounded, and then ends the stream', async () => {
    const key = createKey()
    const node = await startNode(key)
    const { link, closed } = await startLink(key)
    await link.attach(node.address)
    const { client } = await node.events.first('client-connected')
    link.pause()
    const before = process.memoryUsage().arrayBuffers
    const frame = randomBytes(MiB)
    for (let i = 0; i < 100; i++) node.transport.sendClient(client, frame)
    await node.events.first('client-disconnected')
    expect(node.transport.counters()['queues-overflowed']).toBe(1)
    expect(await closed).toBeTruthy()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(outQueueBytesMax)
  })

  test('a paused reader gets everything after it resumes, and pauses again in between', async () => {
    const key = createKey()
    const node = await startNode(key)
    let got = 0
    const done = Promise.withResolvers<void>()
    const link: Link = await createLink({
      key,
      onFrame: (frame) => {
        expect(frame[0]).toBe(got % 256)
        got++
        link.pause()
        setImmediate(() => link.resume())
        if (got === 400) done.resolve()
      },
      onClosed: done.reject
    })
    ended({ stop: () => link.close() })
    await link.attach(node.address)
    const { client } = await node.events.first('client-connected')
    for (let i = 0; i < 400; i++) node.transport.sendClient(client, new Uint8Array(100_000).fill(i % 256))
    await done.promise
    expect(got).toBe(400)
  })
})

describe('finding others', () => {
  test('a bootstrap address is dialed until somebody is there, and again after a loss', async () => {
    const key = createKey()
    const identity = await generateKeyPair('Ed25519')
    const first = await startNode(key, { identity })
    const bare = first.address.replace(/\/p2p\/.*/, '')
    await first.transport.stop()
    const node = await startNode(key, { bootstrap: [bare] })
    await node.events.first('dial-failed')
    const seed = await startNode(key, { identity, listen: [bare] })
    await node.events.first('peer-connected')
    expect(await node.events.first('peer-found')).toMatchObject({
      peer: seed.transport.self,
      addresses: [bare]
    })
    await seed.transport.stop()
    await node.events.first('peer-disconnected')
    await startNode(key, { identity, listen: [bare] })
    await node.events.count('peer-connected', 2)
  })

  test('a node that is its own seed is content', async () => {
    const key = createKey()
    const first = await startNode(key)
    const bare = first.address.replace(/\/p2p\/.*/, '')
    await first.transport.stop()
    const node = await startNode(key, {
      listen: [bare],
      bootstrap: [bare, `${bare}/p2p/${first.transport.self}`]
    })
    await node.events.first('dial-failed')
    expect(node.events.of('peer-connected')).toEqual([])
  })

  test('nodes and clients find the nodes of their mesh by mDNS', async () => {
    const key = createKey()
    const a = await startNode(key, { mdns: true })
    await startNode(createKey(), { mdns: true })
    const b = await startNode(key, { mdns: true })
    const found = await b.events.first('peer-found')
    expect(found.peer).toBe(a.transport.self)
    b.transport.dial(found.peer, found.addresses)
    await b.events.first('peer-connected')
    const { link } = await startLink(key)
    const addresses = await link.discover(5_000)
    expect(addresses.sort()).toEqual([a.address, b.address].sort())
  })

  test('a taken port says which and what to do', async () => {
    const { address } = await startNode(createKey())
    const listen = [address.replace(/\/p2p\/.*/, '')]
    await expect(startNode(createKey(), { listen })).rejects.toMatchObject({
      code: 'SHOAL_PORT_TAKEN',
      message: expect.stringContaining(`listens on ${listen[0]}; stop that process`)
    })
    await expect(startNode(createKey(), { listen: ['localhost:80'] })).rejects.toMatchObject({
      code: 'SHOAL_BAD_OPTION'
    })
    await expect(startNode(createKey(), { listen: ['/ip4/203.0.113.1/tcp/0'] })).rejects.toMatchObject({
      code: 'SHOAL_BAD_OPTION'
    })
  })
})

describe('gossip', () => {
  test('reaches nodes that are only connected through others, and has a limit', async () => {
    const key = createKey()
    const [a, b, c] = await Promise.all([startNode(key), startNode(key), startNode(key)])
    await connect(a, b)
    c.transport.dial(b.transport.self, [b.address])
    await b.events.count('peer-connected', 2)
    a.transport.publish('work', new Uint8Array(gossipBytesMax + 1))
    expect(a.transport.counters()['gossip-too-large']).toBe(1)
    const body = randomBytes(gossipBytesMax)
    const again = setInterval(() => a.transport.publish('work', body), 100)
    const event = await c.events.first('gossip')
    clearInterval(again)
    expect(event).toMatchObject({ topic: 'work', from: a.transport.self })
    expect(Buffer.compare(event.body, body)).toBe(0)
  })
})

describe('clients', () => {
  test('attach, exchange frames, and hear when the node stops', async () => {
    const key = createKey()
    const node = await startNode(key, { tap: echo })
    const kinds: string[] = []
    function echo(event: TransportEvent): void {
      kinds.push(event.kind)
      if (event.kind === 'client-frame') node.transport.sendClient(event.client, event.frame)
    }
    const { link, closed, next } = await startLink(key)
    expect(await link.attach(node.address)).toBe(node.transport.self)
    expect(await link.attach('/ip4/127.0.0.1/tcp/1')).toBe(node.transport.self)
    for (const size of [0, 10, MiB]) {
      const answer = next()
      const frame = randomBytes(size)
      link.send(frame)
      expect(Buffer.compare(await answer, frame)).toBe(0)
    }
    await link.drained()
    expect(link.queuedBytes).toBe(0)
    await link.detach()
    await link.attach(node.address.replace(/\/p2p\/.*/, ''))
    expect(kinds.filter((kind) => kind === 'client-connected')).toHaveLength(2)
    await node.transport.stop()
    expect(await closed).toBeTruthy()
    link.send(Buffer.from('to nobody'))
    await expect(link.attach(node.address)).rejects.toMatchObject({ code: 'SHOAL_NO_MESH' })
    await expect(link.attach('nowhere')).rejects.toMatchObject({ code: 'SHOAL_BAD_OPTION' })
  })

  test('who came as a client and went is not remembered, and a node is', async () => {
    const key = createKey()
    const [node, other] = [await startNode(key), await startNode(key)]
    const { host } = node.transport as unknown as { host: Libp2p }
    const gone = Promise.withResolvers<void>()
    let left = 4
    host.addEventListener('peer:disconnect', () => {
      if (--left === 0) gone.resolve()
    })
    await connect(node, other)
    for (let i = 0; i < 3; i++) {
      const { link } = await startLink(key)
      await link.attach(node.address)
      await link.close()
    }
    await other.transport.stop()
    await gone.promise
    const known = (await host.peerStore.all()).map(({ id }) => id.toString())
    expect(known).toEqual([other.transport.self])
  })

  test('one client that is dropped does not end another of the same node', async () => {
    const key = createKey()
    const node: TestNode = await startNode(key)
    const [one, two] = await Promise.all([startLink(key), startLink(key)])
    await one.link.attach(node.address)
    const { client } = await node.events.first('client-connected')
    await two.link.attach(node.address)
    await node.events.count('client-connected', 2)
    node.transport.dropClient(client, 'test')
    await one.closed
    expect(node.events.of('client-disconnected')).toEqual([{ kind: 'client-disconnected', client }])
    const other = node.events.of('client-connected')[1]
    const arrived = two.next()
    node.transport.sendClient(other?.client ?? client, Buffer.from('still here'))
    expect(Buffer.from(await arrived).toString()).toBe('still here')
  })
})
