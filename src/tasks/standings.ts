/**
 * Who asked this node for work, and what they get of what waits.
 *
 * Not here: what waits (lead.ts), who deserves how much (routing/match.ts), and the asking side (claims.ts).
 * A claim says what had been received when it was sent, so grants on their way count against what it asks for.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Claim, nextGrant } from '../routing/match.ts'
import { type Send, send } from './effects.ts'
import type { Lead } from './lead.ts'
import type { TaskMessageOf } from './messages.ts'

/** A grant that was not received by then is lost. */
const grantArrivesMs = 2_000

interface Standing {
  credit: number
  granted: number
  grantedAt: Millis
}

export class Standings {
  readonly #self: PeerId
  readonly #isUp: (peer: PeerId) => boolean
  readonly #claims = new Map<PeerId, Standing>()

  constructor(self: PeerId, isUp: (peer: PeerId) => boolean) {
    this.#self = self
    this.#isUp = isUp
  }

  /** True if somebody asks and would be granted at once. */
  get hasCredit(): boolean {
    return this.#open(new Set()).length > 0
  }

  forget(peer: PeerId): void {
    this.#claims.delete(peer)
  }

  claim(from: PeerId, { tasks, received }: TaskMessageOf<'claim'>, now: Millis): void {
    const standing = this.#claims.get(from) ?? { credit: 0, granted: 0, grantedAt: now }
    // The two sides differ for good if one forgot, or a grant was lost with a stream: then the peer is right.
    const isLost = received < standing.granted && now - standing.grantedAt > grantArrivesMs
    if (received > standing.granted || isLost) standing.granted = received
    standing.credit = tasks - (standing.granted - received)
    this.#claims.set(from, standing)
  }

  /** The peer says that so many granted tasks never arrived. */
  missed(from: PeerId, tasks: number): void {
    const standing = this.#claims.get(from)
    if (standing !== undefined) standing.granted = Math.max(0, standing.granted - tasks)
  }

  /** Grants what waits to who asks, the most urgent first. */
  grant(leads: Iterable<Lead>, now: Millis): Send[] {
    const line = [...leads].filter((lead) => lead.waiting(now) > 0)
    if (line.length === 0 || this.#claims.size === 0) return []
    line.sort(byUrgency)
    let waiting = line.reduce((sum, lead) => sum + lead.waiting(now), 0)
    const effects: Send[] = []
    const idle = new Set<PeerId>()
    const members = [...this.#claims.keys()].filter(this.#isUp).length
    for (let at = 0; at < line.length; ) {
      const next = nextGrant(waiting, this.#open(idle), this.#self)
      if (next === undefined && idle.size === 0) break
      const lead = line[at] as Lead
      const elsewhere = members > idle.size + 1
      const made = next && lead.grant(next.peer, next.tasks, elsewhere, now)
      if (next !== undefined && made !== undefined) {
        const standing = this.#claims.get(next.peer) as Standing
        standing.credit -= made.tasks
        standing.granted += made.tasks
        standing.grantedAt = now
        waiting -= made.tasks
        for (const { to, message } of made.effects)
          effects.push(send(to, message.kind === 'grant' ? { ...message, waiting } : message))
      } else if (next !== undefined) idle.add(next.peer)
      // What waits in a shard may wait for other nodes than those that ask; the next shard is for all of them again.
      if (lead.waiting(now) > 0 && next !== undefined) continue
      idle.clear()
      at++
    }
    return effects
  }

  #open(idle: ReadonlySet<PeerId>): Claim[] {
    const open: Claim[] = []
    // Who claims before it is known as a member, or is none, would not be missed if it went with its grants.
    for (const [peer, { credit }] of this.#claims)
      if (credit > 0 && !idle.has(peer) && this.#isUp(peer)) open.push({ peer, credit })
    return open
  }
}

/** Priority; sorted stably, then the order in which shards came here. A submitter's clock decides nothing. */
function byUrgency(a: Lead, b: Lead): number {
  return b.record.header.priority - a.record.header.priority
}
