/**
 * Who is not there, or not willing, at the very moment when it matters: what a seed decides of that.
 *
 * Not here: accidents that happen at any time (plan.ts). Each is drawn from a stream of its own, and absent from most seeds.
 */
import type { Millis } from '../../src/machine.ts'
import type { Random } from '../../src/random.ts'
import type { Act, JobPlan } from './plan.ts'

/** Entries that take nothing more for a while, as when many clients submit at once. */
export function drawBusy(random: Random, troubleMs: Millis): { at: Millis; act: Act }[] {
  if (!random.chance(0.15)) return []
  return Array.from({ length: 1 + random.below(3) }, () => ({
    at: 500 + random.next() * troubleMs * 0.9,
    act: { kind: 'busy', pick: random.next(), lasts: 200 + random.next() * 5_000 }
  }))
}

export function drawDamage(random: Random, troubleMs: Millis): { at: Millis; act: Act }[] {
  if (!random.chance(0.3)) return []
  return Array.from({ length: 1 + random.below(3) }, () => ({
    at: 1_000 + random.next() * troubleMs * 0.9,
    act: { kind: 'damage', pick: random.next() }
  }))
}

/** Of one job: its client in the midst of its submission, or one of its keepers when it is released. */
export function drawAbsences(random: Random): Pick<JobPlan, 'keeperAwayMs' | 'vanishes'> {
  const isAway = random.chance(0.3)
  const keeperAwayMs = 500 + random.next() * 12_000
  const vanishes = random.chance(0.06)
    ? {
        after: random.next() * (random.chance(0.7) ? 40 : 1_500),
        withEntry: random.chance(0.4),
        readAfter: random.next() * 4_000
      }
    : undefined
  return { ...(isAway ? { keeperAwayMs } : {}), ...(vanishes === undefined ? {} : { vanishes }) }
}
