/**
 * Everything nodes say to each other about themselves, with the limit of every field.
 *
 * Not here: work (tasks/messages.ts). What is heard about a third node is a hint: only its own stream shows that it lives.
 * Heartbeats are small because they are many; the full directory travels when two nodes meet, and now and then.
 */
import { isPeerId, type PeerId } from '../ids.ts'
import { added, flag, list, type Of, record, text, uint } from '../wire.ts'
import { amountMax, resourcesMax } from './requirement.ts'

/** Members that a directory holds; further ones are ignored. */
export const membersMax = 1_024
const addressesMax = 16
/** Slowness that a node may claim, and is granted on top of the usual silence. One that is slower counts as down. */
export const slownessMaxMs = 10_000

/** Countable things: how much there is, or is free, of each. */
export const amounts = list(record({ name: text(128), amount: uint(amountMax) }), resourcesMax)
/** Streams that one node offers. */
export const sourcesMax = 64

/** What a node says of itself. `boot` grows with every start, so the newer of two entries is known. */
export const member = record({
  peer: text<PeerId>(128, isPeerId),
  addresses: list(text(256), addressesMax),
  boot: uint(),
  storeId: text(64),
  slots: uint(4_096),
  isKeeper: flag,
  /** Hands over what it has, and takes nothing new. */
  isLeaving: flag,
  zone: text(64),
  labels: list(list(text(128), 2), 64),
  version: text(32),
  /** Keeps as much as it may. */
  isFull: added(flag, false),
  /** What tasks can hold of it while they run. */
  resources: added(amounts, []),
  sources: added(list(text(128), sourcesMax), [])
})
export type Member = Of<typeof member>

export const routingKinds = {
  /** First message on every stream: who I am, whom I know, and whether your greeting has reached me. */
  hello: { self: member, others: list(member, membersMax), knowsYou: flag },
  /** `delayMs`: how late this node has been with what it had to do. */
  heartbeat: { boot: uint(), waiting: uint(), delayMs: uint(slownessMaxMs) }
} as const

export const gossipKinds = {
  members: { members: list(member, 64) },
  work: { waiting: uint() }
} as const
