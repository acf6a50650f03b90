/**
 * Gossip for nodes only: gossipsub, which is shown a peer when its stream is live and forgets it when the stream ends.
 *
 * Not here: what is gossiped (routing/messages.ts). Gossip is a hint, never the record: it may be lost, late or doubled.
 * libp2p would hand gossipsub everyone who connects; a doorman stands between them (`gatedRegistrar`).
 */
import {
  type GossipSub,
  type GossipSubComponents,
  gossipsub,
  type Message,
  TopicValidatorResult
} from '@chainsafe/libp2p-gossipsub'
import type { Connection, PeerId as HostPeerId, Topology } from '@libp2p/interface'
import type { PeerId } from '../ids.ts'
import { type MeshKey, meshTag } from './key.ts'
import type { Counters } from './stream.ts'

export type TopicName = 'members' | 'work'
/** Bytes of one gossip; more is dropped and counted, by its sender and by every receiver. */
export const gossipBytesMax = 64 * 1024
/** How often streams are looked after that gossipsub lost and does not open again by itself. */
const healMs = 5_000
/** Messages from this size on are announced, so that neighbours do not send them twice. */
const announceBytes = 4 * 1024
const TOPICS: readonly TopicName[] = ['members', 'work']

export interface GossipOptions {
  readonly key: MeshKey
  readonly counters: Counters
  /** Whether streams of this connection are served. */
  readonly serves: (connection: Connection) => Promise<boolean>
  readonly isAdmitted: (peer: PeerId) => boolean
  readonly onGossip: (topic: TopicName, from: PeerId, body: Uint8Array) => void
}

export class Gossip {
  private readonly options: GossipOptions
  private readonly names = new Map<string, TopicName>()
  private readonly topologies = new Set<Topology>()
  private readonly linked = new Map<PeerId, Connection>()
  private sub: GossipSub | undefined
  private healer: ReturnType<typeof setInterval> | undefined

  constructor(options: GossipOptions) {
    this.options = options
    for (const topic of TOPICS) this.names.set(`shoal-${meshTag(options.key)}-${topic}`, topic)
  }

  /** The libp2p service. */
  readonly service = (components: GossipSubComponents): GossipSub => {
    const make = gossipsub({
      allowedTopics: [...this.names.keys()],
      allowPublishToZeroTopicPeers: true,
      batchPublish: true,
      emitSelf: false,
      fallbackToFloodsub: false,
      ignoreDuplicatePublishError: true,
      idontwantMinDataSize: announceBytes,
      // Duplicates are recognised before their signature is checked, which is most of the cost.
      fastMsgIdFn: (message) => `${keyPart(message.from)}/${keyPart(message.seqno)}`,
      // Many nodes on one host are no attack; the default would mute them all from 15 on.
      scoreParams: { IPColocationFactorWeight: 0 },
      tagMeshPeers: false
    })
    const { privateKey, peerId, peerStore, connectionManager, logger } = components
    const registrar = this.gatedRegistrar(components.registrar)
    this.sub = make({ privateKey, peerId, peerStore, connectionManager, logger, registrar })
    return this.sub
  }

  /** After the host started. */
  start(): void {
    const sub = this.sub
    if (sub === undefined) return
    for (const name of this.names.keys()) {
      sub.topicValidators.set(name, (sender, message) => this.validate(sender, message))
      sub.subscribe(name)
    }
    sub.addEventListener('message', ({ detail }) => {
      const topic = this.names.get(detail.topic)
      if (topic === undefined || detail.type !== 'signed') return
      this.options.counters.add('gossip-in')
      this.options.onGossip(topic, detail.from.toString() as PeerId, detail.data)
    })
    this.healer = setInterval(() => this.heal(), healMs)
    this.healer.unref()
  }

  stop(): void {
    clearInterval(this.healer)
    this.linked.clear()
  }

  /** A node's stream is live: gossip with it, on the same connection. */
  connect(peer: PeerId, connection: Connection): void {
    this.linked.set(peer, connection)
    for (const topology of this.topologies) topology.onConnect?.(connection.remotePeer, connection)
  }

  disconnect(peer: PeerId): void {
    const connection = this.linked.get(peer)
    this.linked.delete(peer)
    if (connection) this.forget(connection.remotePeer)
  }

  /** A peer without any connection; it may have opened a gossip stream without ever becoming live. */
  forget(peer: HostPeerId): void {
    for (const topology of this.topologies) topology.onDisconnect?.(peer)
  }

  publish(topic: TopicName, body: Uint8Array): void {
    const { counters, key } = this.options
    if (body.length > gossipBytesMax) {
      counters.add('gossip-too-large')
      return
    }
    counters.add('gossip-out')
    this.sub?.publish(`shoal-${meshTag(key)}-${topic}`, body).catch(() => counters.add('gossip-not-sent'))
  }

  private validate(sender: HostPeerId, message: Message): TopicValidatorResult {
    const known = this.options.isAdmitted(sender.toString() as PeerId)
    if (known && message.type === 'signed' && message.data.length <= gossipBytesMax)
      return TopicValidatorResult.Accept
    this.options.counters.add('gossip-rejected')
    return TopicValidatorResult.Reject
  }

  /** gossipsub does not reopen a stream that ended while its connection lives. */
  private heal(): void {
    for (const [peer, connection] of this.linked) this.connect(peer, connection)
  }

  private gatedRegistrar(inner: GossipSubComponents['registrar']): GossipSubComponents['registrar'] {
    return {
      getProtocols: () => inner.getProtocols(),
      getHandler: (protocol) => inner.getHandler(protocol),
      getTopologies: () => [...this.topologies],
      getMiddleware: (protocol) => inner.getMiddleware(protocol),
      use: (protocol, middleware) => inner.use(protocol, middleware),
      unuse: (protocol) => inner.unuse(protocol),
      unhandle: (protocol, options) => inner.unhandle(protocol, options),
      handle: (protocol, handler, options) =>
        inner.handle(
          protocol,
          async (stream, connection) => {
            if (await this.options.serves(connection)) await handler(stream, connection)
            else stream.abort(new Error('not admitted'))
          },
          options
        ),
      register: async (_protocol, topology) => {
        this.topologies.add(topology)
        return 'shoal'
      },
      unregister: () => this.topologies.clear()
    }
  }
}

function keyPart(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('base64')
}
