/**
 * Which streams a node holds in a mesh that is too large to hold one with everybody.
 *
 * Not here: dialling for the sake of a message (membership.ts). A few streams to members drawn at random keep the mesh
 * together, carry its news, and are how its nodes watch each other. Those that work was spoken on stay for a while; of the
 * others, too many are let go, with the consent of the other end, so that a stream that breaks always means something.
 */
import type { Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Directory, Known } from './directory.ts'
import type { MembershipEffect } from './effects.ts'

export interface Reach {
  /** Up to so many members, this node included, everybody holds a stream with everybody and hears it each second. */
  readonly closeMax: number
  /** Streams that a node wants at least, in a larger mesh. */
  readonly linksMin: number
  /** Idle streams that a node holds at most. */
  readonly linksMax: number
  /** A stream is idle when no work was spoken of on it for so long. */
  readonly idleAfterMs: Millis
  /** Below so many peers every one of them is asked for work; from there on, `askMax` of them. */
  readonly askAllMax: number
  readonly askMax: number
}
export const usualReach: Reach = {
  closeMax: 50,
  linksMin: 16,
  linksMax: 64,
  idleAfterMs: 60_000,
  askAllMax: 16,
  askMax: 8
}

/** Dials, and streams let go, in a second. */
const dialsMax = 4
const restsMax = 4
/** Who agreed to let a stream end has so long to do it. */
const restWithinMs = 5_000
/** Members down for longer are forgotten. */
const forgetAfterMs = 3_600_000
/** Between two dials of one of those that are down: the other half of a mesh that was split. */
const redialEveryMs = 2_000

export class Links {
  readonly #directory: Directory
  readonly #reach: Reach
  readonly #random: Random
  /** Dials of this second. */
  #dials = 0
  #redialAt: Millis = 0

  constructor(directory: Directory, reach: Reach, random: Random) {
    this.#directory = directory
    this.#reach = reach
    this.#random = random
  }

  /** True if one more stream is wanted than there will be when all dials succeed. */
  get isWanting(): boolean {
    return this.#directory.links.size + this.#dials < this.#reach.linksMin
  }

  dialled(): void {
    this.#dials++
  }

  /** Both ends were willing. */
  isResting({ restedAt, usedAt }: Known, now: Millis): boolean {
    return restedAt > usedAt && now - restedAt < restWithinMs
  }

  /** Its end is no death. */
  isLetGo(known: Known, now: Millis): boolean {
    return now - known.agreedAt < restWithinMs || this.isResting(known, now)
  }

  /** Once a second: asks to let go of some that are too many. */
  tend(now: Millis): MembershipEffect[] {
    this.#dials = 0
    const { linksMax } = this.#reach
    const idle = [...this.#directory.links.values()].filter(
      (known) => this.#isIdle(known, now) && !this.isResting(known, now)
    )
    if (idle.length <= linksMax) return []
    const effects: MembershipEffect[] = []
    for (let i = Math.min(restsMax, idle.length - linksMax); i > 0; i--) {
      const known = idle.splice(this.#random.below(idle.length), 1)[0] as Known
      known.restedAt = now
      effects.push({ kind: 'say', to: known.peer, message: { kind: 'rest', isAgreed: false } })
    }
    return effects
  }

  /** The other end asks, or agrees. */
  rest(known: Known, isAgreed: boolean, now: Millis): MembershipEffect[] {
    const { peer } = known
    if (isAgreed) {
      if (!this.isResting(known, now)) return []
      this.#directory.unlink(known)
      return [{ kind: 'drop', peer, because: 'idle' }]
    }
    if (!this.#isIdle(known, now) || this.#directory.links.size <= this.#reach.linksMin) return []
    known.restedAt = now
    known.agreedAt = now
    return [{ kind: 'say', to: peer, message: { kind: 'rest', isAgreed: true } }]
  }

  /** Once a second: some members to hold a stream with, and now and then one that is down. */
  *toDial(now: Millis): Generator<Known> {
    const peers = this.#directory.peers()
    for (let i = 0; i < 2 * dialsMax && this.#dials < dialsMax && this.isWanting; i++) {
      const known = this.#directory.get(this.#random.pick(peers) ?? this.#directory.me.peer)
      if (known !== undefined && !known.isLinked && known.dialAt <= now) yield known
    }
    if (now < this.#redialAt) return
    this.#redialAt = now + redialEveryMs
    const down = [...this.#directory.all()].filter(({ isUp, isLinked }) => !isUp && !isLinked)
    for (const known of down) if (now - known.downSince > forgetAfterMs) this.#directory.forget(known)
    const due = down.filter(({ addresses, dialAt }) => addresses.length > 0 && dialAt <= now)
    const one = this.#random.pick(due)
    if (one !== undefined) yield one
  }

  #isIdle({ isUp, usedAt }: Known, now: Millis): boolean {
    return isUp && now - usedAt >= this.#reach.idleAfterMs
  }
}
