/**
 * Who is here: a directory of members, and which of them are alive by what we hear ourselves.
 *
 * Not here: streams and addresses in use (node/libp2p.ts), whom to give work (match.ts). Below 50 members every node hears
 * every other each second on their own stream; a closed stream is an immediate suspicion, answered by one dial.
 * The detector proposes and the record decides: a false suspicion costs duplicate work and nothing else.
 */
import type { PeerId } from '../ids.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import { type Member, membersMax, slownessMaxMs } from './messages.ts'

/** Between two heartbeats to a peer. */
export const heartbeatEveryMs = 1_000
/** Silence on an open stream after which a peer is down. */
export const silenceMaxMs = 5_000
/** A delay of one's own counts for so long. */
const slowForMs = 10_000
/** After a pause of its own of this length a node has heard nobody, and asks everybody before it judges. */
const pauseMs = 2_000
/** Between two dials of a member that is down. */
const redialEveryMs = 2_000
/** Members down for longer are forgotten. */
const forgetAfterMs = 3_600_000
/** Between two full directories to a random peer. */
const digestEveryMs = 30_000

export type MembershipEffect =
  | { kind: 'greet'; to: PeerId; others: Member[]; knowsYou: boolean }
  | { kind: 'heartbeat'; to: PeerId }
  | { kind: 'dial'; peer: PeerId; addresses: readonly string[] }
  | { kind: 'announce'; members: Member[] }
  | { kind: 'peer-up'; peer: PeerId }
  | { kind: 'peer-down'; peer: PeerId }
  | { kind: 'drop'; peer: PeerId }

export interface Greeting {
  readonly self: Member
  readonly others: readonly Member[]
  readonly knowsYou: boolean
}

interface Known {
  member: Member | undefined
  addresses: readonly string[]
  isConnected: boolean
  /** Connected and greeted. */
  isUp: boolean
  heardAt: Millis
  /** What it says of its own slowness. */
  delayMs: Millis
  downSince: Millis
  dialAt: Millis
}

export class Membership {
  readonly #self: PeerId
  readonly #random: Random
  readonly #known = new Map<PeerId, Known>()
  #me: Member
  #beatAt: Millis
  #digestAt: Millis
  readonly #startedAt: Millis
  /** Own slowness, added to every judgement about others (Lifeguard; Dadgar, Phillips and Currey, 2018). */
  #ownDelayMs: Millis = 0
  #delayedAt: Millis = 0

  constructor(me: Member, random: Random, now: Millis) {
    this.#self = me.peer
    this.#me = me
    this.#random = random
    this.#startedAt = now
    this.#beatAt = now + heartbeatEveryMs
    this.#digestAt = now + digestEveryMs
  }

  get me(): Member {
    return this.#me
  }

  /** Members that are up, this node included, oldest acquaintance first. */
  members(): Member[] {
    const up = [...this.#known.values()].filter(({ isUp }) => isUp).map(({ member }) => member)
    return [this.#me, ...up.filter((member) => member !== undefined)]
  }

  isUp(peer: PeerId): boolean {
    return peer === this.#self || this.#known.get(peer)?.isUp === true
  }

  /** What a node that is up says of itself. */
  member(peer: PeerId): Member | undefined {
    if (peer === this.#self) return this.#me
    const known = this.#known.get(peer)
    return known?.isUp === true ? known.member : undefined
  }

  /** Up, and willing to keep shards. */
  canKeep(peer: PeerId): boolean {
    const member = peer === this.#self ? this.#me : this.#known.get(peer)?.member
    return this.isUp(peer) && member?.isKeeper === true && !member.isLeaving && !member.isFull
  }

  /**
   * As a keeper: down for at least `forMs`, as far as this node could see in its life, or leaving, or with a disk that takes
   * nothing more. Another node then does its part.
   */
  isGone(peer: PeerId, forMs: Millis, now: Millis): boolean {
    const known = this.#known.get(peer)
    const member = peer === this.#self ? this.#me : known?.isUp ? known.member : undefined
    if (member !== undefined) return member.isLeaving || !member.isKeeper
    return now - (known?.downSince ?? this.#startedAt) >= forMs
  }

  /** Members that were heard of and are gone in that sense. */
  gone(forMs: Millis, now: Millis): PeerId[] {
    return [...this.#known.keys()].filter((peer) => this.isGone(peer, forMs, now))
  }

  /** Peers that are up, without this node. */
  peers(): PeerId[] {
    return [...this.#known].filter(([, { isUp }]) => isUp).map(([peer]) => peer)
  }

  /** Says something new of this node to everybody. */
  change(me: Partial<Member>): MembershipEffect[] {
    this.#me = { ...this.#me, ...me }
    return [{ kind: 'announce', members: [this.#me] }, ...this.peers().map((to) => this.#greeting(to))]
  }

  /** This node was so late with a timer. Told before the timer's work is done. */
  slowed(delayMs: Millis, now: Millis): MembershipEffect[] {
    if (delayMs >= this.slowness(now)) {
      this.#ownDelayMs = Math.min(delayMs, slownessMaxMs)
      this.#delayedAt = now
    }
    if (delayMs < pauseMs) return []
    const effects: MembershipEffect[] = []
    for (const [peer, known] of this.#known) {
      // What it said meanwhile is still to be read; its silence so far is our own.
      if (known.isConnected) known.heardAt = now
      if (known.isUp) effects.push({ kind: 'greet', to: peer, others: [], knowsYou: false })
    }
    return effects
  }

  /** The longest delay of late, whole and within `slownessMaxMs`: added to own judgements, and told to others for theirs. */
  slowness(now: Millis): Millis {
    return now - this.#delayedAt < slowForMs ? Math.round(this.#ownDelayMs) : 0
  }

  found(peer: PeerId, addresses: readonly string[], now: Millis): MembershipEffect[] {
    const known = this.#learn(peer, now)
    if (known === undefined) return []
    if (addresses.length > 0) known.addresses = addresses
    if (known.isConnected || known.dialAt > now) return []
    known.dialAt = now + redialEveryMs
    return [{ kind: 'dial', peer, addresses: known.addresses }]
  }

  connected(peer: PeerId, addresses: readonly string[], now: Millis): MembershipEffect[] {
    const known = this.#learn(peer, now)
    if (known === undefined) return [{ kind: 'drop', peer }]
    known.isConnected = true
    known.heardAt = now
    known.delayMs = 0
    if (addresses.length > 0) known.addresses = addresses
    return [this.#greeting(peer)]
  }

  disconnected(peer: PeerId, now: Millis): MembershipEffect[] {
    const known = this.#known.get(peer)
    if (known === undefined) return []
    known.isConnected = false
    known.dialAt = now + redialEveryMs
    return [...this.#down(peer, known, now), { kind: 'dial', peer, addresses: known.addresses }]
  }

  greeted(from: PeerId, { self, others, knowsYou }: Greeting, now: Millis): MembershipEffect[] {
    const known = this.#known.get(from)
    if (known === undefined || !known.isConnected || self.peer !== from) return []
    known.heardAt = now
    known.member = self
    if (self.addresses.length > 0) known.addresses = self.addresses
    const effects: MembershipEffect[] = others.flatMap((member) => this.#heardOf(member, now))
    if (!known.isUp) effects.unshift({ kind: 'peer-up', peer: from }, { kind: 'announce', members: [self] })
    known.isUp = true
    // Greetings may be lost: whoever did not get ours is greeted until it says so.
    return knowsYou ? effects : [...effects, this.#greeting(from)]
  }

  /** Anything was heard of it; `delayMs` if it says how slow it is. */
  heartbeat(from: PeerId, now: Millis, delayMs?: Millis): void {
    const known = this.#known.get(from)
    if (known === undefined) return
    known.heardAt = now
    if (delayMs !== undefined) known.delayMs = delayMs
  }

  /** Third nodes, by gossip. */
  announced(members: readonly Member[], now: Millis): MembershipEffect[] {
    return members.flatMap((member) => this.#heardOf(member, now))
  }

  wake(now: Millis): MembershipEffect[] {
    const effects: MembershipEffect[] = []
    const patienceMs = silenceMaxMs + this.slowness(now)
    for (const [peer, known] of this.#known) {
      const { isConnected, isUp } = known
      if (isConnected && now - known.heardAt > patienceMs + known.delayMs) {
        known.isConnected = false
        effects.push(...this.#down(peer, known, now), { kind: 'drop', peer })
      } else if (!isConnected && now >= known.dialAt) {
        if (now - known.downSince > forgetAfterMs) this.#known.delete(peer)
        known.dialAt = now + redialEveryMs * (1 + this.#random.next())
        if (known.addresses.length > 0) effects.push({ kind: 'dial', peer, addresses: known.addresses })
      } else if (isUp && now >= this.#beatAt) effects.push({ kind: 'heartbeat', to: peer })
      // Greetings may be lost with a stream that breaks: one that was not answered is repeated.
      else if (isConnected && !isUp && now >= this.#beatAt) effects.push(this.#greeting(peer))
    }
    if (now >= this.#beatAt) this.#beatAt = now + heartbeatEveryMs
    if (now >= this.#digestAt) {
      this.#digestAt = now + digestEveryMs
      const to = this.#random.pick(this.peers())
      if (to !== undefined) effects.push(this.#greeting(to))
    }
    return effects
  }

  wakeAt(): Millis {
    let at: Millis = this.#beatAt
    for (const known of this.#known.values()) if (!known.isConnected) at = earlier(at, known.dialAt) ?? at
    return at
  }

  check(): void {
    assert(this.#known.size <= membersMax, `${this.#known.size} members known`)
    for (const [peer, { isUp, isConnected, member }] of this.#known) {
      assert(!isUp || (isConnected && member !== undefined), `${peer} is up without a stream or a greeting`)
    }
  }

  #learn(peer: PeerId, now: Millis): Known | undefined {
    if (peer === this.#self) return undefined
    const old = this.#known.get(peer)
    if (old !== undefined) return old
    if (this.#known.size >= membersMax) return undefined
    const known: Known = {
      member: undefined,
      addresses: [],
      isConnected: false,
      isUp: false,
      heardAt: now,
      delayMs: 0,
      downSince: now,
      dialAt: now
    }
    this.#known.set(peer, known)
    return known
  }

  #heardOf(member: Member, now: Millis): MembershipEffect[] {
    const known = this.#learn(member.peer, now)
    if (known === undefined || known.isUp) return []
    return this.found(member.peer, member.addresses, now)
  }

  #down(peer: PeerId, known: Known, now: Millis): MembershipEffect[] {
    if (!known.isUp) return []
    known.isUp = false
    known.downSince = now
    return [{ kind: 'peer-down', peer }]
  }

  #greeting(to: PeerId): MembershipEffect {
    const others = [...this.#known.values()].filter(({ isUp }) => isUp).map(({ member }) => member)
    return {
      kind: 'greet',
      to,
      others: others.filter((member) => member !== undefined),
      knowsYou: this.isUp(to)
    }
  }
}
