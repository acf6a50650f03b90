/**
 * What plans that are written by hand have in common: hosts with nothing special about them, and a network that does nothing odd.
 *
 * Not here: plans that are drawn from a seed (plan.ts), and the stories that are told (stories.ts).
 */
import type { Millis } from '../../src/machine.ts'
import { type Act, CALM, type HostPlan, type JobPlan, type Plan } from './plan.ts'

export const host = (name: string, slots = 1): HostPlan => ({
  name,
  slots,
  labels: [],
  resources: [],
  joinAt: 0,
  rate: 1,
  loopMs: 0
})

/** One client, nothing lost for good, and keepers that are replaced after 30 s. */
export function planOf(
  hosts: readonly HostPlan[],
  jobs: readonly JobPlan[],
  troubleMs: Millis,
  acts: readonly { at: Millis; act: Act }[] = []
): Plan {
  const rest = {
    weather: { ...CALM, jitterMs: 0 },
    replaceAfterMs: 30_000,
    disksToLose: 0,
    leavesBroken: false,
    areRivals: false
  }
  return { hosts, clients: 1, jobs, acts, troubleMs, ...rest }
}
