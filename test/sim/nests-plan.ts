/**
 * Which worlds have jobs within tasks, and how deep they lie.
 *
 * Not here: those jobs themselves (nested.ts).
 */
import type { Random } from '../../src/random.ts'
import type { JobPlan, Plan } from './plan.ts'

/** Depths of nested jobs in a plan. */
export const depthsMax = 3

/** In some meshes tasks wait for others, and jobs lie at any depth. */
export function drawNests(random: Random, jobs: readonly JobPlan[]): Partial<Plan> {
  if (!random.chance(0.25)) return {}
  const nested = jobs.map((job) => ({ ...job, depth: random.below(depthsMax) }))
  return { jobs: nested, nests: random.next() * (random.chance(0.3) ? 1 : 0.2) }
}

/** Two kinds of demands at most, so that most worlds have keeper lists that keep every promise. */
