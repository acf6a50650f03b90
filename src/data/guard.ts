/**
 * Sees to it that data lies where it should: on the first of the nodes that can keep it, in the order of its hash.
 *
 * Not here: what is held on this node (depot.ts), which data a node's records name (tasks/references.ts).
 * Whoever has a reason for some data to exist, its records or a pin, asks the nodes that should hold it to do so, again and
 * again; so a copy that is lost with its node comes back by itself, and nobody has to be told whose turn it is.
 * Placement is rendezvous hashing like that of shards: everybody finds the same nodes without a directory.
 */
import type { DataId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { hash32 } from '../random.ts'
import { majorityOf } from '../routing/placement.ts'
import type { Depot, PinLeft } from './depot.ts'
import type { DataEffect, DataSurroundings } from './effects.ts'
import { renewEveryMs } from './item.ts'
import { type Hold, Mail } from './mail.ts'
import { Round } from './round.ts'

/** Between two looks. */
const tendEveryMs = 500
/** What is gone through each time, and what of that is due and said; the rest waits for the next. */
const passedMax = 20_000
const looksMax = 10_000
/** Between two words to one that did not answer. */
const askAgainMs = 2_000
/** Copies, unless somebody asks for another number. */
export const copiesDefault = 3
/** Nodes named as having some data, in a message or for a fetch. */
const sourcesMax = 16
const fetchSourcesMax = 64
/** A node that leaves asks others to keep what it has for so long: by then those who need it have said so themselves. */
const leavingPinMs = 600_000

interface Watch {
  copies: number
  /** This node's records name it. */
  isNamed: boolean
  /** They did, of jobs that are over. */
  isOver: boolean
  /** This node leaves, and others shall have it before. */
  isLeft: boolean
  targets: readonly PeerId[]
  /** Who said that it has it. */
  readonly has: Set<PeerId>
  /** Who was asked for it, and when that is to be said again. */
  readonly again: Map<PeerId, Millis>
  /** Who had no room for it, and is not asked until then. */
  readonly full: Map<PeerId, Millis>
  /** Who was told that records here name it. */
  readonly leased: Set<PeerId>
  asks: ({ readonly ask: number } & PinLeft)[]
  /** Until then there is nothing to do about it, unless something changes. */
  lookAt: Millis
}

export class Guard {
  readonly #view: DataSurroundings
  readonly #depot: Depot
  readonly #watched = new Map<DataId, Watch>()
  readonly #round = new Round(this.#watched)
  #situation = ''
  #isLeaving = false
  #tendAt: Millis = 0

  constructor(view: DataSurroundings, depot: Depot) {
    this.#view = view
    this.#depot = depot
  }

  get size(): number {
    return this.#watched.size
  }

  wakeAt(): Millis {
    return this.#tendAt
  }

  /** Records of this node name these, or do no longer. */
  name(ids: readonly DataId[], copies: number, now: Millis): DataEffect[] {
    for (const id of ids) {
      const watch = this.#watch(id, copies, now)
      if (!watch.isNamed) watch.again.clear()
      watch.isNamed = true
    }
    return this.#tend(ids, now)
  }

  /** `isOver`: since jobs are. */
  unname(ids: readonly DataId[], isOver: boolean, now: Millis): DataEffect[] {
    const over: DataId[] = []
    for (const id of ids) {
      const watch = this.#watched.get(id)
      if (watch === undefined) continue
      watch.isNamed = false
      watch.isOver = isOver
      over.push(id)
      if (watch.leased.size >= watch.copies) continue
      // In an earlier life it may have told others.
      this.#place(id, watch, now)
      for (const peer of watch.targets) watch.leased.add(peer)
    }
    return this.#tend(over, now)
  }

  /** Somebody put it: it is to stay for so long. Answered by `data-kept`, or `data-refused`. */
  keep(id: DataId, ask: number, pin: PinLeft, copies: number, now: Millis): DataEffect[] {
    const watch = this.#watch(id, copies, now)
    watch.asks.push({ ask, ...pin })
    this.#depot.putting(id, now)
    // Who has it already is to know of the pin before that is answered.
    watch.again.clear()
    watch.has.clear()
    if (watch.full.size > 0) {
      watch.full.clear()
      this.#place(id, watch, now)
    }
    return this.#tend([id], now)
  }

  /** Nobody waits for the answer any more. */
  unask(ask: number): void {
    for (const [id, watch] of this.#watched) {
      const left = watch.asks.filter((one) => one.ask !== ask)
      if (left.length === watch.asks.length) continue
      this.#depot.settled(id, watch.asks.length - left.length)
      watch.asks = left
      watch.lookAt = 0
    }
  }

  /** These were pinned here by somebody who asks the others at this very moment; from then on this node does that too. */
  pinned(ids: readonly DataId[], copies: number, now: Millis): void {
    for (const id of ids) {
      const { pinMs, bridgeMs } = this.#depot.pinLeft(id, now)
      if (this.#watched.has(id) || (pinMs === 0 && bridgeMs === 0)) continue
      const watch = this.#watch(id, copies, now)
      for (const peer of watch.targets) watch.again.set(peer, now + renewEveryMs)
    }
  }

  held(from: PeerId, ids: readonly DataId[], now: Millis): DataEffect[] {
    return ids.flatMap((id) => {
      const watch = this.#watched.get(id)
      if (watch === undefined) return []
      watch.has.add(from)
      watch.again.set(from, now + renewEveryMs)
      watch.lookAt = 0
      return this.#kept(id, watch)
    })
  }

  /** That one has no room for these: others shall have them. */
  full(from: PeerId, ids: readonly DataId[], now: Millis): DataEffect[] {
    const effects = ids.flatMap((id) => {
      const watch = this.#watched.get(id)
      if (watch === undefined) return []
      watch.has.delete(from)
      watch.full.set(from, now + (watch.asks.length > 0 ? askAgainMs : renewEveryMs))
      this.#place(id, watch, now)
      return this.#kept(id, watch)
    })
    return [...effects, ...this.#tend(ids, now)]
  }

  /** How long these are to stay is another time than before. */
  changed(ids: readonly DataId[]): void {
    for (const id of ids) {
      const watch = this.#watched.get(id)
      if (watch !== undefined) watch.lookAt = 0
    }
  }

  /** What it was told before it went it may not know any more. */
  peerUp(peer: PeerId, now: Millis): void {
    for (const watch of this.#watched.values()) {
      if (watch.again.has(peer)) watch.again.set(peer, now)
      if (watch.full.has(peer)) watch.full.set(peer, now)
      watch.lookAt = 0
    }
  }

  /** This node leaves, and hands over what it has. */
  leave(): void {
    this.#isLeaving = true
    this.#tendAt = 0
  }

  /** The copy of this node is lost. */
  lost(id: DataId): void {
    this.#watched.get(id)?.has.delete(this.#view.self)
    this.changed([id])
  }

  /** What others have yet to take over from a node that leaves. */
  movable(now: Millis): number {
    let count = 0
    for (const { id } of this.#depot.kept(now)) {
      if (this.#depot.isGoing(id, now)) continue
      const watch = this.#watched.get(id)
      const others = watch?.targets.filter((peer) => peer !== this.#view.self) ?? []
      if (watch === undefined || (others.length > 0 && !others.every((peer) => watch.has.has(peer)))) count++
    }
    return count
  }

  /** Whom to ask for it, best first. Of those who probably have it, not everybody asks the same one first. */
  sources(id: DataId, at: readonly PeerId[] = []): PeerId[] {
    const { self, isUp, keepersFor, peers } = this.#view
    const known = this.#watched.get(id)?.has ?? []
    const ranked = keepersFor(id)
    const first = hash32(`${self} ${id}`) % copiesDefault
    const near = [...ranked.slice(first, copiesDefault), ...ranked]
    const all = new Set([...at, ...known, ...near, ...peers()])
    return [...all].filter((peer) => peer !== self && isUp(peer)).slice(0, fetchSourcesMax)
  }

  /** Who is known to have it. */
  holders(id: DataId): ReadonlySet<PeerId> | undefined {
    return this.#watched.get(id)?.has
  }

  wake(now: Millis): DataEffect[] {
    if (now < this.#tendAt) return []
    this.#tendAt = now + tendEveryMs
    if (this.#isLeaving)
      for (const { id, copies } of this.#depot.kept(now))
        if (!this.#depot.isGoing(id, now)) this.#leaves(this.#watch(id, copies, now))
    const situation = this.#watched.size === 0 ? '' : this.#view.situation(now)
    const isNews = situation !== this.#situation
    this.#situation = situation
    if (isNews) for (const [id, watch] of this.#watched) this.#place(id, watch, now)
    return this.#tend(this.#due(now), now)
  }

  *#due(now: Millis): Generator<DataId> {
    let looks = 0
    for (const [id, watch] of this.#round.next(passedMax)) {
      if (watch.lookAt > now) continue
      yield id
      if (++looks === looksMax) return
    }
  }

  #leaves(watch: Watch): void {
    if (!watch.isLeft) watch.lookAt = 0
    watch.isLeft = true
  }

  #watch(id: DataId, copies: number, now: Millis): Watch {
    const old = this.#watched.get(id)
    if (old !== undefined) {
      if (copies > old.copies) {
        old.copies = copies
        this.#place(id, old, now)
      }
      return old
    }
    const fresh: Watch = {
      copies: copies || copiesDefault,
      isNamed: false,
      isOver: false,
      isLeft: false,
      targets: [],
      has: new Set(this.#depot.has(id) ? [this.#view.self] : []),
      again: new Map(),
      full: new Map(),
      leased: new Set(),
      asks: [],
      lookAt: 0
    }
    this.#watched.set(id, fresh)
    this.#place(id, fresh, now)
    return fresh
  }

  /**
   * Who has it stays among those who shall, also while it is down for a short time or full; so does who was asked, and is full
   * now: it may be since this comes.
   */
  #place(id: DataId, watch: Watch, now: Millis): void {
    const { keepersFor, isGone, isUp } = this.#view
    for (const peer of watch.has) if (isGone(peer, now)) watch.has.delete(peer)
    for (const peer of watch.again.keys()) if (isGone(peer, now)) watch.again.delete(peer)
    for (const [peer, until] of watch.full) if (until <= now) watch.full.delete(peer)
    const also = new Set([...watch.has, ...[...watch.again.keys()].filter(isUp)])
    const able = keepersFor(id, [...also]).filter((peer) => !watch.full.has(peer))
    watch.targets = able.slice(0, watch.copies)
    watch.lookAt = 0
  }

  /** A majority of those that shall have it. */
  #kept(id: DataId, watch: Watch): DataEffect[] {
    if (watch.asks.length === 0) return []
    const copies = watch.targets.filter((peer) => watch.has.has(peer)).length
    if (watch.targets.length === 0 || copies < majorityOf(watch.targets.length)) return []
    this.#depot.settled(id, watch.asks.length)
    return watch.asks.splice(0).map(({ ask }) => ({ kind: 'data-kept', ask, copies }))
  }

  /** What a user puts where there is no room is refused. For a job it waits, as what is there may go with others. */
  #refuse(id: DataId, watch: Watch): DataEffect[] {
    if (watch.targets.length > 0 || !(watch.full.size > 0 || this.#view.isAnyFull())) return []
    const refused = watch.asks.filter(({ pinMs }) => pinMs > 0)
    watch.asks = watch.asks.filter(({ pinMs }) => pinMs === 0)
    this.#depot.settled(id, refused.length)
    return refused.map(({ ask }) => ({ kind: 'data-refused', ask }))
  }

  /** Where too few have room for it, those who had none are asked again. When the next one is to be. */
  #retry(id: DataId, watch: Watch, now: Millis): Millis {
    if (watch.targets.length >= watch.copies) return Number.POSITIVE_INFINITY
    if ([...watch.full.values()].some((until) => until <= now)) this.#place(id, watch, now)
    return Math.min(...watch.full.values())
  }

  #tend(ids: Iterable<DataId>, now: Millis): DataEffect[] {
    const mail = new Mail()
    const effects: DataEffect[] = []
    for (const id of ids) {
      const watch = this.#watched.get(id)
      if (watch !== undefined) effects.push(...this.#look(id, watch, mail, now))
    }
    return [...effects, ...mail.sends()]
  }

  #look(id: DataId, watch: Watch, mail: Mail, now: Millis): DataEffect[] {
    const retryAt = this.#retry(id, watch, now)
    const refused = watch.asks.length > 0 ? this.#refuse(id, watch) : []
    const { isNamed, isLeft, asks, targets, has, again } = watch
    const { isUp } = this.#view
    const left = this.#depot.pinLeft(id, now)
    const pinMs = Math.max(left.pinMs, ...asks.map((one) => one.pinMs))
    const bridgeMs = Math.max(left.bridgeMs, isLeft ? leavingPinMs : 0, ...asks.map((one) => one.bridgeMs))
    if (!isNamed) this.#unlease(id, watch, watch.leased, watch.isOver, mail)
    if (!isNamed && pinMs === 0 && bridgeMs === 0) {
      this.#watched.delete(id)
      return refused
    }
    const isNew = asks.length > 0
    // What is put here comes from a client just now, if it is not here.
    const at = [...new Set(isNew ? [this.#view.self, ...has] : has)].slice(0, sourcesMax)
    const put = asks.at(-1)?.ask ?? 0
    const hold: Hold = { kind: 'hold', isNamed, pinMs, bridgeMs, copies: watch.copies, isNew, put, at }
    const renewMs = isNamed ? renewEveryMs : Math.min(renewEveryMs, Math.max(pinMs, bridgeMs))
    watch.lookAt = Math.min(now + renewMs, retryAt)
    for (const peer of targets) {
      if (!isUp(peer)) continue
      if ((again.get(peer) ?? 0) <= now) {
        again.set(peer, now + (has.has(peer) ? renewEveryMs : askAgainMs))
        if (isNamed) watch.leased.add(peer)
        mail.hold(peer, hold, id)
      }
      watch.lookAt = Math.min(watch.lookAt, again.get(peer) ?? 0)
    }
    return [...refused, ...this.#spare(id, watch, mail, now)]
  }

  /** Once all have it who shall, and these are enough, the others need not: one that leaves takes its copy along. */
  #spare(id: DataId, watch: Watch, mail: Mail, now: Millis): DataEffect[] {
    const { targets, has, copies } = watch
    if (targets.length < copies || !targets.every((peer) => has.has(peer))) return []
    const others = [...new Set([...watch.leased, ...has])].filter((peer) => !targets.includes(peer))
    if (others.length === 0) return []
    this.#unlease(
      id,
      watch,
      others.filter((peer) => watch.leased.has(peer)),
      false,
      mail
    )
    for (const peer of others) has.delete(peer)
    if (!others.includes(this.#view.self)) return []
    // What is seen to here only because it was pinned here is not any more.
    watch.lookAt = 0
    return this.#depot.unpinHere(id, now)
  }

  #unlease(id: DataId, watch: Watch, peers: Iterable<PeerId>, isOver: boolean, mail: Mail): void {
    for (const peer of [...peers]) {
      mail.unhold(peer, isOver, id)
      watch.leased.delete(peer)
    }
  }
}
