/**
 * Founds the first council when it is needed, and has members replaced that are gone.
 *
 * Not here: how new members get what the old ones had (seating.ts).
 * The next list is a value like any other, of a cell without a name, that is written once in each list. Nobody is a voter before
 * there is a list, so the first one needs the consent of all nodes that anybody asked has heard of: two that have ever heard of each other
 * cannot take part in founding two.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import { codec } from '../wire.ts'
import type { Acceptor } from './acceptor.ts'
import { councilName, firstMembers, majority, nextMembers } from './council.ts'
import type { CellSend, CellSurroundings } from './effects.ts'
import { type CellMessageOf, type Council, council } from './messages.ts'
import { type Me, Proposer } from './proposer.ts'
import type { Seating } from './seating.ts'

const lookEveryMs = 2_000
/** A founding that did not get everybody's consent by then is begun anew, as others may have come; and any other change. */
const foundWithinMs = 4_000
const changeWithinMs = 10_000

const values = codec({ next: { council } })
/** A list that is proposed. */
export const parseList = (state: Uint8Array): Council | undefined => {
  try {
    return values.parse(state).council
  } catch {
    return undefined
  }
}

export class Chair {
  readonly #view: CellSurroundings
  readonly #acceptor: Acceptor
  readonly #seating: Seating
  readonly #random: Random
  readonly #me: Me
  #proposer: Proposer | undefined
  #endAt: Millis = 0
  #againAt: Millis = Number.POSITIVE_INFINITY
  #lookAt: Millis = 0
  /** Somebody wants a council, and there is none. */
  #isWanted = false
  #hasMet = false

  constructor(view: CellSurroundings, acceptor: Acceptor, seating: Seating, me: Me, random: Random) {
    this.#me = me
    this.#view = view
    this.#acceptor = acceptor
    this.#seating = seating
    this.#random = random
  }

  /** It has met another node: if that is gone for good now, this one is alone. */
  met(): void {
    this.#hasMet = true
  }

  want(isWanted: boolean): void {
    this.#isWanted = isWanted
  }

  /** The list that was proposed counts no more, or is found another way. */
  over(): void {
    this.#proposer = undefined
    this.#againAt = Number.POSITIVE_INFINITY
  }

  /** Why there is none yet, for people. */
  absent(now: Millis): string {
    const missing = this.#view.everybody().filter((peer) => !this.#view.isUp(peer))
    if (missing.length > 0)
      return `the first use of coordination needs every node that is known, and ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ` and ${missing.length - 3} more are` : missing.length > 1 ? ' are' : ' is'} down; start it, or wait until it is forgotten (an hour)`
    if (!this.#mayBeAlone(now))
      return 'this node has met no other yet; wait a moment, start one of its peers, or start it without `peers` if it is to be alone'
    return 'the nodes that are there have not agreed on who keeps it yet'
  }

  wake(now: Millis): CellSend[] {
    const effects: CellSend[] = []
    if (this.#proposer !== undefined) {
      effects.push(...this.#proposer.again(now))
      // Among its electors may be one that is not there any more.
      if (now > this.#endAt) this.over()
      else if (now >= this.#againAt) effects.push(...this.#retry(now))
    }
    if (now < this.#lookAt) return effects
    this.#lookAt = now + lookEveryMs
    return [...effects, ...this.look(now)]
  }

  wakeAt(): Millis | undefined {
    const { council, isSeated } = this.#acceptor
    if (this.#proposer === undefined)
      return this.#isWanted || (council !== undefined && isSeated) ? this.#lookAt : undefined
    return Math.min(this.#lookAt, this.#proposer.wakeAt() ?? this.#againAt, this.#againAt, this.#endAt + 1)
  }

  /** Is there anything to be changed? */
  look(now: Millis): CellSend[] {
    if (this.#proposer !== undefined || !this.#view.isSound()) return []
    const { council, isSeated } = this.#acceptor
    if (council === undefined) return this.#isWanted ? this.#found(now) : []
    if (!isSeated || !this.#isFirst(council)) return []
    const next = this.#next(council, now)
    if (next === undefined) return []
    const { mesh, number, members } = council
    const list: Council = { mesh, number: number + 1, members: next, before: members }
    const ground = { mesh, number, name: '', voters: members, quorum: majority(members.length), electors: [] }
    return this.#propose(ground, list, now)
  }

  /** True if this node is a member and somebody else could be it instead. */
  isReplaceable(now: Millis): boolean {
    const { council, isMember, hasOld } = this.#acceptor
    if (council === undefined) return false
    if (!isMember) return hasOld && !this.#seating.isInForce
    return this.#next(council, now) !== undefined
  }

  promised(from: PeerId, message: CellMessageOf<'cell-promised'>, now: Millis): CellSend[] {
    return this.#proposer?.promised(from, message, now) ?? []
  }

  /** The list that is decided now. */
  voted(from: PeerId, message: CellMessageOf<'cell-accepted'>): Council | undefined {
    const state = this.#proposer?.voted(from, message)
    return state === undefined ? undefined : parseList(state)
  }

  rejected(message: CellMessageOf<'cell-rejected'>, now: Millis): void {
    if (this.#proposer?.rejected(message)) this.#againAt = now + 50 + this.#random.next() * 400
  }

  #retry(now: Millis): CellSend[] {
    this.#againAt = Number.POSITIVE_INFINITY
    return this.#proposer?.begin(now) ?? []
  }

  #mayBeAlone(now: Millis): boolean {
    return this.#hasMet || now >= this.#view.aloneAt
  }

  #next(council: Council, now: Millis): PeerId[] | undefined {
    const { keepersFor, isGone } = this.#view
    return nextMembers(council, keepersFor(councilName), (peer) => isGone(peer, now))
  }

  /** One member at a time tends the list: the first that is there. */
  #isFirst({ members }: Council): boolean {
    return members.find((peer) => this.#view.isUp(peer)) === this.#view.self
  }

  #found(now: Millis): CellSend[] {
    const { self, boot, everybody, isUp, keepersFor } = this.#view
    const electors = everybody()
    const isAlone = electors.length === 1
    if (!electors.every(isUp) || (isAlone && !this.#mayBeAlone(now))) return []
    const able = keepersFor(councilName).filter((peer) => electors.includes(peer))
    if (able.length === 0 || !electors.includes(self)) return []
    // Of two that never met that of more nodes counts, should they meet: names are compared.
    const size = String(9_999 - Math.min(9_999, electors.length)).padStart(4, '0')
    const mesh = `${size}-${self}-${boot}-${Math.floor(this.#random.next() * 1e9)}`
    const list: Council = { mesh, number: 1, members: firstMembers(able), before: [] }
    const ground = { mesh: '', number: 0, name: '', voters: electors, quorum: electors.length, electors }
    return this.#propose(ground, list, now)
  }

  #propose(ground: Proposer['ground'], list: Council, now: Millis): CellSend[] {
    const state = values.encode({ kind: 'next', council: list })
    // What another one has proposed, and may have been decided, stays.
    const keep = (found: Uint8Array | undefined): Uint8Array =>
      found !== undefined && parseList(found) !== undefined ? found : state
    this.#proposer = new Proposer(this.#me, ground, keep)
    this.#endAt = now + (ground.number === 0 ? foundWithinMs : changeWithinMs)
    return this.#proposer.begin(now)
  }
}
