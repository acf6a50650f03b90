/**
 * All nodes that this one has heard of, and what it believes of each.
 *
 * Not here: why it believes that (membership.ts, swim.ts). Everything that is asked often, of a thousand members, at every
 * step, is kept ready: who is up, who is linked, and one number for each part of the directory.
 */
import type { PeerId } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { hash32 } from '../random.ts'
import { type Life, type Member, membersMax, rollBuckets } from './messages.ts'

export interface Known {
  readonly peer: PeerId
  member: Member | undefined
  addresses: readonly string[]
  /** A stream to it is open. */
  isLinked: boolean
  isUp: boolean
  /** This node lost it itself: what others say does not bring it back, only its own word does. */
  isLost: boolean
  heardAt: Millis
  /** What it says of its own slowness. */
  delayMs: Millis
  downSince: Millis
  dialAt: Millis
  /** When work was last spoken of with it. */
  usedAt: Millis
  /** When this end was willing to let the stream end for idleness. */
  restedAt: Millis
  /** When it asked for that, and this end agreed: it may drop the stream whatever is said meanwhile. */
  agreedAt: Millis
}

export const bucketOf = (peer: PeerId): number => hash32(peer) % rollBuckets

export class Directory {
  readonly #known = new Map<PeerId, Known>()
  readonly #links = new Map<PeerId, Known>()
  readonly #prints = new Uint32Array(rollBuckets)
  #me: Member
  #peers: readonly PeerId[] | undefined
  #members: readonly Member[] | undefined
  /** Others that are up. */
  upCount = 0
  /** Differs when somebody came, went, or said something new of itself. */
  version = 0
  /** The version whose numbers were looked at. */
  #checked = -1

  constructor(me: Member) {
    this.#me = me
    this.#print(me)
  }

  get me(): Member {
    return this.#me
  }

  set me(me: Member) {
    this.#print(this.#me, -1)
    this.#me = me
    this.#print(me)
    this.#changed()
  }

  /** Others, whatever is believed of them. */
  get size(): number {
    return this.#known.size
  }

  get links(): ReadonlyMap<PeerId, Known> {
    return this.#links
  }

  get(peer: PeerId): Known | undefined {
    return this.#known.get(peer)
  }

  all(): IterableIterator<Known> {
    return this.#known.values()
  }

  /** Others that are up, oldest acquaintance first. */
  peers(): readonly PeerId[] {
    this.#peers ??= [...this.#known.values()].filter(({ isUp }) => isUp).map(({ peer }) => peer)
    return this.#peers
  }

  /** Who is up, this node first. */
  members(): readonly Member[] {
    if (this.#members === undefined) {
      const up = [...this.#known.values()].filter(({ isUp }) => isUp).map(({ member }) => member)
      this.#members = [this.#me, ...up.filter((member) => member !== undefined)]
    }
    return this.#members
  }

  /**
   * This node, and whoever it has heard of in the last hour that may keep something and did not leave in good order: who has a
   * stream to here has not left, or is back, whatever it said before.
   */
  everybody(): PeerId[] {
    const others = [...this.#known.values()].filter(
      ({ isUp, isLinked, member }) =>
        member === undefined || (member.isKeeper && (isUp || isLinked || !member.isLeaving))
    )
    return [this.#me.peer, ...others.map(({ peer }) => peer)]
  }

  /** One number for each part of the directory: of who is up, and in which incarnation. */
  get prints(): Uint32Array {
    return this.#prints
  }

  /** `undefined` for this node itself, and if everybody in a full directory is up. */
  learn(peer: PeerId, now: Millis): Known | undefined {
    if (peer === this.#me.peer) return undefined
    const old = this.#known.get(peer)
    if (old !== undefined) return old
    if (this.#known.size >= membersMax && !this.#makeRoom()) return undefined
    const known: Known = {
      peer,
      member: undefined,
      addresses: [],
      isLinked: false,
      isUp: false,
      isLost: false,
      heardAt: now,
      delayMs: 0,
      downSince: now,
      dialAt: now,
      usedAt: now,
      restedAt: Number.NEGATIVE_INFINITY,
      agreedAt: Number.NEGATIVE_INFINITY
    }
    this.#known.set(peer, known)
    return known
  }

  forget({ peer, isUp, isLinked }: Known): void {
    assert(!isUp && !isLinked, `${peer} is forgotten, and is here`)
    this.#known.delete(peer)
  }

  /** What a node says of itself, or said to others. */
  describe(known: Known, member: Member): void {
    if (known.isUp && known.member !== undefined) this.#print(known.member, -1)
    known.member = member
    if (member.addresses.length > 0) known.addresses = member.addresses
    if (!known.isUp) return
    this.#print(member)
    this.#changed()
  }

  link(known: Known, now: Millis): void {
    known.isLinked = true
    known.heardAt = now
    known.usedAt = now
    known.delayMs = 0
    known.restedAt = Number.NEGATIVE_INFINITY
    known.agreedAt = Number.NEGATIVE_INFINITY
    this.#links.set(known.peer, known)
  }

  unlink(known: Known): void {
    known.isLinked = false
    this.#links.delete(known.peer)
  }

  /** True if it was not up. */
  raise(known: Known): boolean {
    if (known.isUp || known.member === undefined) return false
    known.isUp = true
    this.upCount++
    this.#print(known.member)
    this.#changed()
    return true
  }

  /** True if it was up. */
  sink(known: Known, now: Millis): boolean {
    if (!known.isUp) return false
    known.isUp = false
    this.upCount--
    known.downSince = now
    if (known.member !== undefined) this.#print(known.member, -1)
    this.#changed()
    return true
  }

  check(): void {
    assert(this.#known.size <= membersMax, 'more members known than there may be')
    let up = 0
    for (const { peer, isUp, isLinked, member } of this.#known.values()) {
      if (isUp) up++
      if (isUp && member === undefined) assert(false, `${peer} is up and has not said what it is`)
      if (isLinked !== this.#links.has(peer)) assert(false, `${peer} is linked or not`)
    }
    if (up !== this.upCount) assert(false, `${this.upCount} are counted as up, and ${up} are`)
    // The sums change with the members only; most steps of a node change none.
    if (this.#checked === this.version) return
    this.#checked = this.version
    const prints = new Uint32Array(rollBuckets)
    for (const { isUp, member } of this.#known.values())
      if (isUp && member !== undefined) add(prints, member, 1)
    add(prints, this.#me, 1)
    for (const [at, print] of prints.entries())
      if (print !== this.#prints[at]) assert(false, 'the directory does not have its numbers')
  }

  /** Who is down for longest makes room. */
  #makeRoom(): boolean {
    let last: Known | undefined
    for (const known of this.#known.values())
      if (!known.isUp && !known.isLinked && known.downSince < (last?.downSince ?? Number.POSITIVE_INFINITY))
        last = known
    return last !== undefined && this.#known.delete(last.peer)
  }

  #print(member: Member, times = 1): void {
    add(this.#prints, member, times)
  }

  #changed(): void {
    this.#peers = undefined
    this.#members = undefined
    this.version++
  }
}

function add(prints: Uint32Array, { peer, boot, incarnation }: Life & { peer: PeerId }, times: number): void {
  const bucket = bucketOf(peer)
  prints[bucket] = (prints[bucket] as number) + times * hash32(`${peer} ${boot} ${incarnation}`)
}
