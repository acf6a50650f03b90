/**
 * An owner's dealings with those who ask for work: their claims, what each submitter has had, and rounds of grants.
 *
 * Not here: what a round decides (round.ts), and the shards (lead.ts).
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Batch } from './batch.ts'
import type { Send } from './effects.ts'
import type { Lead } from './lead.ts'
import type { LocalityView } from './locality.ts'
import type { JobHeader, TaskMessageOf } from './messages.ts'
import { type HoldersView, Nearby } from './nearby.ts'
import { Roomless } from './roomless.ts'
import { Round } from './round.ts'
import { Shares } from './shares.ts'
import { Speeds } from './speeds.ts'
import { Standings, type StandingsView } from './standings.ts'
import type { Able } from './verdicts.ts'
import type { Waste } from './waste.ts'

/** What an owner shares with all that it owns. */
export interface LeadView extends LocalityView, Able {
  readonly waste: Waste
  readonly roomless: Roomless
}

export class Dealer implements LeadView {
  readonly self: PeerId
  readonly standings: Standings
  readonly shares = new Shares()
  readonly speeds = new Speeds()
  readonly nearby: Nearby
  readonly member: LeadView['member']
  readonly able: LeadView['able'] = (requires) => this.standings.able(requires)
  readonly roomless = new Roomless((requires, except) => this.standings.able(requires, except))
  readonly waste: Waste = { lost: 0, dropped: 0 }
  /** Tasks that the last round left, because nobody who asks can take them. */
  left = 0

  constructor(view: StandingsView & HoldersView & { readonly self: PeerId }) {
    this.self = view.self
    this.standings = new Standings(view)
    this.nearby = new Nearby(view)
    this.member = view.member
  }

  forget(peer: PeerId): void {
    this.standings.forget(peer)
    this.nearby.forget(peer)
  }

  claim(from: PeerId, claim: TaskMessageOf<'claim'>, now: Millis): void {
    this.standings.claim(from, claim, now)
  }

  /** One task of a batch tells enough. */
  ended(header: JobHeader, outcomes: Batch): void {
    this.speeds.sample(header, outcomes)
  }

  grant(leads: Iterable<Lead>, now: Millis): Send[] {
    const round = new Round(this, now)
    const effects = round.grant(leads)
    this.left = round.left
    return effects
  }
}
