/**
 * Whose lease has run out, as far as one member can tell by itself.
 *
 * Not here: that it is ended, which is a command that others decide along with it (semaphore.ts).
 * No clock is compared with another one's: a lease has run out when this member has seen the same holder without a renewal
 * for so long. It counts only time that it was awake for, so a clock that jumps, or a pause, ends nothing.
 */
import type { Millis } from '../machine.ts'
import type { Holder, State } from './commands.ts'

/** More than a lease, because clocks may run at different speeds, and jump. */
const lateness = 1.5
/** A longer time between two looks is not counted: this member may have slept, or its clock have jumped. */
const lookMaxMs = 1_000
/** The same as a part of a lease, so that a short one bears some of these. */
const looksPerLease = 20

interface Seen {
  readonly renewals: number
  readonly leaseMs: Millis
  awakeMs: Millis
}

export class Leases {
  #seen = new Map<string, Seen>()
  #lookedAt: Millis | undefined

  /** These hold it now. */
  look(state: State, now: Millis): void {
    const passed = this.#lookedAt === undefined ? 0 : Math.max(0, now - this.#lookedAt)
    this.#lookedAt = now
    for (const seen of this.#seen.values()) seen.awakeMs += Math.min(passed, betweenLooks(seen.leaseMs))
    const before = this.#seen
    this.#seen = new Map()
    if (state.kind !== 'semaphore') return
    for (const { lease, renewals, leaseMs } of state.holders) {
      const old = before.get(lease)
      this.#seen.set(lease, old?.renewals === renewals ? old : { renewals, leaseMs, awakeMs: 0 })
    }
  }

  over(holders: readonly Holder[]): Holder[] {
    return holders.filter(({ lease, renewals }) => {
      const seen = this.#seen.get(lease)
      return seen?.renewals === renewals && seen.awakeMs > seen.leaseMs * lateness
    })
  }

  /** When to look next, while somebody waits for what they hold. */
  wakeAt(now: Millis): Millis | undefined {
    if (this.#seen.size === 0) return undefined
    const soon = [...this.#seen.values()].map(({ leaseMs, awakeMs }) =>
      Math.min(betweenLooks(leaseMs), leaseMs * lateness - awakeMs + 1)
    )
    return now + Math.max(10, Math.min(...soon))
  }
}

const betweenLooks = (leaseMs: Millis): Millis => Math.min(lookMaxMs, leaseMs / looksPerLease)
