/**
 * Why is this task not running? What each node says of it, and what follows when that is put together.
 *
 * Not here: asking the nodes (inquiry.ts), and what decides where a task may run (routing/match.ts): the answer comes from the
 * same function. Everything here is of the moment in which it was asked.
 */
import type { Explanation, NodeExplanation, TasksBefore, Unavailable } from '../client/answers.ts'
import { type JobId, type PeerId, shardName, taskNamed } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Amount, type Lack, lacks, type Traits } from '../routing/match.ts'
import type { Membership } from '../routing/membership.ts'
import { requirement } from '../routing/requirement.ts'
import type { Attendance } from '../tasks/effects.ts'
import type { Keeper } from '../tasks/keeper.ts'
import type { Lead } from '../tasks/lead.ts'
import type { ShardRecord } from '../tasks/messages.ts'
import type { Owner } from '../tasks/owner.ts'
import { TASK } from '../tasks/queue.ts'
import type { Runner } from '../tasks/runner.ts'

/** Tasks that are named of those that another one waits for. */
const shownMax = 16

interface Owned {
  readonly state: 'waiting' | 'granted' | 'ended'
  readonly attempt: number
  readonly losses: number
  readonly failures: number
  readonly holder: string | undefined
  /** Tasks that this owner grants before it. */
  readonly before: number
  readonly waitsFor: readonly TasksBefore[]
  readonly follows: string | undefined
  /** False while the owner has yet to learn, or to write down, what must be known before it may grant. */
  readonly isReady: boolean
}

/** What one node says of a task. */
export interface TaskReport {
  readonly node: PeerId
  readonly slots: number
  readonly running: number
  readonly queued: number
  readonly free: readonly Amount[]
  readonly holds: 'queued' | 'running' | undefined
  /** Why it takes no work now. */
  readonly unavailable?: Unavailable | undefined
  /** Of who keeps it. */
  readonly kept:
    | { readonly requires: string; readonly keepers: readonly string[]; readonly isSettled: boolean }
    | undefined
  readonly owned: Owned | undefined
}

interface Parts {
  readonly membership: Membership
  readonly keeper: Keeper
  readonly owner: Owner
  readonly runner: Runner
}

export function taskReport(
  { membership, keeper, owner, runner }: Parts,
  about: string,
  now: Millis
): TaskReport {
  const { peer, slots, isLeaving } = membership.me
  const { running, queued, fitting } = runner
  const named = taskNamed(about)
  const record = named === undefined ? undefined : recordOf(keeper, named.job, named.index)
  const lead = record === undefined ? undefined : owner.leads.get(record.key)
  return {
    node: peer,
    slots,
    running,
    queued,
    free: fitting.free(),
    holds: named === undefined ? undefined : fitting.holds(named.job, named.index),
    unavailable: unavailability(isLeaving, runner.attendance),
    kept:
      record === undefined
        ? undefined
        : {
            requires: record.header.requires.text,
            keepers: record.keepers,
            isSettled: keeper.isSettled(record.key)
          },
    owned:
      lead === undefined || named === undefined
        ? undefined
        : owned(lead, named.index - lead.record.first, [...owner.leads.values()], now)
  }
}

/** Why a node takes no work now, if it does not. */
export function unavailability(isLeaving: boolean, attendance: Attendance): Unavailable | undefined {
  const { availability, hindrance = 'in-use' } = attendance
  if (isLeaving) return 'leaving'
  return availability === 'open' ? undefined : hindrance
}

function recordOf(keeper: Keeper, job: JobId, index: number): ShardRecord | undefined {
  const records = [...keeper.shardsOf(job)].flatMap((key) => keeper.record(key) ?? [])
  const found = records.filter(({ first, count }) => first <= index && index < first + count)
  return found.toSorted((a, b) => shardName(b.key).epoch - shardName(a.key).epoch)[0]
}

function owned(lead: Lead, index: number, leads: readonly Lead[], now: Millis): Owned {
  const { queue } = lead
  const state = queue.state(index)
  return {
    state: state === TASK.waiting ? 'waiting' : state === TASK.granted ? 'granted' : 'ended',
    attempt: queue.attempt(index),
    losses: queue.losses.of(index),
    failures: queue.failures(index),
    holder: queue.holder(index),
    before: state === TASK.waiting ? tasksBefore(lead, index, leads, now) : 0,
    waitsFor: (lead.dependents?.waitsFor(index) ?? []).map(({ kind, open }) => ({
      how: kind,
      tasks: open.slice(0, shownMax),
      count: open.length
    })),
    follows: lead.dependents?.place(index),
    isReady: lead.waiting(now) > 0
  }
}

/** By priority and age. Of other submitters' tasks, fair share decides how many come before it. */
function tasksBefore(lead: Lead, index: number, leads: readonly Lead[], now: Millis): number {
  const { priority, submitter } = lead.record.header
  let sum = 0
  let isOlder = true
  for (const other of leads) {
    if (other === lead) isOlder = false
    const { header } = other.record
    const isBefore = isOlder && header.priority === priority && header.submitter === submitter
    if (header.priority > priority || isBefore) sum += other.waiting(now)
  }
  for (let before = 0; before < index; before++) if (lead.queue.state(before) === TASK.waiting) sum++
  return sum
}

/** Puts together what nodes said. `members` are the nodes that are up. */
export function explanation(
  about: string,
  reports: readonly TaskReport[],
  members: readonly Traits[],
  silent: number
): Explanation {
  const kept = reports.find((one) => one.kept !== undefined)?.kept
  const owner = reports.find((one) => one.owned !== undefined)
  const holder = reports.find((one) => one.holds !== undefined)
  const needs = requirement.check(kept?.requires ?? '', 'requires')
  const nodes = members.map((member): NodeExplanation => {
    const report = reports.find(({ node }) => node === member.peer)
    const missing = lacks(needs, member)
    const { peer: id, slots } = member
    const { running = 0, queued = 0, holds } = report ?? {}
    // Nodes of other versions may know other reasons.
    const unavailable = unavailables.find((one) => one === report?.unavailable)
    const waitsFor = report === undefined || missing.length > 0 ? [] : inUse(needs.resources, report)
    const isSilent = report === undefined
    return { id, slots, running, queued, holds, isSilent, missing, waitsFor, unavailable }
  })
  const state = stateOf(kept, owner?.owned, holder?.holds)
  const { attempt = 1, losses = 0, failures = 0, before = 0, isReady = false } = owner?.owned ?? {}
  const { waitsFor = [], follows } = owner?.owned ?? {}
  const told = { task: about, state, owner: owner?.node, keepers: kept?.keepers ?? [], nodes, silent }
  const rest = {
    requires: needs.text === '' ? {} : JSON.parse(needs.text),
    attempt,
    losses,
    failures,
    waitsFor,
    follows,
    before
  }
  return {
    ...told,
    ...rest,
    reason: reasonOf({
      ...told,
      before,
      isReady,
      waitsFor,
      follows,
      holder: holder?.node ?? owner?.owned?.holder
    })
  }
}

function stateOf(
  kept: TaskReport['kept'],
  owned: Owned | undefined,
  holds: TaskReport['holds']
): Explanation['state'] {
  if (kept === undefined) return 'unknown'
  if (kept.isSettled || owned?.state === 'ended') return 'ended'
  return holds ?? (owned?.state === 'granted' ? 'queued' : 'waiting')
}

function inUse(
  resources: readonly (readonly [string, number])[],
  { slots, running, free }: TaskReport
): Lack[] {
  const short = resources.flatMap(([name, wants]): Lack[] => {
    const has = free.find((one) => one.name === name)?.amount ?? 0
    return has < wants ? [{ blockedBy: 'resource', name, wants: String(wants), has: String(has) }] : []
  })
  const isBusy = running >= slots
  return isBusy ? [...short, { blockedBy: 'engine', name: 'slots', wants: '1', has: '0' }] : short
}

interface Told {
  readonly state: Explanation['state']
  readonly owner: string | undefined
  readonly keepers: readonly string[]
  readonly nodes: readonly NodeExplanation[]
  readonly before: number
  readonly isReady: boolean
  readonly waitsFor: readonly TasksBefore[]
  readonly follows: string | undefined
  readonly holder: string | undefined
}

/** One sentence for people. */
function reasonOf(told: Told): string {
  const { state, owner, keepers, nodes, before, isReady, waitsFor, follows, holder } = told
  if (state === 'unknown') return 'no node that answered keeps it'
  if (state === 'ended') return 'it has ended'
  if (state === 'running') return `it runs on ${holder}${asideOf(nodes.find(({ id }) => id === holder))}`
  if (state === 'queued') return `it lies at ${holder ?? 'a node'}, and waits there for its turn`
  if (owner === undefined) return `none of its keepers says that it leads it; they are ${keepers.join(', ')}`
  if (waitsFor.length > 0) return `it waits for ${waitsFor.map(beforeText).join(', and ')}`
  if (follows !== undefined) return `it follows others to engine ${follows}, and waits there for its turn`
  const able = nodes.filter(({ missing }) => missing.length === 0)
  if (able.length === 0) return 'no node that is up has what it requires'
  if (!isReady) return 'its owner has yet to learn what ran before'
  const isOne = able.length === 1
  const all = `${able.length} of ${nodes.length} nodes could run it`
  const reasons = [...new Set(able.flatMap(({ unavailable }) => unavailable ?? []))]
  const willing = able.filter(({ unavailable }) => unavailable === undefined)
  if (willing.length === 0)
    return `${all}, but ${isOne ? 'takes no work' : 'none takes work'} now: ${reasons.map((one) => whyNot[one]).join('; ')}`
  const away = able.length - willing.length
  const could = away === 0 ? all : `${all}, of which ${away} ${away === 1 ? 'takes' : 'take'} no work now`
  const free = willing.filter(({ waitsFor, isSilent }) => waitsFor.length === 0 && !isSilent)
  if (free.length === 0)
    return `${could}; all that it needs is in use there, and ${before} tasks are before it`
  return `${could}, and ${before} tasks are before it`
}

/** In words for people. */
export const whyNot: Readonly<Record<Unavailable, string>> = {
  'in-use': 'paused, as its machine is in use',
  unseen: 'paused, as it cannot be seen whether its machine is in use',
  'outside-hours': 'outside its hours',
  leaving: 'leaves the mesh'
}

const unavailables = Object.keys(whyNot) as Unavailable[]

const asideOf = (node: NodeExplanation | undefined): string =>
  node?.unavailable === undefined ? '' : ` (${whyNot[node.unavailable]})`

function beforeText({ how, tasks: [first = ''], count }: TasksBefore): string {
  const others = count === 1 ? first : `${first} and ${count - 1} more`
  return how === 'value' ? `the value of ${others}` : `${others} to end`
}

/** What nodes of other versions say is left out. */
export function isTaskReport(said: unknown): said is TaskReport {
  if (typeof said !== 'object' || said === null) return false
  const { node, slots, running, queued, free, kept } = said as Partial<Record<keyof TaskReport, unknown>>
  const areNumbers = [slots, running, queued].every((one) => Number.isFinite(one))
  return typeof node === 'string' && areNumbers && Array.isArray(free) && (kept === undefined || isKept(kept))
}

function isKept(kept: unknown): boolean {
  const { requires, keepers } = (kept ?? {}) as { requires?: unknown; keepers?: unknown }
  try {
    requirement.check(requires, 'requires')
  } catch {
    return false
  }
  return Array.isArray(keepers) && keepers.every((one) => typeof one === 'string')
}
