/**
 * Answers about the mesh, as clients get them: plain data, the same for programs and for `--json`.
 *
 * Not here: who makes them (node/report.ts, node/inquiry.ts).
 */

import type { Lack } from '../routing/match.ts'

export interface MemberInfo {
  readonly id: string
  readonly addresses: readonly string[]
  readonly slots: number
  readonly isKeeper: boolean
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  readonly resources: Readonly<Record<string, number>>
  /** Live streams that it offers. */
  readonly sources: readonly string[]
  readonly version: string
}

export interface JobSummary {
  readonly id: string
  readonly name: string
  /** Milliseconds since 1970, by the submitter's clock. */
  readonly submittedAt: number
  /** Grows while the job is open. */
  readonly tasks: number
  /** Those that ended, however they did … */
  readonly done: number
  /** … and of these, those that failed or ran out of time, and those that were cancelled. */
  readonly failed: number
  readonly cancelled: number
  readonly isClosed: boolean
}

/** `unseen`: whether somebody uses the machine cannot be seen, which counts as if somebody did. */
export type Unavailable = 'in-use' | 'unseen' | 'outside-hours' | 'leaving'

export interface NodeStatus extends MemberInfo {
  /** `open` for work; `paused` while its owner uses the machine, and `closed` when also what ran there was given back. */
  readonly availability: 'open' | 'paused' | 'closed'
  /** Why it takes no work now, if it does not. */
  readonly unavailable?: Unavailable | undefined
  /** At most one task in each slot; those that wait for jobs of their own come on top. */
  readonly running: number
  /** Granted to this node and not begun. */
  readonly queued: number
  /** Shards that this node owns now, their tasks that wait for somebody to ask, and those without an outcome. */
  readonly owns: number
  readonly waiting: number
  readonly unfinished: number
  /** Of these, those that wait for other tasks. */
  readonly dependent: number
  /** Owned shards with such tasks that stand still: fewer of their keepers are up than it takes. */
  readonly stalled: number
  /** Runs of tasks that this node owned and that brought nothing, since it started: with a lost engine or node … */
  readonly lostRuns: number
  /** … and those whose outcome came when another run's was committed. */
  readonly droppedRuns: number
  /** Shards that this node keeps. */
  readonly keeps: number
  /** Of these, those that it is bringing to other keepers, because some were lost or leave. */
  readonly moving: number
  /** Of their inputs and outcomes. */
  readonly bytes: number
  /** Jobs that were forgotten, and are remembered so that nobody brings them back. */
  readonly tombstones: number
  /** `sound`, or why this node keeps nothing more: `full` if that is as much as its `quota` allows. */
  readonly disk: string
  readonly peers: number
}

export interface StatusReport {
  readonly entry: string
  readonly nodes: readonly NodeStatus[]
  /** Nodes that did not answer in time. */
  readonly silent: number
}

/** A node, as far as one task is concerned. */
export interface NodeExplanation {
  readonly id: string
  readonly slots: number
  /** Tasks that run there, and that lie there and were not begun. */
  readonly running: number
  readonly queued: number
  /** Whether this very task is among them. */
  readonly holds: 'queued' | 'running' | undefined
  /** It did not answer in time. */
  readonly isSilent: boolean
  /** What it lacks to run the task, ever; empty if it could. */
  readonly missing: readonly Lack[]
  /** What it has, and is in use now. */
  readonly waitsFor: readonly Lack[]
  /** Why it takes no work now, whatever the task: its owner keeps it (`when`, `hours`), or it leaves the mesh. */
  readonly unavailable: Unavailable | undefined
}

/** A job of a task that only certain engines may run, and that none of them has begun. */
export interface OpenCall {
  readonly job: string
  readonly targets: readonly string[]
  /** Engines that wait for it. */
  readonly around: readonly string[]
}

export interface TasksBefore {
  readonly how: 'value' | 'after' | 'follow'
  readonly tasks: readonly string[]
  /** All of them, also those that are not shown. */
  readonly count: number
}

/** Why a task does not run, or where it does, at the moment of asking. */
export interface Explanation {
  readonly task: string
  /** `queued`: granted to a node, and not begun there as far as is known. `unknown`: no node that answered keeps it. */
  readonly state: 'unknown' | 'waiting' | 'queued' | 'running' | 'ended'
  /** One sentence for people. */
  readonly reason: string
  readonly requires: object
  /** The node that grants it, if one says so, and the nodes that keep it. */
  readonly owner: string | undefined
  readonly keepers: readonly string[]
  /** Number of its present or next run, and how many were lost or failed before it. */
  readonly attempt: number
  readonly losses: number
  readonly failures: number
  /** Tasks without an outcome that it waits for, by how it needs them; of each at most `shownMax` (16). */
  readonly waitsFor: readonly TasksBefore[]
  /** The engine on which it is to run, because it follows others. */
  readonly follows: string | undefined
  /** Tasks that its owner grants before it, those of other submitters aside. */
  readonly before: number
  readonly nodes: readonly NodeExplanation[]
  /** Nodes that did not answer in time. */
  readonly silent: number
}
