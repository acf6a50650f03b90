/**
 * Who is here, and which streams this node holds.
 *
 * Not here: what is believed of whom (directory.ts), how large meshes find out (swim.ts), streams and addresses in use
 * (node/libp2p.ts). Up to `closeMax` members, every node holds a stream with every other and hears it each second; above, it
 * holds some and dials the others when it has something to say. A stream that breaks is an immediate suspicion, answered by
 * one dial. The detector proposes and the record decides: a false suspicion costs duplicate work and nothing else.
 */
import type { PeerId } from '../ids.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import { Directory, type Known } from './directory.ts'
import type { Greeting, MembershipEffect, News } from './effects.ts'
import { Links, type Reach, usualReach } from './links.ts'
import { isLater, type Life, type Member, type RoutingMessage, slownessMaxMs } from './messages.ts'
import { Swim } from './swim.ts'

/** Between two heartbeats to a peer. */
export const heartbeatEveryMs = 1_000
/** Silence on an open stream after which a peer is down. */
export const silenceMaxMs = 5_000
/** Silence after which it is asked, since in its eyes the mesh may be too large for heartbeats. */
const askAfterMs = 2_500
/** A delay of one's own counts for so long. */
const slowForMs = 10_000
/** After a pause of its own of this length a node has heard nobody, and asks everybody before it judges. */
const pauseMs = 2_000
/** Between two dials of a member that is down. */
const redialEveryMs = 2_000
/** Members down for longer are forgotten. */
const forgetAfterMs = 3_600_000
/** Between two full directories to a random peer, in a small mesh. */
const digestEveryMs = 30_000

export class Membership {
  readonly #random: Random
  readonly #reach: Reach
  readonly #directory: Directory
  readonly #links: Links
  readonly #swim: Swim
  #beatAt: Millis
  #digestAt: Millis
  readonly #startedAt: Millis
  /** Own slowness, added to every judgement about others (Lifeguard; Dadgar, Phillips and Currey, 2018). */
  #ownDelayMs: Millis = 0
  #delayedAt: Millis = 0

  constructor(me: Member, random: Random, now: Millis, reach: Reach = usualReach) {
    this.#random = random
    this.#reach = reach
    this.#directory = new Directory(me)
    this.#links = new Links(this.#directory, reach, random)
    const slowness = (at: Millis): Millis => this.slowness(at)
    this.#swim = new Swim({ directory: this.#directory, slowness }, random.fork('swim'), now)
    this.#startedAt = now
    this.#beatAt = now + heartbeatEveryMs
    this.#digestAt = now + digestEveryMs
  }

  get me(): Member {
    return this.#directory.me
  }

  /** See `Directory`. */
  everybody(): readonly PeerId[] {
    return this.#directory.everybody()
  }

  /** Too many to hear everybody each second. One that was wide stays so until those that went are forgotten. */
  get isWide(): boolean {
    return this.#directory.size + 1 > this.#reach.closeMax
  }

  /** Members that are up, this node included, oldest acquaintance first. */
  members(): readonly Member[] {
    return this.#directory.members()
  }

  /** Peers that are up, without this node. */
  peers(): readonly PeerId[] {
    return this.#directory.peers()
  }

  /** How many they are. */
  get peerCount(): number {
    return this.#directory.upCount
  }

  /** Peers that are up and to which a stream is open: all of them in a small mesh. */
  neighbours(): readonly PeerId[] {
    if (!this.isWide) return this.#directory.peers()
    return [...this.#directory.links.values()].filter(({ isUp }) => isUp).map(({ peer }) => peer)
  }

  isUp(peer: PeerId): boolean {
    return peer === this.me.peer || this.#directory.get(peer)?.isUp === true
  }

  isLinked(peer: PeerId): boolean {
    return this.#directory.links.has(peer)
  }

  /** What a node that is up says of itself. */
  member(peer: PeerId): Member | undefined {
    if (peer === this.me.peer) return this.me
    const known = this.#directory.get(peer)
    return known?.isUp === true ? known.member : undefined
  }

  /** Up, and willing to keep shards. */
  canKeep(peer: PeerId): boolean {
    const member = peer === this.me.peer ? this.me : this.#directory.get(peer)?.member
    return this.isUp(peer) && member?.isKeeper === true && !member.isLeaving && !member.isFull
  }

  /**
   * As a keeper: down for at least `forMs`, as far as this node could see in its life, or leaving, or with a disk that takes
   * nothing more. Another node then does its part.
   */
  isGone(peer: PeerId, forMs: Millis, now: Millis): boolean {
    const known = this.#directory.get(peer)
    const member = peer === this.me.peer ? this.me : known?.isUp ? known.member : undefined
    if (member !== undefined) return member.isLeaving || !member.isKeeper
    return now - (known?.downSince ?? this.#startedAt) >= forMs
  }

  /** Differs when somebody came, went, said something new of itself, or is gone for good. */
  situation(forMs: Millis, now: Millis): string {
    let gone = 0
    for (const { isUp, downSince } of this.#directory.all()) if (!isUp && now - downSince >= forMs) gone++
    return `${this.#directory.version} ${gone}`
  }

  /** Says something new of this node to everybody; who is not up yet may have heard the old greeting, and would not ask again. */
  change(me: Partial<Member>): MembershipEffect[] {
    this.#directory.me = { ...this.me, ...me, incarnation: this.me.incarnation + 1 }
    this.#swim.said(this.me)
    const linked = [...this.#directory.links.keys()]
    return [{ kind: 'announce', members: [this.me], doubts: [] }, ...linked.map((to) => this.#greeting(to))]
  }

  /** This node was so late with a timer. Told before the timer's work is done. */
  slowed(delayMs: Millis, now: Millis): MembershipEffect[] {
    if (delayMs >= this.slowness(now)) {
      this.#ownDelayMs = Math.min(delayMs, slownessMaxMs)
      this.#delayedAt = now
    }
    if (delayMs < pauseMs) return []
    this.#swim.restart(now)
    const effects: MembershipEffect[] = []
    for (const [peer, known] of this.#directory.links) {
      // What it said meanwhile is still to be read; its silence so far is our own.
      known.heardAt = now
      if (known.isUp) effects.push({ kind: 'greet', to: peer, others: [], knowsYou: false })
    }
    return effects
  }

  /** The longest delay of late, whole and within `slownessMaxMs`: added to own judgements, and told to others for theirs. */
  slowness(now: Millis): Millis {
    return now - this.#delayedAt < slowForMs ? Math.round(this.#ownDelayMs) : 0
  }

  found(peer: PeerId, addresses: readonly string[], now: Millis): MembershipEffect[] {
    const known = this.#directory.learn(peer, now)
    if (known === undefined) return []
    if (addresses.length > 0) known.addresses = addresses
    if (known.isLinked || known.dialAt > now) return []
    if (this.isWide && (known.isUp || !this.#links.isWanting)) return []
    return [this.#dial(known, now)]
  }

  connected(peer: PeerId, addresses: readonly string[], now: Millis): MembershipEffect[] {
    const known = this.#directory.learn(peer, now)
    if (known === undefined) return [{ kind: 'drop', peer, because: 'silent' }]
    this.#directory.link(known, now)
    if (addresses.length > 0) known.addresses = addresses
    if (this.isWide) this.#swim.compareWith(peer)
    return [this.#greeting(peer)]
  }

  disconnected(peer: PeerId, now: Millis): MembershipEffect[] {
    const known = this.#directory.get(peer)
    if (known === undefined) return []
    const wasLinked = known.isLinked
    this.#directory.unlink(known)
    if (known.isUp && this.#links.isLetGo(known, now)) return [{ kind: 'drop', peer, because: 'idle' }]
    known.dialAt = now + redialEveryMs
    const dial = { kind: 'dial', peer, addresses: known.addresses } as const
    // One that was dropped from here was judged then.
    if (!wasLinked) return [dial]
    known.isLost = true
    if (known.isUp && this.isWide) this.#swim.lost(known, now)
    return [...this.#down(known, now), dial]
  }

  greeted(from: PeerId, { self, others, knowsYou }: Greeting, now: Millis): MembershipEffect[] {
    const known = this.#directory.get(from)
    if (known === undefined || !known.isLinked || self.peer !== from) return []
    const { member: before, isUp: wasUp } = known
    known.heardAt = now
    known.isLost = false
    const isStale = wasUp && before !== undefined && isLater(before, self)
    const effects: MembershipEffect[] = isStale ? [] : this.#describe(known, self, now)
    if (this.#directory.raise(known)) effects.push({ kind: 'peer-up', peer: from })
    if (this.isWide) effects.push(...this.#met(known, before, wasUp, now))
    else if (!wasUp) effects.push({ kind: 'announce', members: [self], doubts: [] })
    effects.push(...this.#news({ members: others, doubts: [] }, now).effects)
    // Greetings may be lost: whoever did not get ours is greeted until it says so.
    return knowsYou ? effects : [...effects, this.#greeting(from)]
  }

  /** Anything was heard of it; `delayMs` if it says how slow it is. */
  heartbeat(from: PeerId, now: Millis, delayMs?: Millis): void {
    const known = this.#directory.get(from)
    if (known === undefined) return
    known.heardAt = now
    if (delayMs !== undefined) known.delayMs = delayMs
  }

  /** Work was spoken of with it, so its stream is worth keeping. */
  used(peer: PeerId, now: Millis): void {
    const known = this.#directory.links.get(peer)
    if (known !== undefined) known.usedAt = now
  }

  /** Somebody has something to say to a member without a stream. */
  reach(peer: PeerId, now: Millis): MembershipEffect[] {
    const known = this.#directory.get(peer)
    if (known === undefined || known.isLinked) return []
    const asking = this.#swim.probe(known, now)
    return known.dialAt > now ? asking : [this.#dial(known, now), ...asking]
  }

  /** Everything else that nodes say to each other about themselves. */
  message(from: PeerId, message: RoutingMessage, now: Millis): MembershipEffect[] {
    const known = this.#directory.links.get(from)
    if (known === undefined) return []
    this.heartbeat(from, now, 'delayMs' in message ? message.delayMs : undefined)
    const { effects, isNew } = 'doubts' in message ? this.#news(message, now) : { effects: [], isNew: false }
    return [...effects, ...this.#answer(known, message, isNew, now)]
  }

  /** Third nodes, by gossip. */
  announced(news: News, now: Millis): MembershipEffect[] {
    return this.#news(news, now).effects
  }

  wake(now: Millis): MembershipEffect[] {
    const isBeat = now >= this.#beatAt
    if (isBeat) this.#beatAt = now + heartbeatEveryMs
    if (!this.isWide) return this.#wakeClose(isBeat, now)
    const effects = this.#swim.wake(now)
    if (!isBeat) return effects
    effects.push(...this.#swim.beat(now), ...this.#links.tend(now))
    const isAlone = this.#directory.links.size === 0
    for (const known of this.#links.toDial(now)) {
      effects.push(this.#dial(known, now))
      // Nobody else is there to find out, or to be told by.
      if (isAlone) effects.push(...this.#swim.probe(known, now))
    }
    // Greetings may be lost with a stream that breaks: one that was not answered is repeated.
    for (const known of this.#directory.links.values())
      if (!known.isUp) effects.push(...this.#greetOrDrop(known, now))
    return effects
  }

  wakeAt(): Millis {
    let at: Millis = this.#beatAt
    if (this.isWide) return earlier(at, this.#swim.wakeAt()) ?? at
    for (const known of this.#directory.all()) if (!known.isLinked) at = Math.min(at, known.dialAt)
    return at
  }

  check(): void {
    this.#directory.check()
    for (const { peer, isUp, isLinked, isLost } of this.#directory.all())
      if (isUp && isLost && !isLinked) assert(false, `${peer} was lost, and is up without a stream`)
  }

  #wakeClose(isBeat: boolean, now: Millis): MembershipEffect[] {
    const effects: MembershipEffect[] = []
    for (const known of [...this.#directory.all()]) {
      const { isLinked, isUp, peer } = known
      if (!isLinked && now >= known.dialAt) {
        // It was up by what others said, and is not to be reached.
        if (isUp && now - known.heardAt > silenceMaxMs) effects.push(...this.#down(known, now))
        if (!isUp && now - known.downSince > forgetAfterMs) this.#directory.forget(known)
        else if (known.addresses.length > 0) effects.push(this.#dial(known, now))
        else known.dialAt = now + redialEveryMs
      } else if (isLinked && this.#isSilent(known, now)) effects.push(...this.#greetOrDrop(known, now))
      else if (isLinked && isBeat) {
        if (!isUp) effects.push(this.#greeting(peer))
        else effects.push({ kind: 'heartbeat', to: peer })
        if (isUp && now - known.heardAt > askAfterMs) effects.push(this.#swim.ask(peer, now))
      }
    }
    if (now < this.#digestAt) return effects
    this.#digestAt = now + digestEveryMs
    const to = this.#random.pick(this.peers())
    return to === undefined ? effects : [...effects, this.#greeting(to)]
  }

  #isSilent({ heardAt, delayMs }: Known, now: Millis): boolean {
    return now - heardAt > silenceMaxMs + this.slowness(now) + delayMs
  }

  /** One that was not greeted, or is silent for long. */
  #greetOrDrop(known: Known, now: Millis): MembershipEffect[] {
    if (!this.#isSilent(known, now)) return [this.#greeting(known.peer)]
    this.#directory.unlink(known)
    known.isLost = true
    return [...this.#down(known, now), { kind: 'drop', peer: known.peer, because: 'silent' }]
  }

  #met(known: Known, before: Life | undefined, wasUp: boolean, now: Millis): MembershipEffect[] {
    const isNew = before === undefined || (known.member !== undefined && isLater(known.member, before))
    return wasUp && !isNew ? [] : this.#swim.met(known, before, now)
  }

  #answer(known: Known, message: RoutingMessage, isNew: boolean, now: Millis): MembershipEffect[] {
    switch (message.kind) {
      case 'ping':
        return this.#swim.pinged(known, message, now)
      case 'pong':
        return this.#swim.ponged(known.peer, message, now)
      case 'ping-for':
        return this.#swim.pingFor(known.peer, message, now)
      case 'roll':
        return this.#swim.rolled(known, message.prints)
      case 'roster':
        return this.#swim.mustered(known, message, isNew)
      case 'rest':
        return this.isWide ? this.#links.rest(known, message.isAgreed, now) : []
      default:
        return []
    }
  }

  /** `isNew` if anything was learned. */
  #news({ members, doubts }: News, now: Millis): { effects: MembershipEffect[]; isNew: boolean } {
    const before = this.#directory.size
    // All of them first: how many there are decides how each is treated.
    for (const { peer } of members) this.#directory.learn(peer, now)
    let isNew = this.#directory.size > before
    const effects: MembershipEffect[] = []
    for (const member of members) {
      const known = this.#directory.get(member.peer)
      if (known === undefined) continue
      if (!this.isWide) {
        if (!known.isUp) effects.push(...this.found(member.peer, member.addresses, now))
      } else if (this.#swim.isNews(known, member)) {
        isNew = true
        effects.push(...this.#describe(known, member, now), ...this.#heardOf(known, member, now))
      }
    }
    for (const doubt of doubts)
      if (this.isWide || doubt.peer === this.me.peer) effects.push(...this.#swim.doubted(doubt, now))
    return { effects, isNew }
  }

  /** It lives in an incarnation that is new here. Whom this node lost itself, it wants to hear itself. */
  #heardOf(known: Known, member: Member, now: Millis): MembershipEffect[] {
    this.#swim.heardOf(member)
    if (known.isLost) return known.isLinked || known.dialAt > now ? [] : [this.#dial(known, now)]
    return this.#directory.raise(known) ? [{ kind: 'peer-up', peer: known.peer }] : []
  }

  /** One that started anew has forgotten all that was between us, although nobody saw it go. */
  #describe(known: Known, member: Member, now: Millis): MembershipEffect[] {
    const hasRestarted = known.isUp && known.member !== undefined && known.member.boot !== member.boot
    const effects = hasRestarted ? this.#down(known, now) : []
    this.#directory.describe(known, member)
    return effects
  }

  #down(known: Known, now: Millis): MembershipEffect[] {
    return this.#directory.sink(known, now) ? [{ kind: 'peer-down', peer: known.peer }] : []
  }

  #dial(known: Known, now: Millis): MembershipEffect {
    known.dialAt = now + redialEveryMs * (1 + this.#random.next())
    this.#links.dialled()
    return { kind: 'dial', peer: known.peer, addresses: known.addresses }
  }

  #greeting(to: PeerId): MembershipEffect {
    const others = this.isWide ? [] : this.members().slice(1)
    return { kind: 'greet', to, others: [...others], knowsYou: this.isUp(to) }
  }
}
