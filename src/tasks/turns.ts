/**
 * Whose turn it is at a node, among owners whose tasks want the same slots, or units of the same resource.
 *
 * Not here: the claims (claims.ts), and the order among the tasks of one owner (round.ts).
 * Owners do not know of each other, and if all are asked at once the quickest gets everything: that is the node's own. So what is
 * scarce is offered to some of them only, the most urgent first, of equals to who has had least of the engines' time.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Amount } from '../routing/match.ts'
import { namesOf } from '../routing/requirement.ts'
import type { Wants } from './claims.ts'
import type { JobHeader, TaskMessageOf } from './messages.ts'
import { Shares } from './shares.ts'
import type { Speeds } from './speeds.ts'

/** What is kept for an owner that does not answer is offered to others by then, until that owner says again that tasks wait. */
export const answerWithinMs = 200
/** Where tasks take long, more is kept for: this part of their time, at most so long. */
const answerPart = 1 / 20
export const answerMaxMs = 1_000

/** The highest priority of the tasks that wait at an owner, if any do: of those that need no resource, and of those that do. */
interface Demand {
  plain?: number | undefined
  needy?: number | undefined
  /** The resources that the latter need. */
  needs?: readonly string[]
  /** Since when something is kept for it. */
  keptFrom?: Millis | undefined
}

interface Rival extends Demand {
  readonly owner: PeerId
  /** Of its tasks that could begin. */
  readonly urgency: number
}

/** How many tasks an owner is asked for, and whether they may need resources. */
export interface Offer {
  readonly tasks: number
  readonly hasRoom: boolean
}

export class Turns {
  readonly #speeds: Speeds
  readonly #shares = new Shares()
  readonly #demands = new Map<PeerId, Demand>()
  /** Owners whose turn was over before they answered, if they do. */
  readonly #late = new Set<PeerId>()
  /** When the turn of somebody who does not answer is over. */
  passAt: Millis | undefined

  constructor(speeds: Speeds) {
    this.#speeds = speeds
  }

  /** True if tasks are known to wait there. */
  hasWork(owner: PeerId): boolean {
    const demand = this.#demands.get(owner)
    return demand?.plain !== undefined || demand?.needy !== undefined
  }

  /** It says what waits. */
  heard(owner: PeerId, { priority, needs, isOver }: TaskMessageOf<'waits'>): void {
    // That was its answer.
    if (isOver) this.#late.delete(owner)
    this.#set(owner, needs, isOver ? undefined : priority)
  }

  /** Of its tasks so many came, and so many more wait. */
  granted(owner: PeerId, { priority, requires }: JobHeader, waiting: number): void {
    const demand = this.#of(owner)
    demand.keptFrom = undefined
    if (waiting > 0) this.#set(owner, namesOf(requires), priority)
    else demand.plain = demand.needy = undefined
  }

  /** True if this is the answer for which nothing is kept any more. Who is always slower would never have its turn. */
  isLate(owner: PeerId): boolean {
    return this.#late.has(owner)
  }

  /** So many of them were taken, and so many had to go back. */
  took(owner: PeerId, header: JobHeader, taken: number, back: number): void {
    this.#late.delete(owner)
    // Who sends what cannot run here has had its turn as well.
    this.#shares.charge(owner, Math.max(1, taken) * this.#speeds.costOf(header))
    if (back > 0) this.#set(owner, namesOf(header.requires), header.priority)
  }

  forget(owner: PeerId): void {
    this.#demands.delete(owner)
    this.#late.delete(owner)
  }

  /** Who has not answered in time has no work, as far as is known. */
  pass(now: Millis): void {
    if (this.passAt === undefined || now < this.passAt) return
    const kept = new Map<PeerId, Millis>()
    for (const [owner, { keptFrom }] of this.#demands) {
      if (keptFrom === undefined) continue
      if (now - keptFrom < this.#patience) kept.set(owner, keptFrom)
      else {
        this.#demands.delete(owner)
        this.#late.add(owner)
      }
    }
    this.#keep(kept)
  }

  get #patience(): Millis {
    const { last } = this.#speeds
    return Number.isFinite(last)
      ? Math.min(answerMaxMs, Math.max(answerWithinMs, last * answerPart))
      : answerWithinMs
  }

  /** What each is offered; `undefined` if they are not in each other's way. */
  offers(owners: readonly PeerId[], wants: Wants, now: Millis): Map<PeerId, Offer> | undefined {
    this.pass(now)
    const rivals = this.#rivals(owners, wants.room)
    if (rivals.length < 2) return this.#keep(new Map())
    const top = Math.max(...rivals.map(({ urgency }) => urgency))
    const urgent = this.#inTurn(rivals.filter(({ urgency }) => urgency === top))
    const roomFor = urgent.find(({ needy }) => needy === top)
    const takers = urgent.filter((one) => one.plain === top || one === roomFor)
    const tasks = Math.min(wants.want, wants.sure)
    const isAmple = wants.sure >= rivals.length && urgent.length === rivals.length
    const rest: Offer = {
      tasks: isAmple ? Math.min(tasks, wants.standing) : 0,
      hasRoom: roomFor === undefined
    }
    const offers = new Map(owners.map((owner) => [owner, rest]))
    const kept = new Map<PeerId, Millis>()
    for (const [at, one] of takers.entries()) {
      const part = Math.floor((tasks + takers.length - 1 - at) / takers.length)
      const share = isAmple ? Math.max(1, part) : part
      offers.set(one.owner, { tasks: share, hasRoom: roomFor === undefined || one === roomFor })
      if (share > 0 && (!isAmple || one === roomFor)) kept.set(one.owner, one.keptFrom ?? now)
    }
    this.#keep(kept)
    return offers
  }

  /** Owners whose tasks could begin here. */
  #rivals(owners: readonly PeerId[], room: readonly Amount[]): Rival[] {
    if (this.#demands.size < 2) return []
    const free = new Set(room.filter(({ amount }) => amount > 0).map(({ name }) => name))
    return owners.flatMap((owner) => {
      const demand = this.#demands.get(owner)
      const { plain, keptFrom, needs = [] } = demand ?? {}
      // Who needs what is not free is in nobody's way, whatever else there is.
      const needy = needs.every((name) => free.has(name)) ? demand?.needy : undefined
      if (plain === undefined && needy === undefined) return []
      const urgency = Math.max(plain ?? Number.NEGATIVE_INFINITY, needy ?? Number.NEGATIVE_INFINITY)
      return [{ owner, plain, needy, keptFrom, urgency }]
    })
  }

  /** For these something is kept since then, and for nobody else. */
  #keep(kept: ReadonlyMap<PeerId, Millis>): undefined {
    if (this.passAt === undefined && kept.size === 0) return
    for (const owner of kept.keys()) this.#late.delete(owner)
    for (const [owner, demand] of this.#demands) demand.keptFrom = kept.get(owner)
    this.passAt = kept.size === 0 ? undefined : Math.min(...kept.values()) + this.#patience
  }

  #inTurn(rivals: readonly Rival[]): Rival[] {
    const left = new Map(rivals.map((rival) => [rival.owner as string, rival]))
    const line: Rival[] = []
    while (left.size > 0) {
      const next = this.#shares.next(left.keys()) ?? ''
      const rival = left.get(next)
      if (rival !== undefined) line.push(rival)
      left.delete(next)
    }
    return line
  }

  #set(owner: PeerId, needs: readonly string[], priority: number | undefined): void {
    const demand = this.#of(owner)
    if (needs.length > 0) Object.assign(demand, { needy: priority, needs })
    else demand.plain = priority
  }

  #of(owner: PeerId): Demand {
    const demand = this.#demands.get(owner) ?? {}
    this.#demands.set(owner, demand)
    return demand
  }
}
