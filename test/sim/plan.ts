/**
 * All that a seed decides beforehand: the hosts, the weather, the accidents with their times, and the work.
 *
 * Not here: how any of it is done (world.ts, acts.ts). Every fault has a range of its own and is absent from many seeds, so
 * that each is also seen without the others.
 * A plan is data: a story that is told to people (golden.ts) is a plan written by hand.
 */
import type { Millis } from '../../src/machine.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import type { Reach } from '../../src/routing/links.ts'
import type { Amount } from '../../src/routing/match.ts'
import { anywhere, type Requirement } from '../../src/routing/requirement.ts'
import { type Blackout, drawBlackout } from './blackout.ts'
import { type CellsPlan, drawCells } from './cells-plan.ts'
import { drawAbsences, drawBusy, drawDamage } from './encounters.ts'
import { drawNeeds, type NeedsPlan } from './graph.ts'
import { drawMachines, drawReach, drawUses } from './machines.ts'
import { drawNests } from './nests-plan.ts'
import { drawReaders, type ReaderPlan } from './readers.ts'

export interface HostPlan {
  readonly name: string
  readonly slots: number
  readonly labels: readonly (readonly [string, string])[]
  readonly resources: readonly Amount[]
  readonly joinAt: Millis
  /** Milliseconds of its clock for one of the world. */
  readonly rate: number
  /** Its event loop needs so long for everything that arrives. */
  readonly loopMs: Millis
}

/** What may go wrong at any time: probabilities, unless a name says otherwise. */
export interface Weather {
  readonly loss: number
  readonly duplication: number
  /** Of a frame that is up to `delayMs` late. */
  readonly delay: number
  readonly delayMs: Millis
  /** As on TCP: frames of one stream arrive once and in order, or not at all. */
  readonly isOrdered: boolean
  /** Usual time on the way, at most; more than between two frames reorders them. */
  readonly jitterMs: Millis
  readonly slowDisk: number
  readonly slowDiskMs: Millis
  readonly syncError: number
  readonly taskCrash: number
  readonly taskMemory: number
  readonly taskHang: number
  readonly taskTwice: number
  readonly taskFailure: number
}

/** What is left of a disk: everything written, the synced part and some of the rest, the synced part, or nothing. */
export type DiskFate = 'whole' | 'torn' | 'synced' | 'empty' | 'flipped'

/** In [0, 1), among those to whom it can happen; or a name. */
export type Pick = number | string

/** An accident. */
export type Act =
  | { kind: 'crash'; pick: Pick; disk: DiskFate; isSilent: boolean; backAfter: Millis | undefined }
  | { kind: 'power-cut'; disk: DiskFate; backAfter: Millis; spread: Millis }
  /** In good order: first what runs may end, then it is given back. */
  | { kind: 'leave'; pick: Pick; patience: Millis; backAfter: Millis | undefined }
  | { kind: 'storm'; share: number; backAfter: Millis; isSilent: boolean }
  | { kind: 'part'; seed: number; isOneWay: boolean; lasts: Millis }
  | { kind: 'split'; side: readonly string[]; lasts: Millis }
  /** An owner is alone until its place is being given away; then whoever gives it away is alone with those who are new. */
  | { kind: 'ambush'; lasts: Millis }
  | { kind: 'flap'; pick: Pick; times: number; everyMs: Millis }
  | { kind: 'clog'; seed: number; links: number; everyMs: Millis }
  | { kind: 'pause'; pick: Pick; lasts: Millis }
  | { kind: 'clock'; pick: Pick; step: Millis }
  | { kind: 'full-disk'; pick: Pick }
  /** Somebody uses the machine; it is open for work again when that ends. `stops`: what runs there stands still. */
  | { kind: 'use'; pick: Pick; lasts: Millis; handBackAfter: Millis; stops: boolean }
  /** It takes no more submissions. */
  | { kind: 'busy'; pick: Pick; lasts: Millis }
  | { kind: 'client-dies'; pick: Pick }
  | { kind: 'client-leaves'; pick: Pick; backAfter: Millis }
  /** One of the nodes that have some data finds that what it has is damaged. */
  | { kind: 'damage'; pick: number }

export interface JobPlan {
  readonly at: Millis
  readonly client: number
  readonly taskMs: Millis
  readonly shards: readonly number[]
  readonly isOpen: boolean
  readonly retries: number
  readonly priority: number
  readonly timeoutMs: Millis
  readonly copies: { wanted: number; least: number }
  readonly cancelAfter: Millis | undefined
  /** Single tasks that its client cancels. */
  readonly cancels?: readonly { readonly task: number; readonly after: Millis }[]
  /** Readers of it where it is submitted. */
  readonly readers?: readonly ReaderPlan[]
  readonly queueTimeoutMs: Millis
  readonly retentionMs: Millis
  readonly atMostOnce: boolean
  /** Pieces of data that its inputs name. */
  readonly data?: number
  readonly submitter: string
  readonly requires: Requirement
  readonly needs: NeedsPlan | undefined
  /** As if so many tasks were around it: its tasks may wait for others, and run in the slots of those that wait. */
  readonly depth?: number
  /** Its client lets the mesh forget it so long after it is complete. */
  readonly releaseAfter: Millis | undefined
  /** Just before, one of its keepers crashes for so long. */
  readonly keeperAwayMs?: Millis
  readonly vanishes?: Vanishing
}

/** Its client dies while it submits the job, perhaps with its entry, and somebody reads the job elsewhere. */
export interface Vanishing {
  readonly after: Millis
  readonly withEntry: boolean
  readonly readAfter: Millis
}

export interface Plan {
  readonly hosts: readonly HostPlan[]
  readonly clients: number
  readonly weather: Weather
  readonly acts: readonly { at: Millis; act: Act }[]
  readonly jobs: readonly JobPlan[]
  /** How long things go wrong. */
  readonly troubleMs: Millis
  /** How soon a keeper that is down is replaced: often within the time of trouble. */
  readonly replaceAfterMs: Millis
  /** Disks that may be lost for good without losing anything that was acknowledged. */
  readonly disksToLose: number
  /** Whether some nodes stay broken when the others are healed. */
  readonly leavesBroken: boolean
  /** Two submitters whose tasks are alike and more than the nodes can take at once. */
  readonly areRivals: boolean
  /** Of a task, that it waits for jobs of its own in the middle. */
  readonly nests?: number
  /** Clients that use locks, variables and the like. */
  readonly cells?: CellsPlan
  /** From how many members on the mesh counts as large. */
  readonly reach?: Reach
  readonly blackout?: Blackout
}

/** A job of one task, with nothing special about it. */
export const PLAIN_JOB: JobPlan = {
  at: 0,
  client: 0,
  taskMs: 1,
  shards: [1],
  isOpen: false,
  retries: 0,
  priority: 0,
  timeoutMs: 0,
  copies: { wanted: 3, least: 3 },
  cancelAfter: undefined,
  queueTimeoutMs: 0,
  retentionMs: 0,
  atMostOnce: false,
  submitter: '',
  requires: anywhere,
  needs: undefined,
  releaseAfter: undefined
}

export const CALM: Weather = {
  loss: 0,
  duplication: 0,
  delay: 0,
  delayMs: 0,
  isOrdered: true,
  jitterMs: 2,
  slowDisk: 0,
  slowDiskMs: 0,
  syncError: 0,
  taskCrash: 0,
  taskMemory: 0,
  taskHang: 0,
  taskTwice: 0,
  taskFailure: 0
}

/** The part of the seeds with at least four nodes in which keepers are changed by two at once. */
const ambushes = 0.12

export function drawPlan(seed: number): Plan {
  const random = seededRandom(seed).fork('plan')
  const some = (p: number, most: number): number => (random.chance(p) ? random.next() * most : 0)
  const troubleMs = 20_000
  const count = random.chance(0.15) ? 1 + random.below(2) : 3 + random.below(random.chance(0.3) ? 7 : 4)
  const isDrifting = random.chance(0.3)
  const isSlow = random.chance(0.15)
  const isStaggered = random.chance(0.2)
  const hosts = Array.from({ length: count }, (_, i) => ({
    name: `peer${'ABCDEFGHJ'[i]}`,
    slots: i === 0 ? 2 : random.below(3),
    labels: [],
    resources: [],
    joinAt: random.next() * (isStaggered && i > 0 ? troubleMs / 2 : 100),
    rate: isDrifting ? 0.9 + random.next() * 0.2 : 1,
    loopMs: isSlow && random.chance(0.4) ? random.next() * 20 : 0
  }))
  const isOrdered = random.chance(0.5)
  const weather: Weather = {
    loss: some(0.4, 0.1),
    duplication: isOrdered ? 0 : some(0.6, 0.2),
    delay: some(0.4, 0.1),
    delayMs: random.chance(0.3) ? 8_000 : 2_000,
    isOrdered,
    jitterMs: random.chance(0.2) ? 2 + random.next() * 100 : 2,
    slowDisk: some(0.3, 0.4),
    slowDiskMs: 20 + random.next() * 800,
    syncError: some(0.1, 0.002),
    taskCrash: some(0.25, 0.03),
    taskMemory: some(0.15, 0.02),
    taskHang: some(0.15, 0.02),
    taskTwice: some(0.15, 0.1),
    taskFailure: some(0.3, 0.1)
  }
  const copies = drawCopies(random, count)
  const clients = 1 + random.below(3)
  const jobs: JobPlan[] = Array.from({ length: 1 + random.below(6) }, (_, i) => ({
    ...drawJob(random, troubleMs, clients, copies),
    data: drawData(random.fork(`data${i}`)),
    cancels: drawCancels(random.fork(`cancels${i}`)),
    readers: drawReaders(random.fork(`readers${i}`))
  }))
  const others = seededRandom(seed).fork('ambush')
  const ambush = count >= 4 && others.chance(ambushes) ? drawAmbush(others, clients) : undefined
  if (ambush !== undefined) jobs.push(ambush.job)
  const kept = ambush === undefined ? copies : [...copies, ambush.job.copies]
  const least = Math.min(...kept.map((one) => one.least))
  const needing = seededRandom(seed).fork('needs')
  const absences = seededRandom(seed).fork('absences')
  return drawMachines(seededRandom(seed).fork('machines'), {
    hosts,
    clients,
    weather,
    acts: [
      ...drawActs(random, troubleMs),
      ...(ambush?.acts ?? []),
      ...drawUses(seededRandom(seed).fork('uses'), troubleMs),
      ...drawBusy(seededRandom(seed).fork('busy'), troubleMs),
      ...drawDamage(seededRandom(seed).fork('damage'), troubleMs)
    ],
    jobs: jobs.map((job) => ({ ...job, needs: drawNeeds(needing), ...drawAbsences(absences) })),
    troubleMs,
    replaceAfterMs: ambush?.replaceAfterMs ?? (random.chance(0.7) ? 500 + random.next() * 5_000 : 30_000),
    disksToLose: least < 3 ? 0 : Math.floor((least - 1) / 2),
    leavesBroken: random.chance(0.4),
    areRivals: false,
    reach: drawReach(seededRandom(seed).fork('reach')),
    ...drawCells(seededRandom(seed).fork('cells')),
    ...drawBlackout(seededRandom(seed).fork('blackout')),
    ...drawNests(seededRandom(seed).fork('nests'), jobs)
  })
}

function drawCopies(random: Random, nodes: number): { wanted: number; least: number }[] {
  if (nodes < 3) return [{ wanted: nodes, least: random.chance(0.5) ? nodes : 1 }]
  if (random.chance(0.15)) {
    const wanted = 1 + random.below(nodes)
    return [{ wanted, least: 1 + random.below(wanted) }]
  }
  const all = [{ wanted: 3, least: 3 }]
  if (nodes >= 5 && random.chance(0.4)) all.push({ wanted: 5, least: random.chance(0.5) ? 5 : 3 })
  if (nodes >= 4 && random.chance(0.2)) all.push({ wanted: 4, least: 3 })
  return all
}

function drawJob(random: Random, troubleMs: Millis, clients: number, copies: JobPlan['copies'][]): JobPlan {
  const taskMs = [0.05, 1, 20, 200, 1_000][random.below(random.chance(0.2) ? 5 : 4)] ?? 1
  const most = taskMs > 100 ? 8 : taskMs > 10 ? 12 : 40
  const isHurried = random.chance(0.2)
  return {
    at: 600 + random.next() * (troubleMs - 2_000),
    client: random.below(clients),
    taskMs,
    shards: Array.from({ length: 1 + random.below(6) }, () => 1 + random.below(most)),
    isOpen: random.chance(0.3),
    retries: random.below(3),
    priority: random.chance(0.7) ? 0 : random.below(3),
    timeoutMs: isHurried ? Math.ceil(taskMs * (2 + random.next() * 4) + 20) : 0,
    copies: random.pick(copies) ?? { wanted: 3, least: 3 },
    cancelAfter: random.chance(0.12) ? random.next() * 3_000 : undefined,
    queueTimeoutMs: random.chance(0.08) ? Math.ceil(100 + random.next() * 8_000) : 0,
    retentionMs: random.chance(0.08) ? Math.ceil(random.next() * (random.chance(0.5) ? 5_000 : 60_000)) : 0,
    atMostOnce: random.chance(0.2),
    submitter: '',
    requires: anywhere,
    needs: undefined,
    releaseAfter: random.chance(0.25) ? random.next() * 3_000 : undefined
  }
}

/**
 * Two who bring a shard to other keepers at the same time, and believe in different lists: rare by chance. There is work for
 * long enough that each of them has something to say, and its owner is cut off soon after it begins.
 */
function drawAmbush(
  random: Random,
  clients: number
): { job: JobPlan; acts: Plan['acts']; replaceAfterMs: Millis } {
  const at = 600 + random.next() * 2_000
  const drawn = drawJob(random, 3_000, clients, [{ wanted: 3, least: 3 }])
  const long = { taskMs: 300 + random.next() * 700, shards: [12 + random.below(20)], isOpen: false }
  const undisturbed = { timeoutMs: 0, queueTimeoutMs: 0, cancelAfter: undefined, atMostOnce: false }
  return {
    job: { ...drawn, at, ...long, ...undisturbed },
    acts: [
      {
        at: at + 300 + random.next() * 1_500,
        act: { kind: 'ambush', lasts: 4_000 + random.next() * 8_000 }
      }
    ],
    replaceAfterMs: 500 + random.next() * 1_000
  }
}

/** A stream of its own: what the rest of the plan draws is as it was. */
const drawData = (random: Random): number => (random.chance(0.3) ? 1 + random.below(4) : 0)

const drawCancels = (random: Random): NonNullable<JobPlan['cancels']> =>
  Array.from({ length: random.chance(0.3) ? 1 + random.below(5) : 0 }, () => ({
    task: random.below(random.chance(0.5) ? 3 : 40),
    after: random.next() * 4_000
  }))

function drawActs(random: Random, troubleMs: Millis): { at: Millis; act: Act }[] {
  const acts: { at: Millis; act: Act }[] = []
  const plan = (p: number, most: number, draw: () => Act): void => {
    if (!random.chance(p)) return
    const times = 1 + random.below(most)
    for (let i = 0; i < times; i++) acts.push({ at: 500 + random.next() * troubleMs * 0.9, act: draw() })
  }
  plan(0.65, 6, () => ({
    kind: 'crash',
    pick: random.next(),
    disk: drawFate(random),
    isSilent: random.chance(0.3),
    backAfter: random.chance(0.8) ? 50 + random.next() * 8_000 : undefined
  }))
  plan(0.15, 2, () => ({
    kind: 'power-cut',
    disk: random.pick(['whole', 'torn', 'synced'] as const) ?? 'torn',
    backAfter: 50 + random.next() * 4_000,
    spread: random.next() * 3_000
  }))
  plan(0.15, 3, () => ({
    kind: 'storm',
    share: 0.3 + random.next() * 0.7,
    backAfter: random.next() * 3_000,
    isSilent: random.chance(0.3)
  }))
  plan(0.3, 2, () => ({
    kind: 'leave',
    pick: random.next(),
    patience: random.next() * 5_000,
    backAfter: random.chance(0.6) ? 1_500 + random.next() * 6_000 : undefined
  }))
  plan(0.4, 3, () => ({
    kind: 'part',
    seed: random.below(1e9),
    isOneWay: random.chance(0.3),
    lasts: 500 + random.next() * 9_000
  }))
  plan(0.2, 3, () => ({
    kind: 'flap',
    pick: random.next(),
    times: 2 + random.below(8),
    everyMs: 50 + random.next() * 1_500
  }))
  plan(0.2, 2, () => ({
    kind: 'clog',
    seed: random.below(1e9),
    links: 2 + random.below(8),
    everyMs: 50 + random.next() * 700
  }))
  plan(0.3, 4, () => ({ kind: 'pause', pick: random.next(), lasts: 100 + random.next() * 12_000 }))
  plan(0.15, 3, () => ({ kind: 'clock', pick: random.next(), step: random.next() * 60_000 }))
  plan(0.1, 1, () => ({ kind: 'full-disk', pick: random.next() }))
  plan(0.15, 1, () => ({ kind: 'client-dies', pick: random.next() }))
  plan(0.25, 3, () => ({ kind: 'client-leaves', pick: random.next(), backAfter: random.next() * 6_000 }))
  return acts
}

function drawFate(random: Random): DiskFate {
  const roll = random.next()
  if (roll < 0.1) return 'whole'
  if (roll < 0.45) return 'torn'
  if (roll < 0.8) return 'synced'
  return roll < 0.93 ? 'empty' : 'flipped'
}
