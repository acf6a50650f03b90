/**
 * What others say to an owner of tasks of one shard, and which part of it that concerns.
 *
 * Not here: what follows from it (lead.ts), and what is said where nobody owns the shard (whereabouts.ts).
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Dealer } from './dealer.ts'
import type { Send } from './effects.ts'
import type { Lead } from './lead.ts'
import type { AboutTasks } from './whereabouts.ts'

interface Office {
  readonly dealer: Dealer
  readonly isUp: (peer: PeerId) => boolean
  readonly now: Millis
}

export function reported(lead: Lead, from: PeerId, message: AboutTasks, office: Office): Send[] {
  const { dealer, isUp, now } = office
  switch (message.kind) {
    case 'propose':
      return lead.propose(from, message.outcomes, now)
    case 'outcomes':
      dealer.ended(lead.record.header, message.outcomes)
      return lead.outcomes(from, message.outcomes, now)
    case 'cancel':
      return lead.cancel(now)
    case 'cancel-tasks':
      return lead.cancel(now, message.indexes)
    case 'holding':
      return isUp(from) ? lead.holding(from, message.indexes, message.attempt, now) : []
    case 'begun':
      lead.begun(from, message.indexes, message.attempt)
      return []
    case 'missing':
      dealer.standings.missed(from, lead.returned(from, message.indexes, 'missing'))
      return []
    default:
      lead.returned(from, message.indexes, message.isStarted ? 'handed-back' : 'unstarted', message.attempt)
      return []
  }
}
