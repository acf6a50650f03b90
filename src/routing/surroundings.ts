/**
 * What the machines of a node may know of the others: who is up, who can keep something, who is gone.
 *
 * Not here: how that is found out (membership.ts).
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Membership } from './membership.ts'
import type { Member } from './messages.ts'
import { rankKeepers, whoMayKnow } from './placement.ts'

export interface Surroundings {
  readonly self: PeerId
  readonly isUp: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  readonly peerCount: () => number
  /** Peers to which a stream is open: all, or in a large mesh some. */
  readonly neighbours: () => readonly PeerId[]
  readonly member: (peer: PeerId) => Member | undefined
  /** Up, and with a disk that can be relied on: it can be waited for. */
  readonly canVote: (peer: PeerId) => boolean
  /** Up, and willing to keep. */
  readonly canKeep: (peer: PeerId) => boolean
  /** Those that can keep what has this name, and `also`; best first. */
  readonly keepersFor: (name: string, also?: readonly PeerId[]) => PeerId[]
  /** Some that would keep are full. */
  readonly isAnyFull: () => boolean
  /** Peers that may know where a shard is: all, or in a large mesh those that would keep it now and some others. */
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
  /** As a keeper, for good. */
  readonly isGone: (peer: PeerId, now: Millis) => boolean
  /** Whoever may keep something, as far as this node has heard, up or not; itself too. */
  readonly everybody: () => readonly PeerId[]
  /** Differs when any of that may. */
  readonly situation: (now: Millis) => string
}

export function surroundingsOf(membership: Membership, replaceAfterMs: Millis, random: Random): Surroundings {
  const peers = (): readonly PeerId[] => membership.peers()
  const keepersFor = (name: string, also: readonly PeerId[] = []): PeerId[] => {
    const able = membership
      .members()
      .filter((member) => member.isKeeper && !member.isLeaving && !member.isFull)
    const others = also.filter((peer) => !membership.canKeep(peer))
    const zoned = others.map((peer) => ({ peer, zone: membership.member(peer)?.zone ?? '' }))
    return rankKeepers(name, [...able, ...zoned])
  }
  return {
    self: membership.me.peer,
    isUp: (peer) => membership.isUp(peer),
    peers,
    peerCount: () => membership.peerCount,
    neighbours: () => membership.neighbours(),
    member: (peer) => membership.member(peer),
    canVote: (peer) => membership.member(peer)?.isKeeper === true,
    canKeep: (peer) => membership.canKeep(peer),
    keepersFor,
    isAnyFull: () =>
      membership.members().some(({ isKeeper, isLeaving, isFull }) => isKeeper && !isLeaving && isFull),
    mayKnow: (key) =>
      membership.isWide
        ? whoMayKnow(keepersFor(key.slice(0, key.lastIndexOf('/'))), peers(), random)
        : peers(),
    isGone: (peer, now) => membership.isGone(peer, replaceAfterMs, now),
    everybody: () => membership.everybody(),
    situation: (now) => membership.situation(replaceAfterMs, now)
  }
}
