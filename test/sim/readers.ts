/**
 * Readers of a job at the client that submits it: when each begins, and whether it leaves before the end.
 *
 * Not here: what they do then (client.ts).
 */
import type { Millis } from '../../src/machine.ts'
import type { Random } from '../../src/random.ts'

export interface ReaderPlan {
  readonly begins: Millis
  /** It may leave before it has begun, and reads then all the same. */
  readonly leaves: Millis | undefined
}

export const drawReaders = (random: Random): readonly ReaderPlan[] =>
  Array.from({ length: random.chance(0.3) ? 1 + random.below(3) : 0 }, () => ({
    begins: random.chance(0.5) ? 0 : random.next() * 1_500,
    leaves: random.chance(0.3) ? random.next() * 4_000 : undefined
  }))
