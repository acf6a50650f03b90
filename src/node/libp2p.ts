/**
 * The transport on libp2p: puts admission, peer streams, client streams, gossip and blobs together.
 *
 * Not here: each of those (the files beside this one), whom to dial (the core), settings of the host (host.ts).
 * This is a switchboard: it plugs lines in and out and reports it, and never listens in.
 */
import type { Connection, PrivateKey, Stream } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import { ShoalError } from '../errors.ts'
import type { ClientId, Digest, PeerId } from '../ids.ts'
import { Admission, wrongKey } from './admission.ts'
import { CLIENT_PROTOCOL, Clients, clientStreamsMax } from './clients.ts'
import { BLOB_PROTOCOL, type BlobSource, blobStreamsMax, fetchBlob, serveBlob } from './exchange.ts'
import { Gossip, type TopicName } from './gossip.ts'
import {
  addressesOf,
  closeConnection,
  createHost,
  dialMs,
  identifyService,
  parseAddress,
  peerOf,
  peerOfAddress,
  reasonOf,
  type Search,
  searchMdns,
  startHost
} from './host.ts'
import type { MeshKey } from './key.ts'
import { nearnessOf } from './near.ts'
import { PEER_PROTOCOL, Peers, peerStreamsMax } from './peers.ts'
import { Seeds } from './seeds.ts'
import { Counters, FrameStream } from './stream.ts'
import { DATA_PROTOCOL, dataStreamsMax, type OpenStream, Talk } from './talk.ts'
import { Talks } from './talks.ts'
import type { Transport, TransportEvent } from './transport.ts'

export interface Libp2pTransportOptions {
  readonly key: MeshKey
  readonly identity: PrivateKey
  /** Multiaddrs to listen on; port 0 takes a free one. */
  readonly listen: readonly string[]
  /** Multiaddrs of nodes, with or without their peer id. */
  readonly bootstrap: readonly string[]
  readonly mdns: boolean
  /** Called for everything that happens, in order; never from within a call of the transport. */
  readonly onEvent: (event: TransportEvent) => void
  readonly blobs: BlobSource
  /** Answers who asks for data or brings some: a node, or a client. Never rejects. */
  readonly serveData: (talk: Talk, node: PeerId | undefined) => Promise<void>
}

/** Listening and looking for others when it resolves. Rejects with SHOAL_PORT_TAKEN or SHOAL_BAD_OPTION. */
export async function createLibp2pTransport(options: Libp2pTransportOptions): Promise<Transport> {
  const transport = new Libp2pTransport(options)
  await transport.start()
  return transport
}

type Accept = (stream: Stream, connection: Connection) => void | Promise<void>

class Libp2pTransport implements Transport {
  readonly self: PeerId
  private readonly options: Libp2pTransportOptions
  private readonly counts = new Counters()
  private readonly admission: Admission
  private readonly peers: Peers
  private readonly clients: Clients
  private readonly gossip: Gossip
  private readonly seeds: Seeds
  private readonly dialing = new Set<PeerId>()
  /** Who was here as a node, and may come again. */
  private readonly nodes = new Set<string>()
  private readonly stopping = new AbortController()
  private readonly talks = new Talks(this.counts, this.stopping.signal)
  private host: Libp2p | undefined
  private search: Search | undefined
  private isStray = false

  constructor(options: Libp2pTransportOptions) {
    this.options = options
    this.self = peerIdFromPrivateKey(options.identity).toString() as PeerId
    const { key, bootstrap } = options
    const { self, counts: counters } = this
    this.admission = new Admission({
      key,
      self,
      counters,
      onRefused: (peer, reason) => this.emit({ kind: 'refused', peer, reason })
    })
    this.peers = new Peers({
      self,
      counters,
      addresses: () => this.addresses(),
      onConnected: (peer, addresses, connection) => {
        this.nodes.add(peer)
        this.gossip.connect(peer, connection)
        this.seeds.woke(peer)
        this.emit({ kind: 'peer-connected', peer, addresses })
      },
      onDisconnected: (peer) => {
        this.gossip.disconnect(peer)
        this.seeds.lost(peer)
        this.emit({ kind: 'peer-disconnected', peer })
      },
      onFrame: (peer, frame) => this.emit({ kind: 'peer-frame', peer, frame }),
      onTwin: (peer) => this.emit({ kind: 'twin', peer })
    })
    this.clients = new Clients({
      counters,
      onConnected: (client, peer) => this.emit({ kind: 'client-connected', client, peer }),
      onDisconnected: (client) => this.emit({ kind: 'client-disconnected', client }),
      onFrame: (client, frame) => this.emit({ kind: 'client-frame', client, frame })
    })
    this.gossip = new Gossip({
      key,
      counters,
      serves: (connection) => this.admission.serves(connection),
      isAdmitted: (peer) => this.admission.admits(peer),
      onGossip: (topic, from, body) => this.emit({ kind: 'gossip', topic, from, body })
    })
    this.seeds = new Seeds({
      addresses: bootstrap,
      dial: (address) => this.dialSeed(address),
      isConnected: (peer) => peer === self || this.peers.has(peer)
    })
  }

  async start(): Promise<void> {
    const { identity, listen, key, mdns } = this.options
    for (const address of this.options.bootstrap) parseAddress(address)
    const services = { identify: identifyService(), gossip: this.gossip.service }
    const host: Libp2p = await createHost({ identity, listen, services })
    this.host = host
    await this.admission.attach(host)
    await this.handle(host, PEER_PROTOCOL, peerStreamsMax, (stream, connection) =>
      this.peers.accept(stream, connection)
    )
    await this.handle(host, CLIENT_PROTOCOL, clientStreamsMax, (stream, connection) =>
      this.clients.accept(stream, connection)
    )
    await this.handle(host, BLOB_PROTOCOL, blobStreamsMax, (stream) =>
      serveBlob(stream, this.options.blobs, this.counts)
    )
    await this.handle(host, DATA_PROTOCOL, dataStreamsMax, async (stream, connection) => {
      const options = { counters: this.counts, nearness: nearnessOf(connection) }
      const talk = await Talk.open(options, async (handlers) => this.frames(stream, handlers))
      const peer = peerOf(connection)
      await this.options.serveData(talk, this.peers.has(peer) ? peer : undefined)
    })
    host.addEventListener('peer:disconnect', ({ detail }) => {
      this.gossip.forget(detail)
      // libp2p would remember each for two days, and every client has a new name.
      if (!this.nodes.has(detail.toString())) host.peerStore.delete(detail).catch(() => {})
    })
    await startHost(host, listen)
    this.gossip.start()
    this.seeds.start()
    if (mdns)
      this.search = await searchMdns(host, key, true, (peer, addresses) => this.found(peer, addresses))
  }

  addresses(): string[] {
    return this.host?.getMultiaddrs().map(String) ?? []
  }

  sendPeer(peer: PeerId, frame: Uint8Array): void {
    this.peers.send(peer, frame)
  }

  sendClient(client: ClientId, frame: Uint8Array): void {
    this.clients.send(client, frame)
  }

  queuedFor(to: PeerId | ClientId): number {
    return this.peers.queuedFor(to as PeerId) + this.clients.queuedFor(to as ClientId)
  }

  heldBack(messages: number): void {
    this.counts.add('messages-held-back', messages)
  }

  dropPeer(peer: PeerId, reason: string): void {
    this.counts.add('peers-dropped')
    this.peers.drop(peer, reason)
  }

  endPeer(peer: PeerId, because: 'silent' | 'idle'): void {
    if (because === 'silent') return this.dropPeer(peer, 'it is silent')
    this.counts.add('peers-rested')
    this.seeds.rest(peer)
    const connection = this.peers.connectionOf(peer)
    if (connection === undefined) return
    void this.peers.rest(peer).finally(() => {
      const isUsed = connection.streams.some(({ protocol }) => protocol === BLOB_PROTOCOL)
      if (!isUsed && !this.peers.has(peer)) closeConnection(connection)
    })
  }

  dropClient(client: ClientId, reason: string): void {
    this.counts.add('clients-dropped')
    this.clients.drop(client, reason)
  }

  misread(client: ClientId, count: number): void {
    this.counts.add('messages-misread', count)
    this.clients.misread(client, count)
  }

  dial(peer: PeerId, addresses: readonly string[]): void {
    if (peer === this.self || this.peers.has(peer) || this.dialing.has(peer)) return
    this.dialing.add(peer)
    const targets = addressesOf(peer, addresses)
    this.reach(targets.length > 0 ? targets : peer)
      .catch((error) => {
        this.seeds.woke(peer)
        this.emit({ kind: 'dial-failed', peer, address: addresses[0] ?? '', reason: reasonOf(error) })
      })
      .finally(() => this.dialing.delete(peer))
  }

  publish(topic: TopicName, body: Uint8Array): void {
    this.gossip.publish(topic, body)
  }

  fetchBlob(digest: Digest, peers: readonly PeerId[]): Promise<Uint8Array> {
    const connections = peers.map((peer) => this.peers.connectionOf(peer)).filter((one) => one !== undefined)
    return fetchBlob(digest, connections, this.counts)
  }

  async talkTo(peer: PeerId): Promise<Talk> {
    const connection = this.peers.connectionOf(peer)
    if (connection === undefined) throw new Error('it is not connected')
    return await this.talks.to(connection)
  }

  isNear(peer: PeerId): boolean {
    const connection = this.peers.connectionOf(peer)
    return connection !== undefined && nearnessOf(connection).isNear
  }

  counters(): Readonly<Record<string, number>> {
    return this.counts.read()
  }

  /** Sends what is queued, at most for a second. No event follows. */
  async stop(): Promise<void> {
    if (this.stopping.signal.aborted) return
    this.stopping.abort(new ShoalError('SHOAL_CLOSED', 'the node stops'))
    this.seeds.stop()
    this.gossip.stop()
    await Promise.all([this.peers.close(), this.clients.close(), this.search?.stop()])
    await this.host?.stop()
  }

  private frames(stream: Stream, handlers: Parameters<OpenStream>[0]): FrameStream {
    return new FrameStream(stream, { counters: this.counts, ...handlers })
  }

  private emit(event: TransportEvent): void {
    if (!this.stopping.signal.aborted) this.options.onEvent(event)
  }

  private async handle(
    host: Libp2p,
    protocol: string,
    maxInboundStreams: number,
    accept: Accept
  ): Promise<void> {
    const gated: Accept = async (stream, connection) => {
      if (!this.stopping.signal.aborted && (await this.admission.serves(connection))) {
        await accept(stream, connection)
        return
      }
      this.counts.add('streams-refused')
      stream.abort(new Error('not admitted'))
    }
    await host.handle(protocol, gated, { maxInboundStreams })
  }

  /** Connects, has both ends prove the key, and opens the stream. */
  private async reach(target: Multiaddr | Multiaddr[] | PeerId): Promise<PeerId> {
    if (this.host === undefined) throw new ShoalError('SHOAL_CLOSED', 'the node has not started')
    const signal = AbortSignal.any([AbortSignal.timeout(dialMs), this.stopping.signal])
    const to = typeof target === 'string' ? peerIdFromString(target) : target
    const connection = await this.host.dial(to, { signal })
    const verdict = await this.admission.verdict(connection)
    if (verdict.kind === 'refused') throw new ShoalError('SHOAL_REFUSED', verdict.reason)
    if (verdict.kind === 'lost') throw new Error(verdict.reason)
    try {
      await this.peers.open(connection)
    } catch (error) {
      // It may be dead without a sign of it; libp2p would hand it out again at the next dial.
      connection.abort(new Error(reasonOf(error)))
      throw error
    }
    return connection.remotePeer.toString() as PeerId
  }

  private async dialSeed(address: string): Promise<PeerId> {
    const target = parseAddress(address)
    const named = peerOfAddress(target)
    if (named === this.self || this.addresses().some((own) => own.startsWith(`${address}/p2p/`)))
      return this.self
    try {
      const peer = await this.reach(target)
      if (named === undefined) this.emit({ kind: 'peer-found', peer, addresses: [address] })
      return peer
    } catch (error) {
      const reason = reasonOf(error)
      if (reason === wrongKey && !this.isStray) {
        this.isStray = true
        this.emit({ kind: 'seed-refused', address })
      }
      this.emit({ kind: 'dial-failed', peer: named, address, reason })
      throw error
    }
  }

  private found(peer: PeerId, addresses: string[]): void {
    if (!this.peers.has(peer)) this.emit({ kind: 'peer-found', peer, addresses })
  }
}
