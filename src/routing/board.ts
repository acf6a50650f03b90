/**
 * Whom a node asks for work, by what it has heard about who has some, and when it says that it has some itself.
 *
 * Not here: claims and grants, which are exact (tasks/owner.ts, tasks/runner.ts). A notice may be late or wrong; it only
 * decides whom to ask first, so the worst it costs is a question too many.
 * Think of the pinboard in a common room: notes go stale, and nobody is bound by them. In a small mesh everybody is asked
 * and the board is not needed; in a large one neither all who are idle ask one owner, nor do all owners cry.
 */
import type { PeerId } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Reach } from './links.ts'

/** A notice older than this says nothing. */
export const noticeMaxMs = 3_000
/** Owners noted; a further one replaces the oldest notice. */
export const noticesMax = 1_024
/** Between two notices of one owner, for each so many owners that are heard to have work. */
export const noticeEveryMs = 250
const noticesPerTurn = 4
/** Nodes that are to answer a notice, for each task that waits. */
const invitedPerTask = 8
/** Between two reviews of whom to ask. */
const reviewEveryMs = 500

interface Notice {
  readonly waiting: number
  readonly at: Millis
  /** Chance decided that this node is one of those that ask. */
  readonly isInvited: boolean
}

export interface BoardView {
  /** All that are up, and those to which a stream is open, without this node. */
  readonly peers: () => readonly PeerId[]
  readonly peerCount: () => number
  readonly neighbours: () => readonly PeerId[]
  readonly isUp: (peer: PeerId) => boolean
}

export class Board {
  readonly #view: BoardView
  readonly #reach: Reach
  readonly #random: Random
  readonly #notices = new Map<PeerId, Notice>()
  /** Whom this node asks at present, in a large mesh. */
  #asked: PeerId[] = []
  /** Who granted something since the last review. */
  readonly #gave = new Set<PeerId>()
  #reviewAt: Millis = Number.NEGATIVE_INFINITY
  #noticeAt: Millis = Number.NEGATIVE_INFINITY

  constructor(view: BoardView, reach: Reach, random: Random) {
    this.#view = view
    this.#reach = reach
    this.#random = random
  }

  note(owner: PeerId, waiting: number, now: Millis): void {
    this.#notices.delete(owner)
    if (waiting === 0) return
    if (this.#notices.size >= noticesMax) this.#notices.delete([...this.#notices.keys()][0] as PeerId)
    const share = (invitedPerTask * waiting) / (this.#view.peerCount() + 1)
    const isInvited = this.#random.chance(share)
    this.#notices.set(owner, { waiting, at: now, isInvited })
    if (isInvited && !this.#asked.includes(owner)) this.#reviewAt = now
  }

  /** It granted something. */
  gave(owner: PeerId): void {
    this.#gave.add(owner)
  }

  forget(owner: PeerId): void {
    this.#notices.delete(owner)
    this.#gave.delete(owner)
    this.#reviewAt = Number.NEGATIVE_INFINITY
  }

  /** Peers to claim work from. */
  whomToAsk(now: Millis): readonly PeerId[] {
    if (this.#view.peerCount() < this.#reach.askAllMax) return this.#view.peers()
    if (now >= this.#reviewAt) this.#review(now)
    return this.#asked
  }

  /** True if it is time to tell everybody, if work waits here. */
  mayTell(now: Millis): boolean {
    return now >= this.#noticeAt
  }

  /** It was told. The next time is the later, the more others say the same. */
  told(now: Millis): void {
    const others = [...this.#notices.values()].filter(({ at }) => now - at <= noticeMaxMs).length
    this.#noticeAt = now + noticeEveryMs * Math.max(1, others / noticesPerTurn)
  }

  check(): void {
    assert(this.#notices.size <= noticesMax, `${this.#notices.size} notices on the board`)
  }

  /**
   * Those with work first, of each two the one with more; then who was asked before; then any with a stream. Who has work
   * and gave none of it makes place for others who have some: what waits there may be for other nodes than this one.
   */
  #review(now: Millis): void {
    this.#reviewAt = now + reviewEveryMs
    const { isUp, neighbours } = this.#view
    const { askMax } = this.#reach
    const busy: PeerId[] = []
    for (const [owner, { at, isInvited }] of this.#notices) {
      if (now - at > noticeMaxMs) this.#notices.delete(owner)
      else if (isInvited && isUp(owner)) busy.push(owner)
    }
    const asked = new Set(this.#asked.filter((owner) => busy.includes(owner) && this.#gave.has(owner)))
    this.#gave.clear()
    const left = busy.filter((owner) => !this.#asked.includes(owner))
    while (asked.size < askMax && left.length > 0) asked.add(this.#better(left))
    for (const owner of this.#asked) if (asked.size < askMax && isUp(owner)) asked.add(owner)
    const others = neighbours()
    for (let i = 0; i < 2 * askMax && asked.size < askMax && others.length > 0; i++)
      asked.add(this.#random.pick(others) as PeerId)
    this.#asked = [...asked]
  }

  /** Takes the better of two random ones out of `left`. */
  #better(left: PeerId[]): PeerId {
    const [a, b] = [this.#random.below(left.length), this.#random.below(left.length)]
    const waitingAt = (at: number): number => this.#notices.get(left[at] as PeerId)?.waiting ?? 0
    return left.splice(waitingAt(a) >= waitingAt(b) ? a : b, 1)[0] as PeerId
  }
}
