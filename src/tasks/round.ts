/**
 * One round of grants: what waits at an owner goes to those who asked, by priority, then fairly between submitters; of one
 * submitter the most deeply nested first, since tasks wait for it; then by age.
 *
 * Not here: who asked for how much (standings.ts), who had how much (shares.ts), how large a grant is (routing/portions.ts).
 * Tasks that none of the askers may run are stepped over: they keep their place, and hold up nobody. Fair is what one
 * owner does; a submitter whose work lies with many owners may get more than one whose work lies with few.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Claim, nextGrant } from '../routing/portions.ts'
import { namesOf, type Requirement } from '../routing/requirement.ts'
import { type Send, send } from './effects.ts'
import type { Lead } from './lead.ts'
import type { Roomless } from './roomless.ts'
import type { Shares } from './shares.ts'
import type { Speeds } from './speeds.ts'
import type { Asks, Standings } from './standings.ts'
import type { Waiting } from './tidings.ts'

export interface RoundView {
  readonly self: PeerId
  readonly standings: Standings
  readonly shares: Shares
  readonly roomless: Roomless
  /** Of the functions whose outcomes came by here. */
  readonly speeds: Speeds
}

export class Round {
  readonly #view: RoundView
  readonly #now: Millis
  readonly #effects: Send[] = []
  /** Tasks that wait, by the text of what they require, and their shards in line. */
  readonly #waiting = new Map<string, { requires: Requirement; tasks: number; leads: Lead[] }>()
  /** Requirements of which no asker can take anything more, unless it is nested more deeply than this. */
  readonly #served = new Map<string, number>()
  /** Who cannot take any of what is left of a shard. */
  readonly #refused = new Map<Lead, Set<PeerId>>()
  /** Of the functions in line, the time of the one that takes least: what others count as until they are known. */
  #leastMs: Millis = Number.POSITIVE_INFINITY

  constructor(view: RoundView, now: Millis) {
    this.#view = view
    this.#now = now
  }

  grant(leads: Iterable<Lead>): Send[] {
    const line = [...leads].filter((lead) => lead.waiting(this.#now) > 0)
    // Stable: of equals, the order in which shards came here. A submitter's clock decides nothing.
    line.sort((a, b) => priorityOf(b) - priorityOf(a) || depthOf(b) - depthOf(a))
    for (const lead of line) this.#count(lead)
    if (this.#view.standings.size === 0) return []
    for (let from = 0; from < line.length; ) {
      const first = line[from] as Lead
      const next = line.findIndex((lead, at) => at > from && priorityOf(lead) !== priorityOf(first))
      const to = next < 0 ? line.length : next
      this.#level(line.slice(from, to))
      from = to
    }
    for (const asks of this.#view.standings.asks()) this.#tell(asks)
    return this.#effects
  }

  /** What is left that the node may run: who asks for nothing hears of it, and who asks in vain. */
  #tell({ peer, credit, depth, room }: Asks): void {
    const { tidings } = this.#view.standings
    const isVain = (needs: readonly string[]): boolean =>
      credit > 0 && needs.every((name) => (room.get(name) ?? 0) > 0)
    for (const isNeedy of [false, true]) {
      // Of many that all ask for more, and were told of nothing, none has to be compared with all that waits.
      if (!isNeedy && credit > 0 && !tidings.isTold(peer)) continue
      const most = this.#mostUrgent(peer, depth, isNeedy)
      this.#effects.push(...tidings.tell(peer, isNeedy, most, isVain, this.#now))
    }
  }

  #mostUrgent(peer: PeerId, depth: number, isNeedy: boolean): Waiting | undefined {
    let most: Waiting | undefined
    for (const { requires, tasks, leads } of this.#waiting.values()) {
      if (tasks <= 0 || requires.resources.length > 0 !== isNeedy) continue
      if (requires.text !== '' && !this.#view.standings.canRun(peer, requires)) continue
      const first = leads.find((lead) => depthOf(lead) >= depth && lead.waiting(this.#now) > 0)
      if (first !== undefined && priorityOf(first) > (most?.priority ?? Number.NEGATIVE_INFINITY))
        most = { priority: priorityOf(first), needs: namesOf(requires) }
    }
    return most
  }

  /** Tasks that nobody who asks can take now. */
  get left(): number {
    let sum = 0
    for (const { tasks } of this.#waiting.values()) sum += tasks
    return sum
  }

  /** Shards of one priority. */
  #level(leads: readonly Lead[]): void {
    const { shares } = this.#view
    const lines = new Map<string, Lead[]>()
    for (const lead of leads) {
      const { submitter } = lead.record.header
      const line = lines.get(submitter)
      if (line === undefined) lines.set(submitter, [lead])
      else line.push(lead)
    }
    while (lines.size > 0) {
      const submitter = shares.next(lines.keys()) ?? ''
      const line = lines.get(submitter) ?? []
      const lead = line[0]
      const tasks = lead === undefined ? 0 : this.#serve(lead, lines.size)
      if (lead !== undefined && tasks > 0) shares.charge(submitter, tasks * this.#costOf(lead))
      if (lead === undefined || tasks === 0 || lead.waiting(this.#now) === 0) line.shift()
      if (line.length === 0) lines.delete(submitter)
    }
  }

  /** One grant of this shard, to whoever can take most of it; 0 if nobody can. */
  #serve(lead: Lead, rivals: number): number {
    const { requires, depth } = lead.record.header
    const { self, standings } = this.#view
    if (depth <= (this.#served.get(requires.text) ?? -1)) return 0
    const resting = this.#view.roomless.resting(lead.record.header, this.#now)
    const refused = this.#refused.get(lead) ?? new Set(resting)
    // A task that was tried at several nodes goes to one where it was not. If all of those are busy, to one where it was.
    const tried = new Set<PeerId>()
    for (let isUntried = lead.queue.tried.isWide; ; ) {
      const open = standings.open(lead).filter(({ peer }) => !refused.has(peer) && !tried.has(peer))
      const prefers = lead.locality?.preference(lead.queue, this.#now)
      const next = nextGrant(this.#waitingFor(requires), open, self, prefers)
      if (next === undefined && tried.size > 0) {
        isUntried = false
        tried.clear()
        continue
      }
      if (next === undefined) {
        // Nobody is left who could take of any shard like this.
        if (refused.size === 0 && requires.targets.length === 0) this.#served.set(requires.text, depth)
        return 0
      }
      const most = Math.min(next.tasks, shareOf(open, next.peer, rivals))
      // Who has not the data refuses only for now.
      const refusing = lead.locality === undefined ? refused.size : resting.size
      const elsewhere = standings.able(requires) > refusing + 1
      const { peer: to } = next
      const suited = isUntried ? (task: number): boolean => !lead.queue.tried.has(task, to) : undefined
      const made = lead.grant({ to, most, elsewhere, suited }, this.#now)
      if (made !== undefined) return this.#made(to, lead, made)
      if (isUntried) {
        tried.add(to)
        continue
      }
      refused.add(to)
      this.#refused.set(lead, refused)
    }
  }

  #made(peer: PeerId, lead: Lead, { tasks, effects }: { tasks: number; effects: readonly Send[] }): number {
    const { requires } = lead.record.header
    const { standings } = this.#view
    standings.granted(peer, tasks, requires, this.#now)
    const kind = this.#waiting.get(requires.text)
    if (kind !== undefined) kind.tasks -= tasks
    for (const { to, message } of effects) {
      if (message.kind !== 'grant') {
        this.#effects.push(send(to, message))
        continue
      }
      const waiting = this.#waitingAt(peer)
      standings.tidings.granted(peer, lead.record.header, waiting, this.#now)
      this.#effects.push(send(to, { ...message, waiting }))
    }
    return tasks
  }

  #count(lead: Lead): void {
    const { requires } = lead.record.header
    const kind = this.#waiting.get(requires.text) ?? { requires, tasks: 0, leads: [] }
    kind.tasks += lead.waiting(this.#now)
    kind.leads.push(lead)
    this.#waiting.set(requires.text, kind)
    this.#leastMs = Math.min(this.#leastMs, this.#view.speeds.of(lead.record.header))
  }

  #waitingFor({ text }: Requirement): number {
    return this.#waiting.get(text)?.tasks ?? 0
  }

  /** What waits here that this node may run. */
  #waitingAt(peer: PeerId): number {
    let sum = 0
    for (const { requires, tasks } of this.#waiting.values())
      if (tasks > 0 && (requires.text === '' || this.#view.standings.canRun(peer, requires))) sum += tasks
    return sum
  }

  /** What one of its tasks counts: milliseconds, as far as times are known. */
  #costOf({ record }: Lead): Millis {
    const taskMs = this.#view.speeds.of(record.header)
    if (Number.isFinite(taskMs)) return taskMs
    if (Number.isFinite(this.#leastMs)) return this.#leastMs
    // The clocks run by milliseconds since anything was measured.
    return Number.isFinite(this.#view.speeds.last) ? this.#view.speeds.last : 1
  }
}

/** While several submitters wait, none of them gets all that one node asks for. */
function shareOf(open: readonly Claim[], peer: PeerId, rivals: number): number {
  const credit = open.find((claim) => claim.peer === peer)?.credit ?? 0
  return Math.ceil(credit / rivals)
}

const priorityOf = ({ record }: Lead): number => record.header.priority
const depthOf = ({ record }: Lead): number => record.header.depth
