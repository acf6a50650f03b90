/**
 * One seed from its first event to its verdict.
 *
 * Not here: which seeds (main.ts), and in which process (worker.ts).
 * A seed that is run twice must leave the same trace: what is not deterministic could not be replayed.
 */
import { Violation } from './checkers.ts'
import { World, type WorldOptions } from './world.ts'

export interface Verdict {
  readonly seed: number
  /** The checker that found something; `assertion` for a machine's own `check()`, `error` for anything else that was thrown. */
  readonly checker?: string
  readonly message?: string
  readonly virtualMs: number
  readonly outcomes: number
  readonly runs: number
}

export function runSeed(seed: number, isTwice: boolean, options: WorldOptions = {}): Verdict {
  const traces: number[] = []
  let virtualMs = 0
  let outcomes = 0
  const so = (): Pick<Verdict, 'seed' | 'virtualMs' | 'outcomes' | 'runs'> => ({
    seed,
    virtualMs,
    outcomes,
    runs: traces.length
  })
  try {
    for (let again = 0; again < (isTwice ? 2 : 1); again++) {
      const world = new World(seed, options)
      try {
        traces.push(world.run())
      } finally {
        virtualMs += world.clock.now
        outcomes += world.checkers.outcomes
      }
    }
  } catch (error) {
    return { ...so(), ...reason(error) }
  }
  if (traces.length === 2 && traces[0] !== traces[1])
    return { ...so(), checker: 'deterministic', message: 'the same seed gave two traces' }
  return so()
}

function reason(error: unknown): { checker: string; message: string } {
  if (error instanceof Violation) return { checker: error.checker, message: error.message }
  if (!(error instanceof Error)) return { checker: 'error', message: String(error) }
  const isAssertion = error.message.startsWith('assertion failed')
  return { checker: isAssertion ? 'assertion' : 'error', message: error.stack ?? error.message }
}
