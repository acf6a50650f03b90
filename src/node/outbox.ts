/**
 * What one turn of the event loop has to say, gathered so that each peer and each client gets one frame of it.
 *
 * Not here: when a turn ends (driver.ts), how frames travel (transport.ts).
 * A message that goes to three keepers and to the own disk is encoded once.
 */
import { type EntryMessage, entryMessages } from '../client/protocol.ts'
import type { ClientId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { joinFrame, type PeerMessage, peerMessages } from './messages.ts'

/**
 * While so much waits to be read by a peer, large messages to it are dropped: all are said again by who needs them, and what
 * is asked for only by and by does not end the stream. One client's shards on their way to a keeper take less.
 */
export const bulkQueueBytesMax = 48 << 20
const bulkBytes = 64 << 10
/** Results that wait to be read by a client; more is asked for once there is room. */
const clientQueueBytesMax = 16 << 20

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
  /** Bytes that were sent and wait to be handed to the network. */
  queuedFor(to: PeerId | ClientId): number
  /** Counts messages that were left out, because too much waited already. */
  heldBack(messages: number): void
}

interface Queue {
  readonly parts: Uint8Array[]
  /** When the least patient of them leaves, and all with it. */
  dueAt: Millis
}

export class Outbox {
  readonly #peers = new Map<PeerId, Queue>()
  readonly #clients = new Map<ClientId, Queue>()

  /** May wait for company until `dueAt`. */
  toPeer(peer: PeerId, message: PeerMessage, dueAt: Millis): void {
    add(this.#peers, peer, encodeOnce(message), dueAt)
  }

  /** Clients wait for what they are told: it leaves with the next flush. */
  toClient(client: ClientId, message: EntryMessage): void {
    add(this.#clients, client, entryMessages.encode(message), 0)
  }

  /** Bytes that this client can be told now: any number, if nothing carries them. */
  room(client: ClientId, carrier: Carrier | false | undefined): number {
    if (carrier === undefined || carrier === false) return Number.POSITIVE_INFINITY
    const waiting = bytesOf(this.#clients.get(client)?.parts ?? [])
    return clientQueueBytesMax - waiting - carrier.queuedFor(client)
  }

  /** Sends what is due, in order; what waits for company comes along. Returns when the rest is due. */
  flush(carrier: Carrier, now: Millis): Millis {
    const toPeer = (peer: PeerId, parts: readonly Uint8Array[]): void => {
      const kept = within(carrier.queuedFor(peer), parts)
      if (kept.length < parts.length) carrier.heldBack(parts.length - kept.length)
      for (const frame of frames(kept)) carrier.sendPeer(peer, frame)
    }
    const toClient = (client: ClientId, parts: readonly Uint8Array[]): void => {
      for (const frame of frames(parts)) carrier.sendClient(client, frame)
    }
    return Math.min(take(this.#peers, now, toPeer), take(this.#clients, now, toClient))
  }
}

/** Without large ones that would have to wait for too long. */
function within(queued: number, parts: readonly Uint8Array[]): readonly Uint8Array[] {
  if (queued + bytesOf(parts) <= bulkQueueBytesMax) return parts
  let sum = queued
  return parts.filter(({ byteLength }) => {
    const isKept = byteLength < bulkBytes || sum <= bulkQueueBytesMax
    if (isKept) sum += byteLength
    return isKept
  })
}

function add<K>(queues: Map<K, Queue>, to: K, part: Uint8Array, dueAt: Millis): void {
  const queue = queues.get(to)
  if (queue === undefined) queues.set(to, { parts: [part], dueAt })
  else {
    queue.parts.push(part)
    queue.dueAt = Math.min(queue.dueAt, dueAt)
  }
}

function bytesOf(parts: readonly Uint8Array[]): number {
  let sum = 0
  for (const { byteLength } of parts) sum += byteLength
  return sum
}

function take<K>(
  queues: Map<K, Queue>,
  now: Millis,
  say: (to: K, parts: readonly Uint8Array[]) => void
): Millis {
  let next = Number.POSITIVE_INFINITY
  for (const [to, { parts, dueAt }] of queues) {
    if (dueAt > now) {
      next = Math.min(next, dueAt)
      continue
    }
    queues.delete(to)
    say(to, parts)
  }
  return next
}
