/**
 * Who asked this node for work: how much, what of their resources is free, and how much of it is on its way to them.
 *
 * Not here: what they get (round.ts), and the asking side (claims.ts).
 * A claim says what had been received when it was sent, so grants on their way count against what it asks for.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { matches, slotsFor, type Traits } from '../routing/match.ts'
import type { Claim } from '../routing/portions.ts'
import { isEngine, type Requirement } from '../routing/requirement.ts'
import type { Lead } from './lead.ts'
import type { TaskMessageOf } from './messages.ts'
import { Tidings } from './tidings.ts'

/** A grant that was not received by then is lost. */
const grantArrivesMs = 2_000
/** Tasks of one shard that wait at a node for one engine; the others wait here. */
const perEngine = 16

interface Standing {
  credit: number
  /** It asks only for jobs that are nested at least so deeply. */
  depth: number
  granted: number
  grantedAt: Millis
  /** Of each resource, what further grants may take; what one task takes beyond it, it waits for at the node. */
  room: Map<string, number>
  /** What grants on their way will take, and what had been granted when they left. */
  flights: { readonly upTo: number; readonly tasks: number; readonly requires: Requirement }[]
}

/** What a node asks for, and has not been granted. */
export interface Asks {
  readonly peer: PeerId
  readonly credit: number
  readonly depth: number
  /** What of its resources further grants may take. */
  readonly room: ReadonlyMap<string, number>
}

export interface StandingsView {
  readonly isUp: (peer: PeerId) => boolean
  readonly member: (peer: PeerId) => Traits | undefined
}

/** Requirements for which it is remembered who can meet them. */
const requirementsMax = 256
const nobody: ReadonlySet<PeerId> = new Set()

export class Standings {
  readonly #view: StandingsView
  readonly #claims = new Map<PeerId, Standing>()
  /** What those who asked know of what waits. */
  readonly tidings = new Tidings()
  /** By the text of a requirement: what was found of a node, as it described itself then. */
  readonly #known = new Map<string, Map<PeerId, { member: Traits; canRun: boolean }>>()

  constructor(view: StandingsView) {
    this.#view = view
  }

  get size(): number {
    return this.#claims.size
  }

  forget(peer: PeerId): void {
    this.#claims.delete(peer)
    this.tidings.forget(peer)
    for (const known of this.#known.values()) known.delete(peer)
  }

  claim(from: PeerId, { tasks, received, room, isLast, depth }: TaskMessageOf<'claim'>, now: Millis): void {
    // Nothing waits for one that will not ask.
    if (isLast) return this.forget(from)
    const standing = this.#claims.get(from) ?? newStanding(now)
    // The two sides differ for good if one forgot, or a grant was lost with a stream: then the peer is right.
    const isLost = received < standing.granted && now - standing.grantedAt > grantArrivesMs
    if (received > standing.granted || isLost) standing.granted = received
    standing.credit = tasks - (standing.granted - received)
    standing.flights = standing.flights.filter(({ upTo }) => upTo > received && upTo <= standing.granted)
    standing.room = new Map(room.map(({ name, amount }) => [name, amount]))
    for (const flight of standing.flights) take(standing.room, flight.requires, flight.tasks)
    standing.depth = depth
    this.#claims.set(from, standing)
  }

  /** The peer says that so many granted tasks never arrived. */
  missed(from: PeerId, tasks: number): void {
    const standing = this.#claims.get(from)
    if (standing !== undefined) standing.granted = Math.max(0, standing.granted - tasks)
  }

  /** Who asks and may run tasks of this shard, and how many of them. */
  open({ record, queue }: Lead): Claim[] {
    const { requires, depth } = record.header
    const open: Claim[] = []
    for (const [peer, { credit, room, depth: least }] of this.#claims) {
      // Who claims before it is known as a member, or is none, would not be missed if it went with its grants.
      if (credit <= 0 || depth < least || !this.#view.isUp(peer)) continue
      if (requires.text === '') open.push({ peer, credit })
      else if (this.canRun(peer, requires)) {
        const most = Math.min(
          credit,
          fitting(room, requires),
          this.#forEngines(peer, requires) - queue.heldCount(peer)
        )
        if (most > 0) open.push({ peer, credit: most })
      }
    }
    return open
  }

  /** Who asked at any time, and for what it still does. */
  *asks(): Iterable<Asks> {
    for (const [peer, { credit, depth, room }] of this.#claims)
      if (this.#view.isUp(peer)) yield { peer, credit, depth, room }
  }

  /** Nodes that asked for work at any time and could run this, now or later. */
  able(requires: Requirement, except: ReadonlySet<PeerId> = nobody): number {
    let count = 0
    for (const peer of this.#claims.keys()) {
      if (except.has(peer) || !this.#view.isUp(peer)) continue
      if (requires.text === '' || this.canRun(peer, requires)) count++
    }
    return count
  }

  canRun(peer: PeerId, requires: Requirement): boolean {
    const member = this.#view.member(peer)
    if (member === undefined) return false
    // Seen at once, and not worth remembering: of a task for each node, all but one are for others.
    if (slotsFor(requires.targets, member)?.length === 0) return false
    if (this.#known.size > requirementsMax) this.#known.clear()
    const known = this.#known.get(requires.text) ?? new Map()
    this.#known.set(requires.text, known)
    if (known.get(peer)?.member !== member) known.set(peer, { member, canRun: matches(requires, member) })
    return known.get(peer)?.canRun === true
  }

  granted(peer: PeerId, tasks: number, requires: Requirement, now: Millis): void {
    const standing = this.#claims.get(peer)
    if (standing === undefined) return
    standing.credit -= tasks
    standing.granted += tasks
    standing.grantedAt = now
    if (requires.resources.length === 0) return
    take(standing.room, requires, tasks)
    standing.flights.push({ upTo: standing.granted, tasks, requires })
  }

  /** Tasks of one shard that may wait at the peer, if they are for some of its engines only. */
  #forEngines(peer: PeerId, { targets }: Requirement): number {
    const member = targets.some(isEngine) ? this.#view.member(peer) : undefined
    const slots = member === undefined ? undefined : slotsFor(targets, member)
    return slots === undefined ? Number.POSITIVE_INFINITY : perEngine * slots.length
  }
}

const newStanding = (now: Millis): Standing => ({
  credit: 0,
  depth: 0,
  granted: 0,
  grantedAt: now,
  room: new Map(),
  flights: []
})

/**
 * Tasks that may be sent while there is so much room. While there is any, one task may take more than that: it waits at the
 * node until enough is free, or those that need little would always be before it.
 */
export function fitting(room: ReadonlyMap<string, number>, { resources }: Requirement): number {
  let most = Number.POSITIVE_INFINITY
  for (const [name, amount] of resources) {
    const left = room.get(name) ?? 0
    most = Math.min(most, left <= 0 ? 0 : Math.max(1, Math.floor(left / amount)))
  }
  return most
}

export function take(room: Map<string, number>, { resources }: Requirement, tasks: number): void {
  for (const [name, amount] of resources) room.set(name, (room.get(name) ?? 0) - amount * tasks)
}
