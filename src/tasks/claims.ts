/**
 * Whom a node asked for how much work, and what it got: its side of the credit that owners grant against.
 *
 * Not here: how much is wanted (runner.ts). A claim replaces the one before and says what had arrived when it was sent,
 * so that grants and claims that cross on the way are counted once.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Amount } from '../routing/match.ts'
import { type Send, send } from './effects.ts'
import type { JobHeader } from './messages.ts'
import type { Speeds } from './speeds.ts'
import { take } from './standings.ts'
import { Turns } from './turns.ts'

/** Between two claims that say nothing new. */
const claimAgainMs = 3_000

export interface Wants {
  readonly want: number
  /**
   * What may begin at once or soon, as far as is known how long tasks take. An idle node asks for less of short ones, and of long
   * ones for more.
   */
  readonly sure: number
  /** Asked for at most of who has no work that is known of. */
  readonly standing: number
  readonly room: readonly Amount[]
  /** Only of jobs that are nested at least so deeply. */
  readonly depth: number
}

/** Of a node that takes no work. */
export const nothing = { want: 0, sure: 0, standing: 0, room: [], depth: 0, isSated: false }

interface Asked {
  tasks: number
  received: number
  /** Received when the last claim was sent. */
  base: number
  at: Millis
  depth: number
  /** Of each resource, what the owner thinks it may still grant. */
  room: Map<string, number>
}

export class Claims {
  readonly turns: Turns
  readonly #asked = new Map<PeerId, Asked>()
  /** With whom a claim waits. */
  readonly #claimed = new Set<PeerId>()

  constructor(speeds: Speeds) {
    this.turns = new Turns(speeds)
  }

  /** An owner sent `count` tasks, and has `waiting` more. */
  granted(from: PeerId, count: number, waiting: number, header: JobHeader): void {
    const asked = this.#of(from)
    asked.received += count
    this.turns.granted(from, header, waiting)
    if (header.requires.resources.length > 0) take(asked.room, header.requires, count)
  }

  forget(peer: PeerId): void {
    this.#asked.delete(peer)
    this.#claimed.delete(peer)
    this.turns.forget(peer)
  }

  /** Shares `want` among the owners that have work; the others keep a `standing` claim, so that their next task leaves at once. */
  renew(owners: readonly PeerId[], wants: Wants, now: Millis): Send[] {
    const { want, standing, depth } = wants
    const offers = this.turns.offers(owners, wants, now)
    let busy = 0
    for (const owner of owners) if (this.turns.hasWork(owner)) busy++
    const claims = this.#withdraw(owners)
    for (const owner of owners) {
      const asked = this.#of(owner)
      const usual = this.turns.hasWork(owner) ? Math.ceil(want / busy) : Math.min(want, standing)
      const { tasks: share, hasRoom } = offers?.get(owner) ?? { tasks: usual, hasRoom: true }
      const room = hasRoom ? wants.room : wants.room.map(({ name }) => ({ name, amount: 0 }))
      const left = asked.tasks - (asked.received - asked.base)
      const isOld = now - asked.at >= claimAgainMs || depth !== asked.depth
      const isStale = isOld || (room.length > 0 && isOther(asked.room, room))
      if (!isStale && (left === share || (left > share / 2 && left <= 2 * share))) continue
      Object.assign(asked, { tasks: share, base: asked.received, at: now, depth })
      if (room.length > 0) asked.room = new Map(room.map(({ name, amount }) => [name, amount]))
      this.#claimed.add(owner)
      const { received } = asked
      claims.push(send(owner, { kind: 'claim', tasks: share, received, room, isLast: false, depth }))
    }
    return claims
  }

  /** Who is not asked any more need not keep its claim. */
  #withdraw(owners: readonly PeerId[]): Send[] {
    const claims: Send[] = []
    for (const owner of this.#claimed) {
      if (owners.includes(owner)) continue
      this.#claimed.delete(owner)
      const asked = this.#of(owner)
      const { received } = asked
      Object.assign(asked, { tasks: 0, base: received, at: Number.NEGATIVE_INFINITY })
      claims.push(send(owner, { kind: 'claim', tasks: 0, received, room: [], isLast: true, depth: 0 }))
    }
    return claims
  }

  #of(owner: PeerId): Asked {
    const old = this.#asked.get(owner)
    if (old !== undefined) return old
    const asked: Asked = {
      tasks: 0,
      received: 0,
      base: 0,
      at: Number.NEGATIVE_INFINITY,
      depth: 0,
      room: new Map()
    }
    this.#asked.set(owner, asked)
    return asked
  }
}

/** True if the owner may grant what has no room, or may not grant what has, or far less of it. */
function isOther(said: ReadonlyMap<string, number>, room: readonly Amount[]): boolean {
  return room.some(({ name, amount }) => {
    const left = said.get(name) ?? 0
    return left > 0 !== amount > 0 || amount > 2 * left
  })
}
