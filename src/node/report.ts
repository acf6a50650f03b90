/**
 * What a node says of itself when somebody asks: a report for `status`, and one for `jobs`.
 *
 * Not here: asking and putting together (inquiry.ts). Reports are plain data, the same for people and for programs.
 */
import type { MemberInfo, NodeStatus, OpenCall } from '../client/answers.ts'
import { isJobId, type JobId, type PeerId, type ShardKey, shardName, taskNamed } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Membership } from '../routing/membership.ts'
import type { Member } from '../routing/messages.ts'
import { STATUS, statusAt, valueAt } from '../tasks/batch.ts'
import { isClosed, placesIn, readClosed, readCut } from '../tasks/closing.ts'
import type { Keeper } from '../tasks/keeper.ts'
import { quorumOf } from '../tasks/keepers.ts'
import { closedIndex, type Placement, placement, shardsMax, shardTasksMax } from '../tasks/messages.ts'
import type { Owner } from '../tasks/owner.ts'
import type { Runner } from '../tasks/runner.ts'
import { list } from '../wire.ts'
import { type TaskReport, taskReport, unavailability } from './explain.ts'
import type { BadEnds, JobReport, ShardReport } from './inquiry.ts'

/** Shards in one report; older jobs are left out. */
const shardsReportedMax = 20_000
/** Calls in one report; the others are told when these have ended. */
const callsReportedMax = 256

interface Parts {
  readonly membership: Membership
  readonly keeper: Keeper
  readonly owner: Owner
  readonly runner: Runner
}

/** What a node says of itself when it is asked. */
export interface Reports {
  status(): NodeStatus
  task(about: string): TaskReport
  calls(): OpenCall[]
}

export function reportsOf(
  parts: Parts,
  state: () => { readonly disk: string; readonly now: Millis }
): Reports {
  return {
    status: () => nodeReport(parts, state().disk, state().now),
    task: (about) => taskReport(parts, about, state().now),
    calls: () => callsReport(parts, state().now)
  }
}

export function memberInfo(member: Member): MemberInfo {
  const { peer, addresses, slots, isKeeper, zone, sources, version } = member
  const labels = Object.fromEntries(member.labels.map(([name = '', value = '']) => [name, value]))
  const resources = Object.fromEntries(member.resources.map(({ name, amount }) => [name, amount]))
  return { id: peer, addresses, slots, isKeeper, zone, labels, resources, sources, version }
}

export function nodeReport(
  { membership, keeper, owner, runner }: Parts,
  disk: string,
  now: Millis
): NodeStatus {
  return {
    ...memberInfo(membership.me),
    availability: runner.attendance.availability,
    unavailable: unavailability(membership.me.isLeaving, runner.attendance),
    running: runner.running,
    queued: runner.queued,
    owns: owner.leads.size,
    waiting: owner.waiting(now),
    dependent: [...owner.leads.values()].reduce((sum, { queue }) => sum + queue.early, 0),
    unfinished: owner.unfinished,
    stalled: stalledIn({ membership, owner }),
    lostRuns: owner.dealer.waste.lost,
    droppedRuns: owner.dealer.waste.dropped,
    keeps: keeper.size,
    bytes: keeper.bytes,
    tombstones: keeper.tombstones,
    moving: owner.repairs.changes.now + owner.repairs.changes.later,
    disk: disk === 'sound' && membership.me.isFull ? 'full' : disk,
    peers: membership.peers().length
  }
}

/** Shards of which so few keepers are up that no outcome can be committed. */
function stalledIn({ membership, owner }: Pick<Parts, 'membership' | 'owner'>): number {
  const canVote = (peer: PeerId): boolean => membership.member(peer)?.isKeeper === true
  const open = [...owner.leads.values()].filter(({ queue }) => queue.unfinished > 0)
  return open.filter(({ record: { keepers } }) => keepers.filter(canVote).length < quorumOf(keepers.length))
    .length
}

/** Calls that tasks make of certain engines, and that nobody has begun as far as is known here. */
function callsReport({ owner, runner }: Parts, now: Millis): OpenCall[] {
  const ungranted = [...owner.leads.values()].filter((lead) => lead.waiting(now) > 0)
  const headers = [...runner.fitting.queued(), ...ungranted.map(({ record }) => record.header)]
  const calls = new Map<JobId, OpenCall>()
  for (const { job, requires, around } of headers)
    if (around.length > 0 && requires.targets.length > 0 && calls.size < callsReportedMax)
      calls.set(job, { job, targets: requires.targets, around })
  return [...calls.values()]
}

/** What nodes say of calls; what is none is left out. */
export function mergeCalls(said: readonly unknown[]): OpenCall[] {
  const areNames = (value: unknown): boolean =>
    Array.isArray(value) && value.every((one) => typeof one === 'string')
  const isCall = (one: unknown): one is OpenCall => {
    const { job, targets, around } = Object(one) as Partial<Record<keyof OpenCall, unknown>>
    return typeof job === 'string' && areNames(targets) && areNames(around)
  }
  return said.flat().filter(isCall)
}

/** `about`: a job, or a task `<job>:<index>` that alone is counted as ended. */
export function standingReport(keeper: Keeper, about: string): JobReport[] {
  const named = taskNamed(about)
  if (named === undefined) return []
  return jobReports(keeper, named.job, about.includes(':') ? named.index : undefined)
}

/** Newest jobs first, up to `shardsReportedMax` shards; or one job, and one of its tasks. */
export function jobReports(keeper: Keeper, only?: JobId, task?: number): JobReport[] {
  type Report = { shards: number; name: string; submittedAt: number; parts: ShardReport[]; bad: BadEnds[] }
  const jobs = new Map<JobId, Report>()
  for (const key of only === undefined ? newestKeys(keeper) : keeper.shardsOf(only)) {
    const record = keeper.record(key)
    if (record === undefined) continue
    const { job, index } = shardName(key)
    const outcomes = keeper.outcomes(key)
    const closed = outcomes.get(closedIndex)
    const value = closed && valueAt(closed.batch, closed.at)
    const known = value === undefined ? record.shards : readClosed(value) - (readCut(value)?.size ?? 0)
    const { done, failed, cancelled } = endsOf(outcomes, task === undefined ? undefined : task - record.first)
    const { name, submittedAt } = record.header
    const report: Report = jobs.get(job) ?? { shards: 0, name, submittedAt, parts: [], bad: [] }
    report.shards = Math.max(report.shards, index === 0 ? known : 0)
    report.parts.push([index, record.count, done])
    if (failed + cancelled > 0) report.bad.push([index, failed, cancelled])
    jobs.set(job, report)
  }
  const newest = [...jobs].sort(([, a], [, b]) => b.submittedAt - a.submittedAt)
  const reports: JobReport[] = []
  let shards = 0
  for (const [job, report] of newest) {
    shards += report.parts.length
    if (shards > shardsReportedMax) break
    reports.push({ job, ...report })
  }
  return reports
}

/** Shards of the newest jobs: more than are reported, since what is known of the others is not looked at. */
function newestKeys(keeper: Keeper): ShardKey[] {
  const keys = keeper.keys()
  if (keys.length <= shardsReportedMax) return keys
  const ages = new Map<JobId, number>()
  for (const key of keys) ages.set(shardName(key).job, keeper.brief(key)?.submittedAt ?? 0)
  const jobs = [...ages].sort(([, a], [, b]) => b - a).slice(0, shardsReportedMax)
  const found: ShardKey[] = []
  for (const [job] of jobs) {
    found.push(...keeper.shardsOf(job))
    if (found.length > shardsReportedMax) break
  }
  return found
}

/** Of all tasks of a shard, or of one. */
function endsOf(
  outcomes: ReturnType<Keeper['outcomes']>,
  only: number | undefined
): Record<'done' | 'failed' | 'cancelled', number> {
  const ends = { done: 0, failed: 0, cancelled: 0 }
  for (const [index, { batch, at }] of outcomes) {
    if (index >= shardTasksMax || index !== (only ?? index)) continue
    ends.done++
    const status = statusAt(batch, at)
    if (status === STATUS.cancelled) ends.cancelled++
    else if (status !== STATUS.ok) ends.failed++
  }
  return ends
}

/** Where the shards are of a job that is closed, as far as its first shard is kept here; else nothing. */
export function placesReport(keeper: Keeper, job: string): Placement[] {
  const root = isJobId(job) ? keeper.root(job) : undefined
  if (root === undefined) return []
  const register = { record: root, committed: keeper.outcomes(root.key) }
  if (!isClosed(register)) return []
  const { key, keepers, first, count } = root
  return [{ key, keepers, first, count }, ...placesIn(register)]
}

/** Of what nodes say of one job, what the one says that knows of most. */
export function mergePlaces(said: readonly unknown[]): Placement[] {
  const all = said.map(placementsIn).toSorted((a, b) => b.length - a.length)
  return all[0] ?? []
}

const places = list(placement, shardsMax)

function placementsIn(said: unknown): Placement[] {
  try {
    const rows = Array.isArray(said)
      ? said.map(({ key, keepers, first, count }) => [key, keepers, first, count])
      : []
    return [...places.check(rows, 'places')]
  } catch {
    return []
  }
}
