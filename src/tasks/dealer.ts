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
import type { JobHeader, TaskMessageOf } from './messages.ts'
import { Round } from './round.ts'
import { Shares } from './shares.ts'
import { Speeds } from './speeds.ts'
import { Standings, type StandingsView } from './standings.ts'

export class Dealer {
  readonly self: PeerId
  readonly standings: Standings
  readonly shares = new Shares()
  readonly speeds = new Speeds()
  /** Tasks that the last round left, because nobody who asks can take them. */
  left = 0

  constructor(view: StandingsView & { readonly self: PeerId }) {
    this.self = view.self
    this.standings = new Standings(view)
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
