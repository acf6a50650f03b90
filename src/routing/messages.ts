/**
 * Everything nodes say to each other about themselves, with the limit of every field.
 *
 * Not here: work (tasks/messages.ts). What is heard about a third node is a hint: only its own stream shows that it lives.
 * Heartbeats are small because they are many; the full directory travels when two nodes meet, and now and then.
 */
import { isPeerId, type PeerId } from '../ids.ts'
import { added, bytes, flag, list, type MessageOf, type Of, record, text, uint } from '../wire.ts'
import { amountMax, resourcesMax } from './requirement.ts'

/** Members that a directory holds; a further one takes the place of who is down for longest, or is ignored if nobody is. */
export const membersMax = 2_048
/** Members and doubts in one message about third nodes. */
export const newsMax = 128
/** Parts of a directory that are compared by one number each. */
export const rollBuckets = 64
const addressesMax = 16
/** Slowness that a node may claim, and is granted on top of the usual silence. One that is slower counts as down. */
export const slownessMaxMs = 10_000

/** Countable things: how much there is, or is free, of each. */
export const amounts = list(record({ name: text(128), amount: uint(amountMax) }), resourcesMax)
/** Streams that one node offers. */
export const sourcesMax = 64

/** Refutations of one life; a node that would need more stays doubted. */
const incarnationMax = 2 ** 32

/**
 * What a node says of itself. `boot` grows with every start and `incarnation` with everything that it says anew since then, so
 * the newer of two entries is known.
 */
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
  sources: added(list(text(128), sourcesMax), []),
  incarnation: added(uint(incarnationMax), 0)
})
export type Member = Of<typeof member>

/** `by` could not reach `peer`, which lived in this incarnation. It refutes that by a higher one. */
export const doubt = record({
  peer: text<PeerId>(128, isPeerId),
  boot: uint(),
  incarnation: uint(incarnationMax),
  by: text<PeerId>(128, isPeerId)
})
export type Doubt = Of<typeof doubt>

/** Which of two words about a node is the later one. */
export type Life = Pick<Doubt, 'boot' | 'incarnation'>
export const isLater = (a: Life, b: Life): boolean =>
  a.boot > b.boot || (a.boot === b.boot && a.incarnation > b.incarnation)
/** A node that was told of a doubt lives on in this incarnation; `undefined` if there is none left. */
export function refuted(me: Life, doubted: Life): Life | undefined {
  if (isLater(me, doubted) || doubted.incarnation >= incarnationMax) return undefined
  return { boot: doubted.boot, incarnation: doubted.incarnation + 1 }
}

const delay = uint(slownessMaxMs)
const news = { members: list(member, newsMax), doubts: list(doubt, newsMax) }

export const routingKinds = {
  /** First message on every stream: who I am, whom I know, and whether your greeting has reached me. */
  hello: { self: member, others: list(member, membersMax), knowsYou: flag },
  /** `delayMs`: how late this node has been with what it had to do. */
  heartbeat: { boot: uint(), waiting: uint(), delayMs: delay },
  /** Are you there? */
  ping: { ask: uint(), delayMs: delay, ...news },
  /** I am; or, if `about` is another node, that one is. */
  pong: { ask: uint(), about: text(128), delayMs: delay, ...news },
  /** Is that one there? I cannot reach it. */
  'ping-for': { ask: uint(), about: text<PeerId>(128, isPeerId) },
  /** A number for each part of the directory here. */
  roll: { prints: bytes(4 * rollBuckets) },
  /** What the directory here holds in these parts, as far as it fits; an answer leaves out what the other end has said. */
  roster: { buckets: list(uint(rollBuckets - 1), rollBuckets), isAnswer: flag, ...news },
  /** Nothing was said here for long: this stream may end without meaning anything. Agreed to by the same word. */
  rest: { isAgreed: flag }
} as const
export type RoutingMessage = MessageOf<typeof routingKinds>
export type RoutingMessageOf<K extends RoutingMessage['kind']> = Extract<RoutingMessage, { kind: K }>

export const gossipKinds = {
  members: { members: list(member, 64), doubts: added(list(doubt, 64), []) },
  work: { waiting: uint() }
} as const
