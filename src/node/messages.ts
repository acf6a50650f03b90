/**
 * All that one node says to another: one union, one codec, and frames of many messages.
 *
 * Not here: what the messages mean (routing/messages.ts, tasks/messages.ts). A frame is everything that one turn of the event
 * loop had to say to one peer, so its cost is shared.
 * A frame is messages after one another, each with its length in four bytes, little endian.
 */
import { cellKinds } from '../cells/messages.ts'
import { dataKinds } from '../data/messages.ts'
import { ShoalError } from '../errors.ts'
import { gossipKinds, routingKinds } from '../routing/messages.ts'
import { sourceAnswers, sourceQuestions } from '../routing/source-messages.ts'
import { taskKinds } from '../tasks/messages.ts'
import { added, codec, type MessageOf, text, uint } from '../wire.ts'

const kinds = {
  ...routingKinds,
  ...taskKinds,
  ...sourceQuestions,
  ...sourceAnswers,
  ...dataKinds,
  ...cellKinds,
  ask: { ask: uint(), what: text(32), about: added(text(128), '') },
  told: { ask: uint(), json: text(4 << 20) }
} as const

export const peerMessages = codec(kinds)
export type PeerMessage = MessageOf<typeof kinds>
export const gossipMessages = codec(gossipKinds)
export type GossipMessage = MessageOf<typeof gossipKinds>

/** Messages in one frame at most; a longer frame is malformed. */
const frameMessagesMax = 65_536

export function joinFrame(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const part of parts) size += 4 + part.byteLength
  const frame = new Uint8Array(size)
  const view = new DataView(frame.buffer)
  let at = 0
  for (const part of parts) {
    view.setUint32(at, part.byteLength, true)
    frame.set(part, at + 4)
    at += 4 + part.byteLength
  }
  return frame
}

/** Throws SHOAL_BAD_MESSAGE if the lengths do not add up. */
export function splitFrame(frame: Uint8Array): Uint8Array[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const parts: Uint8Array[] = []
  let at = 0
  while (at < frame.byteLength) {
    const size = at + 4 <= frame.byteLength ? view.getUint32(at, true) : Number.POSITIVE_INFINITY
    if (at + 4 + size > frame.byteLength || parts.length >= frameMessagesMax) {
      throw new ShoalError('SHOAL_BAD_MESSAGE', 'a frame whose lengths do not add up')
    }
    parts.push(frame.subarray(at + 4, at + 4 + size))
    at += 4 + size
  }
  return parts
}
