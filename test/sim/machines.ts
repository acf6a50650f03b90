/**
 * Machines that differ, tasks that need certain ones, submitters that compete, and meshes that count as large: what a seed
 * decides of these.
 *
 * Not here: everything else that it decides (plan.ts). Drawn from a stream of its own, and absent from most seeds.
 * Every requirement can be met by some node that has engines; the world leaves one of them sound (world.ts).
 */
import type { Millis } from '../../src/machine.ts'
import type { Random } from '../../src/random.ts'
import { type Reach, usualReach } from '../../src/routing/links.ts'
import { matches, type Traits } from '../../src/routing/match.ts'
import { anywhere, type Requirement, type Requires, requirementOf } from '../../src/routing/requirement.ts'
import type { Act, HostPlan, JobPlan, Plan } from './plan.ts'

export function drawMachines(random: Random, plan: Plan): Plan {
  const isVaried = random.chance(0.3)
  const hosts = isVaried ? plan.hosts.map((host) => varied(random, host)) : plan.hosts
  const areRivals = random.chance(0.2)
  const jobs = plan.jobs.map((job, at) => ({
    ...job,
    submitter: `user${areRivals ? at % 2 : random.below(3)}`,
    requires: isVaried ? drawRequirement(random, hosts, job) : anywhere
  }))
  return areRivals ? rivals(random, { ...plan, hosts, jobs }) : { ...plan, hosts, jobs }
}

function varied(random: Random, host: HostPlan): HostPlan {
  return {
    ...host,
    labels: [
      ...(random.chance(0.5) ? [['gpu', random.pick(['a100', 'k80']) ?? ''] as const] : []),
      ['memory', String(16 << random.below(4))]
    ],
    resources: random.chance(0.6) ? [{ name: 'gpu', amount: 1 + random.below(2) }] : []
  }
}

const rules: readonly Requires[] = [
  { labels: { gpu: true } },
  { labels: { gpu: false } },
  { labels: { gpu: ['a100', 'h100'], memory: { '>=': 32 } } },
  { any: [{ labels: { gpu: 'k80' } }, { labels: { memory: 128 } }] },
  { not: { labels: { gpu: 'k80' } } },
  { resources: { gpu: 1 } },
  { resources: { gpu: 1 } },
  { resources: { gpu: 2 } },
  { labels: { memory: { '<': 100 } }, resources: { gpu: 1 } }
]

function drawRequirement(random: Random, hosts: readonly HostPlan[], job: JobPlan): Requirement {
  if (random.chance(0.4)) return anywhere
  const host = random.pick(hosts.filter(({ slots }) => slots > 0))
  const isTargeted = random.chance(0.2)
  const target = random.chance(0.5) ? host?.name : `${host?.name}/${random.below(host?.slots ?? 1)}`
  const rule = isTargeted && random.chance(0.5) ? {} : (random.pick(rules) ?? {})
  const drawn = requirementOf(rule, isTargeted && host !== undefined ? [target ?? ''] : [])
  const isMet = hosts.some((one) => matches(drawn, traitsOf(one)))
  // Now and then nobody has it: then only a timeout ends the wait.
  return isMet || (job.queueTimeoutMs > 0 && !job.atMostOnce) ? drawn : anywhere
}

export const traitsOf = ({ name, slots, labels, resources }: HostPlan): Traits => ({
  peer: name as Traits['peer'],
  slots,
  labels,
  resources,
  sources: []
})

/** All at about the same time, to the same nodes, with tasks that take the same. */
function rivals(random: Random, plan: Plan): Plan {
  const taskMs = random.pick([5, 20, 50]) ?? 20
  const jobs = Array.from({ length: 4 }, (_, at) => {
    const job = plan.jobs[at % plan.jobs.length] as JobPlan
    return {
      ...job,
      at: 1_000 + random.next() * 300,
      client: at % plan.clients,
      taskMs,
      shards: Array.from({ length: 1 + random.below(3) }, () => 20 + random.below(40)),
      isOpen: false,
      timeoutMs: 0,
      atMostOnce: false,
      submitter: `user${at % 2}`,
      requires: anywhere,
      needs: undefined,
      depth: 0
    }
  })
  return { ...plan, jobs, nests: 0, areRivals: true }
}

/** From a stream of their own: other accidents stay as they were. */
export function drawUses(random: Random, troubleMs: Millis): { at: Millis; act: Act }[] {
  if (!random.chance(0.25)) return []
  return Array.from({ length: 1 + random.below(5) }, () => ({
    at: 500 + random.next() * troubleMs * 0.9,
    act: {
      kind: 'use',
      pick: random.next(),
      lasts: 100 + random.next() * 10_000,
      handBackAfter: random.next() * 6_000,
      stops: random.chance(0.5)
    }
  }))
}

/** Half of the meshes behave as if they were large ones, and hold few streams, which soon count as idle. */
export function drawReach(random: Random): Reach {
  if (random.chance(0.5)) return usualReach
  const linksMin = 1 + random.below(3)
  return {
    closeMax: random.below(4),
    linksMin,
    linksMax: linksMin + random.below(3),
    idleAfterMs: 300 + random.next() * 5_000,
    askAllMax: random.chance(0.5) ? usualReach.askAllMax : random.below(4),
    askMax: 1 + random.below(3)
  }
}
