/**
 * Whether this machine is free to work for the mesh, by what its owner allows: when nobody uses it, or at some hours.
 *
 * Not here: how that is seen (probe.ts), and what a node does then (tasks/runner.ts).
 * An owner who comes back wants the machine now, and may be gone again in a minute: so what runs first stands still, and is
 * given back when it has stood for too long.
 */
import { ShoalError } from '../errors.ts'
import type { Millis } from '../machine.ts'
import type { Availability, Hindrance } from '../tasks/effects.ts'

export interface Idleness {
  /** Milliseconds without a key, a movement or a line at a terminal after which nobody uses the machine. Default 900,000. */
  readonly after: Millis
  /** Processors that other programs keep busy, below which nobody uses it. Default 0.3. */
  readonly load: number
  /** Milliseconds that work stands still while somebody uses it, until it is given back. Default 600,000. */
  readonly handBackAfter: Millis
  /** Milliseconds between two looks. Default 1,000. */
  readonly lookEvery: Millis
}

export const defaultIdleness: Idleness = {
  after: 15 * 60_000,
  load: 0.3,
  handBackAfter: 10 * 60_000,
  lookEvery: 1_000
}

/** Minutes of the day; if it ends before it begins, it goes over midnight. */
export interface Hours {
  readonly from: number
  readonly to: number
}

/** Reads `19:00-07:00`. Throws SHOAL_BAD_OPTION. */
export function parseHours(text: string): Hours {
  const [, ...parts] = /^(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)$/.exec(text) ?? []
  const [h1 = 99, m1 = 99, h2 = 99, m2 = 99] = parts.map(Number)
  const from = h1 * 60 + m1
  const to = h2 * 60 + m2
  const isTime = (hour: number, minute: number): boolean => minute < 60 && hour * 60 + minute <= 24 * 60
  if (!isTime(h1, m1) || !isTime(h2, m2) || from === to)
    throw new ShoalError('SHOAL_BAD_OPTION', `\`hours\` is ${text}; it is like 19:00-07:00, in local time`)
  return { from, to }
}

export const isWithin = ({ from, to }: Hours, minute: number): boolean =>
  from < to ? minute >= from && minute < to : minute >= from || minute < to

/** What was seen in one look. */
export interface Sighting {
  readonly idleMs: Millis
  readonly load: number
  /** Of the day, in local time. */
  readonly minute: number
}

export interface PresenceOptions {
  readonly when: 'always' | 'idle'
  readonly hours: Hours | undefined
  readonly idle: Idleness
}

export class Presence {
  readonly #options: PresenceOptions
  /** Since when it is not free. */
  #since: Millis | undefined
  /** Why it is not, as of the last step. */
  hindrance: Hindrance | undefined

  constructor(options: PresenceOptions) {
    this.#options = options
  }

  /** `undefined`: nothing could be seen, which counts as if somebody were there. */
  step(sighting: Sighting | undefined, now: Millis): Availability {
    this.hindrance = sighting === undefined ? 'unseen' : this.#hindrance(sighting)
    if (this.hindrance === undefined) {
      this.#since = undefined
      return 'open'
    }
    this.#since ??= now
    return now - this.#since < this.#options.idle.handBackAfter ? 'paused' : 'closed'
  }

  #hindrance({ idleMs, load, minute }: Sighting): Hindrance | undefined {
    const { when, hours, idle } = this.#options
    if (hours !== undefined && !isWithin(hours, minute)) return 'outside-hours'
    return when === 'always' || (idleMs >= idle.after && load < idle.load) ? undefined : 'in-use'
  }
}
