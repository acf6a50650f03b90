/**
 * Power that fails at the very moment at which a client hears that work is accepted, or gets results: whatever it was told must
 * be on enough disks by then.
 *
 * Not here: what is counted at each such moment, in every world (durable.ts), and power that fails at any other (acts.ts).
 */
import type { Random } from '../../src/random.ts'
import type { Act, Plan } from './plan.ts'

export interface Blackout {
  /** Words of this kind until it happens. */
  readonly after: number
  readonly word: 'accepted' | 'results'
  readonly act: Act
}

export function drawBlackout(random: Random): Partial<Plan> {
  if (!random.chance(0.12)) return {}
  const after = 1 + random.below(8)
  const word = random.chance(0.5) ? 'accepted' : 'results'
  const backAfter = 50 + random.next() * 3_000
  const act: Act = { kind: 'power-cut', disk: 'synced', backAfter, spread: random.next() * 2_000 }
  return { blackout: { after, word, act } }
}
