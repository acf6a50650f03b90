/**
 * What the driver needs of a network: admitted peers, ordered streams of frames, and aggregated gossip.
 *
 * Not here: libp2p (libp2p.ts), what frames mean (routing/messages.ts, tasks/messages.ts).
 * A peer is only ever reported after it proved that it holds the mesh key.
 */
import type { ClientId, Digest, PeerId } from '../ids.ts'
import type { Talk } from './talk.ts'

export type TransportEvent =
  /** An admitted node's stream is open; frames may be sent to it. Never twice without a `peer-disconnected` between. */
  | { kind: 'peer-connected'; peer: PeerId; addresses: string[] }
  | { kind: 'peer-disconnected'; peer: PeerId }
  | { kind: 'dial-failed'; peer: PeerId | undefined; address: string; reason: string }
  /** Found by mDNS or bootstrap; not connected, not admitted. */
  | { kind: 'peer-found'; peer: PeerId; addresses: string[] }
  /** One frame, whole, in order of sending. */
  | { kind: 'peer-frame'; peer: PeerId; frame: Uint8Array }
  | { kind: 'client-connected'; client: ClientId; peer: PeerId }
  | { kind: 'client-disconnected'; client: ClientId }
  | { kind: 'client-frame'; client: ClientId; frame: Uint8Array }
  | { kind: 'gossip'; topic: 'members' | 'work'; from: PeerId; body: Uint8Array }
  /** For people: said once per peer and reason. */
  | { kind: 'refused'; peer: PeerId; reason: string }
  /** For people: an address that this node was given leads to another mesh. Said once, of the first such address. */
  | { kind: 'seed-refused'; address: string }
  /** For people: two processes run as that node, or as this very one, and one of them is turned away. */
  | { kind: 'twin'; peer: PeerId }

export interface Transport {
  readonly self: PeerId
  /** Multiaddrs that others can dial, with `/p2p/…`. */
  addresses(): string[]
  /** Sends one frame; frames to one peer arrive in order or the stream breaks. Dropped silently if the peer is gone (its `peer-disconnected` says so). */
  sendPeer(peer: PeerId, frame: Uint8Array): void
  sendClient(client: ClientId, frame: Uint8Array): void
  /** Bytes that wait to be handed to the network. */
  queuedFor(to: PeerId | ClientId): number
  /** Counts messages that were left out, because too much waited already. */
  heldBack(messages: number): void
  /** Ends the stream, and pauses nothing else: for a peer or client that sent what is no message of ours. */
  dropPeer(peer: PeerId, reason: string): void
  /** Ends a stream: at once; or, if it is idle, in good order with its connection, and no seed is dialed because of it. */
  endPeer(peer: PeerId, because: 'silent' | 'idle'): void
  dropClient(client: ClientId, reason: string): void
  /** Counts messages of a client that could not be read; beyond `misreadMax` its stream is closed, once all was sent. */
  misread(client: ClientId, count: number): void
  /** Tries the addresses once; answers with `peer-connected` or `dial-failed`. */
  dial(peer: PeerId, addresses: readonly string[]): void
  /** At most 64 KiB; more is dropped and counted. */
  publish(topic: 'members' | 'work', body: Uint8Array): void
  /** The bytes with this digest, from the first of `peers` that has them, checked by hash; rejects with SHOAL_NOT_FOUND. */
  fetchBlob(digest: Digest, peers: readonly PeerId[]): Promise<Uint8Array>
  /** A stream for one transfer of data. Rejects if the peer is not connected, or does not answer. */
  talkTo(peer: PeerId): Promise<Talk>
  /** Its files can be read here, as far as is known. False if it is not connected. */
  isNear(peer: PeerId): boolean
  /** Counters for `status`: refused peers, malformed frames, bytes. */
  counters(): Readonly<Record<string, number>>
  stop(): Promise<void>
}

/** The network, once there is one. */
export function started(transport: Transport | undefined): Transport {
  if (transport === undefined) throw new Error('no network yet')
  return transport
}
