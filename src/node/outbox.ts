/**
 * What one turn of the event loop has to say, gathered so that each peer and each client gets one frame of it.
 *
 * Not here: when a turn ends (driver.ts), how frames travel (transport.ts).
 * A message that goes to three keepers and to the own disk is encoded once.
 */
import { type EntryMessage, entryMessages } from '../client/protocol.ts'
import type { ClientId, PeerId } from '../ids.ts'
import { joinFrame, type PeerMessage, peerMessages } from './messages.ts'

/** A frame is cut when it exceeds this; one message may be larger. */
const frameTargetBytes = 4 << 20

const encoded = new WeakMap<PeerMessage, Uint8Array>()

export function encodeOnce(message: PeerMessage): Uint8Array {
  const before = encoded.get(message)
  if (before !== undefined) return before
  const bytes = peerMessages.encode(message)
  encoded.set(message, bytes)
  return bytes
}

/** A message that came as these bytes needs no encoding to be stored or passed on. */
export function rememberEncoded(message: PeerMessage, bytes: Uint8Array): void {
  encoded.set(message, bytes)
}

/** Frames of at most `frameTargetBytes`, unless one message is larger. */
export function frames(parts: readonly Uint8Array[]): Uint8Array[] {
  const result: Uint8Array[] = []
  let from = 0
  let size = 0
  for (let at = 0; at < parts.length; at++) {
    const next = (parts[at] as Uint8Array).byteLength
    if (at > from && size + next > frameTargetBytes) {
      result.push(joinFrame(parts.slice(from, at)))
      from = at
      size = 0
    }
    size += next
  }
  if (from < parts.length) result.push(joinFrame(from === 0 ? parts : parts.slice(from)))
  return result
}

export interface Carrier {
  sendPeer(peer: PeerId, frame: Uint8Array): void
  sendClient(client: ClientId, frame: Uint8Array): void
}

export class Outbox {
  #peers = new Map<PeerId, Uint8Array[]>()
  #clients = new Map<ClientId, Uint8Array[]>()

  toPeer(peer: PeerId, message: PeerMessage): void {
    add(this.#peers, peer, encodeOnce(message))
  }

  toClient(client: ClientId, message: EntryMessage): void {
    add(this.#clients, client, entryMessages.encode(message))
  }

  flush(carrier: Carrier): void {
    const [peers, clients] = [this.#peers, this.#clients]
    if (peers.size > 0) this.#peers = new Map()
    if (clients.size > 0) this.#clients = new Map()
    for (const [peer, parts] of peers) for (const frame of frames(parts)) carrier.sendPeer(peer, frame)
    for (const [client, parts] of clients)
      for (const frame of frames(parts)) carrier.sendClient(client, frame)
  }
}

function add<K>(map: Map<K, Uint8Array[]>, key: K, part: Uint8Array): void {
  const parts = map.get(key)
  if (parts === undefined) map.set(key, [part])
  else parts.push(part)
}
