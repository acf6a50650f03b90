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

interface Queue {
  parts: Uint8Array[]
  isUrgent: boolean
}

export class Outbox {
  readonly #peers = new Map<PeerId, Queue>()
  #clients = new Map<ClientId, Uint8Array[]>()

  /** True if it may wait for company: then it leaves with the next message to this peer, or when all is flushed. */
  toPeer(peer: PeerId, message: PeerMessage): boolean {
    const queue = this.#peers.get(peer) ?? { parts: [], isUrgent: false }
    this.#peers.set(peer, queue)
    queue.parts.push(encodeOnce(message))
    const mayWait = message.kind === 'confirm'
    if (!mayWait) queue.isUrgent = true
    return mayWait
  }

  toClient(client: ClientId, message: EntryMessage): void {
    const parts = this.#clients.get(client) ?? []
    this.#clients.set(client, parts)
    parts.push(entryMessages.encode(message))
  }

  /** Sends to each peer in order; to those for whom nothing is urgent only if `isAll`. */
  flush(carrier: Carrier, isAll: boolean): void {
    for (const [peer, queue] of this.#peers) {
      if (!isAll && !queue.isUrgent) continue
      this.#peers.delete(peer)
      for (const frame of frames(queue.parts)) carrier.sendPeer(peer, frame)
    }
    if (this.#clients.size === 0) return
    const clients = this.#clients
    this.#clients = new Map()
    for (const [client, parts] of clients)
      for (const frame of frames(parts)) carrier.sendClient(client, frame)
  }
}
