/**
 * Who is alive in a mesh that is too large for everybody to hear everybody: SWIM (Das, Gupta and Motivala, 2002).
 *
 * Not here: small meshes, streams (membership.ts), and the parts: probes.ts, doubts.ts, rumours.ts, roll.ts.
 * Each second one of the nodes that this one holds a stream with is asked whether it is there. Who does not answer, not to
 * others either, is doubted aloud; it refutes that by a higher incarnation, or is down when its time is over. What this node
 * hears itself counts more than what others say, both ways.
 */
import type { PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Directory, Known } from './directory.ts'
import { Doubts, doubtersMax } from './doubts.ts'
import type { MembershipEffect } from './effects.ts'
import { type Doubt, isLater, type Life, type Member, type RoutingMessageOf, refuted } from './messages.ts'
import { Probes, vouchersMax } from './probes.ts'
import { compare, complete, rollOf } from './roll.ts'
import { Rumours } from './rumours.ts'

/** A stream that broke has so long to come back before others hear of it. */
const doubtLostAfterMs = 500
/** Of those who lost it together, the first few speak. */
const doubtLostJitterMs = 500
/** Between two comparisons of directories with a member drawn at random, of those without a stream if there are any. */
const rollEveryMs = 30_000
/** Between two comparisons while there is something to learn, with whoever told something last. */
const rollAgainMs = 200
/** Timers are looked at so often at most. */
const lookEveryMs = 50

export interface SwimView {
  readonly directory: Directory
  /** Own slowness, told to others and added to own judgements. */
  readonly slowness: (now: Millis) => Millis
}

export class Swim {
  readonly #view: SwimView
  readonly #random: Random
  readonly #probes: Probes
  readonly #doubts = new Doubts()
  readonly #rumours = new Rumours()
  /** Whose stream broke, when others are told, and how many others have told it. */
  readonly #lost = new Map<PeerId, { readonly at: Millis; heard: number }>()
  #rollAt: Millis
  #rolledAt: Millis = Number.NEGATIVE_INFINITY
  /** With whom directories are compared next. */
  #partner: PeerId | undefined
  #lookAt: Millis

  constructor(view: SwimView, random: Random, now: Millis) {
    this.#view = view
    this.#random = random
    this.#probes = new Probes(random)
    this.#rollAt = now + rollEveryMs * random.next()
    this.#lookAt = now
  }

  /** Once a second. */
  beat(now: Millis): MembershipEffect[] {
    const { directory } = this.#view
    const effects = this.probe(directory.get(this.#probes.next(directory.links) as PeerId), now)
    if (now < this.#rollAt) return effects
    this.#rollAt = now + rollEveryMs
    // Who holds a stream with it watches it already. If all who did are gone with it, somebody has to ask, and nobody else would.
    const unwatched = directory.peers().filter((peer) => !directory.links.has(peer))
    const other = directory.get(
      this.#random.pick(unwatched.length > 0 ? unwatched : directory.peers()) as PeerId
    )
    if (other !== undefined) this.compareWith(other.peer)
    return [...effects, ...this.probe(other, now)]
  }

  /** Asks whether it is there, unless that was asked already. */
  probe(known: Known | undefined, now: Millis): MembershipEffect[] {
    if (known === undefined || !known.isUp || this.#probes.isAsked(known.peer)) return []
    return [this.#ping(known.peer, this.#probes.begin(known.peer, now), now)]
  }

  /** Asks without judging by it. */
  ask(to: PeerId, now: Millis): MembershipEffect {
    return this.#ping(to, 0, now)
  }

  /** Soon. */
  compareWith(peer: PeerId): void {
    this.#partner = peer
  }

  wake(now: Millis): MembershipEffect[] {
    if (now < this.#lookAt) return []
    this.#lookAt = now + lookEveryMs
    const { directory } = this.#view
    const grace = (peer: PeerId): Millis => this.#view.slowness(now) + (directory.get(peer)?.delayMs ?? 0)
    const heardAt = (peer: PeerId): Millis => directory.get(peer)?.heardAt ?? 0
    const { indirect, silent } = this.#probes.wake(now, grace, heardAt)
    const effects = this.#roll(now)
    effects.push(...indirect.flatMap(({ peer, ask }) => this.#askOthers(peer, ask)))
    for (const { peer, isVouched } of silent)
      effects.push(...this.#silent(directory.get(peer), isVouched, now))
    for (const [peer, { at, heard }] of this.#lost) {
      if (now < at) continue
      this.#lost.delete(peer)
      const known = directory.get(peer)
      if (known?.isLost && heard < doubtersMax) effects.push(...this.#doubt(known, now))
    }
    for (const { peer, since, by } of this.#doubts.due(now, grace)) {
      this.#doubts.forget(peer)
      const known = directory.get(peer)
      // What was heard of it since then on its own stream is worth more than what others say.
      if (known === undefined || (known.isLinked && known.heardAt > since)) continue
      if (by.has(directory.me.peer)) known.isLost = true
      effects.push(...this.#sink(known, now))
    }
    return effects
  }

  wakeAt(): Millis | undefined {
    let at = earlier(this.#probes.wakeAt(), this.#doubts.wakeAt())
    for (const { at: when } of this.#lost.values()) at = earlier(at, when)
    if (this.#partner !== undefined) at = earlier(at, this.#rolledAt + rollAgainMs)
    return at === undefined ? undefined : Math.max(at, this.#lookAt)
  }

  /** Its stream is open, and it said itself what it is. `before`: what was known of it. */
  met(known: Known, before: Life | undefined, now: Millis): MembershipEffect[] {
    this.#lost.delete(known.peer)
    this.#doubts.forget(known.peer)
    const { member, peer } = known
    if (member === undefined) return []
    if (before === undefined || isLater(member, before)) return this.#tell(member)
    // It was taken for dead in this very life, perhaps by others too, and should say that it is not.
    const doubt = {
      peer,
      boot: before.boot,
      incarnation: before.incarnation,
      by: this.#view.directory.me.peer
    }
    const delayMs = this.#view.slowness(now)
    return [
      { kind: 'say', to: peer, message: { kind: 'ping', ask: 0, delayMs, members: [], doubts: [doubt] } }
    ]
  }

  /** Its stream broke without a word. */
  lost(known: Known, now: Millis): void {
    const at = now + doubtLostAfterMs + this.#random.next() * doubtLostJitterMs
    this.#lost.set(known.peer, { at, heard: 0 })
    this.#probes.forget(known.peer)
  }

  /** After a pause of one's own nobody was heard, and nobody is judged by that. */
  restart(now: Millis): void {
    this.#probes.clear()
    this.#doubts.restart(now)
  }

  /** Something that others do not know. */
  said(member: Member): void {
    this.#rumours.member(member, this.#view.directory.size)
  }

  /** Whether a third node said something that is later than what is known of it. */
  isNews({ member }: Known, life: Life): boolean {
    return member === undefined || isLater(life, member)
  }

  /** It did, as somebody says; so it lives. */
  heardOf(member: Member): void {
    this.#doubts.forget(member.peer)
    this.said(member)
  }

  /** Somebody could not reach a node, which may be this one. */
  doubted(doubt: Doubt, now: Millis): MembershipEffect[] {
    const { directory } = this.#view
    if (doubt.peer === directory.me.peer) return this.#refute(doubt)
    const known = directory.get(doubt.peer)
    if (known?.member === undefined || isLater(known.member, doubt)) return []
    const lost = this.#lost.get(doubt.peer)
    if (lost !== undefined) lost.heard++
    if (!known.isUp) return []
    if (!this.#doubts.add(doubt, now)) return []
    this.#rumours.doubt(doubt, directory.size)
    // It should hear of it before others believe it.
    return known.isLinked ? [this.#ping(known.peer, 0, now)] : []
  }

  pinged(known: Known, { ask }: RoutingMessageOf<'ping'>, now: Millis): MembershipEffect[] {
    const pong = {
      kind: 'pong',
      ask,
      about: '',
      delayMs: this.#view.slowness(now),
      ...this.#news(known.peer)
    } as const
    return known.isLinked ? [{ kind: 'say', to: known.peer, message: pong }] : []
  }

  ponged(from: PeerId, { ask, about }: RoutingMessageOf<'pong'>, now: Millis): MembershipEffect[] {
    if (about !== '') {
      this.#probes.vouched(about as PeerId)
      return []
    }
    const relay = this.#probes.relayed(from, ask)
    if (relay === undefined) return []
    const delayMs = this.#view.slowness(now)
    const pong = { kind: 'pong', ask: relay.ask, about: from, delayMs, members: [], doubts: [] } as const
    return [{ kind: 'say', to: relay.to, message: pong }]
  }

  /** On behalf of one who cannot reach it. */
  pingFor(from: PeerId, { ask, about }: RoutingMessageOf<'ping-for'>, now: Millis): MembershipEffect[] {
    if (this.#view.directory.get(about)?.isUp !== true) return []
    const own = this.#probes.relay(from, ask, about, now)
    return own === undefined ? [] : [this.#ping(about, own, now)]
  }

  rolled(from: Known, prints: Uint8Array): MembershipEffect[] {
    const message = compare(this.#view.directory, prints, this.#random)
    return message === undefined ? [] : [{ kind: 'say', to: from.peer, message }]
  }

  /** `hasLearned`: whether anything in it was new. */
  mustered(from: Known, roster: RoutingMessageOf<'roster'>, hasLearned: boolean): MembershipEffect[] {
    const answer = roster.isAnswer ? undefined : complete(this.#view.directory, roster)
    const isEmpty = answer === undefined || answer.members.length + answer.doubts.length === 0
    const effects: MembershipEffect[] = isEmpty ? [] : [{ kind: 'say', to: from.peer, message: answer }]
    if (hasLearned) this.compareWith(from.peer)
    return effects
  }

  #roll(now: Millis): MembershipEffect[] {
    const to = this.#partner
    if (to === undefined || now < this.#rolledAt + rollAgainMs) return []
    this.#partner = undefined
    this.#rolledAt = now
    return [{ kind: 'say', to, message: rollOf(this.#view.directory) }]
  }

  #refute(doubt: Doubt): MembershipEffect[] {
    const { directory } = this.#view
    const life = refuted(directory.me, doubt)
    if (life === undefined) return []
    directory.me = { ...directory.me, ...life }
    return this.#tell(directory.me)
  }

  #tell(member: Member): MembershipEffect[] {
    this.said(member)
    return [{ kind: 'announce', members: [member], doubts: [] }]
  }

  /** No answer, to nobody. Or to others only: then it is the stream that is dead. */
  #silent(known: Known | undefined, isVouched: boolean, now: Millis): MembershipEffect[] {
    if (known === undefined || !known.isUp) return []
    const effects: MembershipEffect[] = []
    if (known.isLinked) {
      this.#view.directory.unlink(known)
      effects.push({ kind: 'drop', peer: known.peer, because: 'silent' })
    }
    return isVouched ? effects : [...effects, ...this.#doubt(known, now)]
  }

  /** This node itself could not reach it. */
  #doubt(known: Known, now: Millis): MembershipEffect[] {
    const { directory } = this.#view
    const { member, peer } = known
    if (member === undefined) return []
    const { boot, incarnation } = member
    const doubt = { peer, boot, incarnation, by: directory.me.peer }
    // Enough others say so already.
    if (!this.#doubts.add(doubt, now)) return []
    if (!known.isUp) this.#doubts.forget(peer)
    this.#rumours.doubt(doubt, directory.size)
    return [{ kind: 'announce', members: [], doubts: [doubt] }]
  }

  #sink(known: Known, now: Millis): MembershipEffect[] {
    const { directory } = this.#view
    const effects: MembershipEffect[] = []
    if (directory.sink(known, now)) effects.push({ kind: 'peer-down', peer: known.peer })
    if (!known.isLinked) return effects
    directory.unlink(known)
    return [...effects, { kind: 'drop', peer: known.peer, because: 'silent' }]
  }

  #askOthers(about: PeerId, ask: number): MembershipEffect[] {
    const others = [...this.#view.directory.links.keys()].filter((peer) => peer !== about)
    const chosen = Array.from({ length: Math.min(vouchersMax, others.length) }, () =>
      others.splice(this.#random.below(others.length), 1).flat()
    )
    return chosen.flat().map((to) => ({ kind: 'say', to, message: { kind: 'ping-for', ask, about } }))
  }

  #ping(to: PeerId, ask: number, now: Millis): MembershipEffect {
    return {
      kind: 'say',
      to,
      message: { kind: 'ping', ask, delayMs: this.#view.slowness(now), ...this.#news(to) }
    }
  }

  /** What is doubted of the receiver itself comes first. */
  #news(to: PeerId): { members: Member[]; doubts: Doubt[] } {
    const { members, doubts } = this.#rumours.tell()
    return { members, doubts: [...this.#doubts.of(to), ...doubts.filter(({ peer }) => peer !== to)] }
  }
}
