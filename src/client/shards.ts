/**
 * What a session knows of one job: its shards, and how far each of them is; and what it tells of them.
 *
 * Not here: what is done about it (session.ts). A shard begins as inputs, becomes a place in the mesh, and ends as outcomes.
 */
import type { ErrorCode } from '../errors.ts'
import type { JobId, JobName } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { type Batch, valueAt } from '../tasks/batch.ts'
import { type JobHeader, type Needs, type Placement, placementBase, startIndex } from '../tasks/messages.ts'
import { mayStart } from '../tasks/start.ts'
import type { Range } from './cut.ts'
import type { ClientMessage, EntryMessageOf } from './protocol.ts'

/** Shards on their way to their keepers at once. */
const unacknowledgedMax = 32
/** Shards of a found job that are read at once. */
export const followedMax = 16
const busyAgainMs = 200
/** Between two times that registers are told what they do not say yet. */
const restateEveryMs = 5_000
/** Shards of a job that are told again at a time. */
const restatedMax = 64

export type SessionEffect =
  | { kind: 'send'; message: ClientMessage }
  /** Outcomes not seen before: of tasks `first + indexes[i]` of the job. */
  | { kind: 'outcomes'; job: JobName; first: number; outcomes: Batch }
  | { kind: 'accepted'; job: JobName; index: number; copies: number; placement: Placement }
  /**
   * Of an own job: the mesh knows how many shards it has, and waits for no more, whether or not this client is there. Of another
   * one: where all of it is.
   */
  | { kind: 'closed'; job: JobName }
  | { kind: 'found'; job: JobName; header: JobHeader }
  /** Of an own job: somebody else cancelled it, so no more of its inputs are wanted. */
  | { kind: 'cancelled'; job: JobName }
  /** Every task of the job has an outcome, and no more can be added. Tasks in `missing` it has none of: it was ended before. */
  | { kind: 'complete'; job: JobName; tasks: number; missing?: readonly Range[] }
  | { kind: 'refused'; job: JobName; code: ErrorCode; message: string }
  | { kind: 'absent'; job: JobName }
  /** The entry could not read a question of this number, or another message, of which nobody knows to which call it belongs. */
  | { kind: 'misread'; ask: number | undefined; code: ErrorCode; message: string }
  | { kind: 'answer'; ask: number; json: string }
  | { kind: 'welcome'; peer: string; others: readonly string[] }
  | { kind: 'leave-entry' }

export interface Copies {
  readonly wanted: number
  readonly least: number
}

export interface Shard {
  readonly index: number
  readonly first: number
  readonly count: number
  /** Gone once acknowledged. */
  inputs: Batch | undefined
  readonly needs: readonly Needs[]
  epoch: number
  state: 'new' | 'sent' | 'placed' | 'complete'
  placement: Placement | undefined
  /** Keepers that had it when it was acknowledged. */
  copies: number
  /** Its register says that it may start; others start by themselves. */
  isStarted: boolean
  readonly has: Set<number>
  retryAt: Millis
}

export interface Job {
  readonly id: JobId
  /** The same for who submitted it. */
  readonly name: JobName
  readonly copies: Copies
  readonly isOwn: boolean
  /** Its shards begin with it. */
  readonly epoch: number
  header: JobHeader | undefined
  shards: Shard[]
  /** Number of shards, once no more can come; 0 before. */
  total: number
  isCloseSent: boolean
  /** When what its registers do not say yet is said again. */
  restateAt: Millis
  /** The job's register says how many shards there are, or will as soon as shard 0 is stored. */
  isClosed: boolean
  isCancelled: boolean
  /** What the job's register says of its shards, if others than its submitter ended it (cut.ts). */
  cut: Uint8Array | undefined
  /** Single tasks, by their index in the job. */
  readonly cancelled: Set<number>
  isComplete: boolean
  /** Of one that somebody made: this client is to submit it first, somebody reads it, and it was said where all of it is. */
  isAwaited: boolean
  isRead: boolean
  isWhole: boolean
  /** Of one that is submitted here: an entry may have been told, by one who read it, to tell no more of what it accepts just then. */
  isLeft: boolean
}

/** Where the first shard of a job is, and how many it has, or 0. */
export type Whereabouts = Pick<EntryMessageOf<'found'>, 'placement' | 'header' | 'shards'>

/** How a job begins: its shards with an epoch, and with tasks that were cancelled before. */
export interface Start {
  readonly epoch?: number
  readonly cancelled?: Iterable<number>
  readonly name?: JobName
}

/** `header`: of an own job; without one it is somebody else's, to be read. */
export const newJob = (
  id: JobId,
  copies: Copies,
  header: JobHeader | undefined,
  { epoch = 0, cancelled = [], name = id }: Start = {}
): Job => ({
  id,
  name,
  copies,
  isOwn: header !== undefined,
  header,
  epoch,
  shards: [],
  total: 0,
  isCloseSent: false,
  restateAt: Number.NEGATIVE_INFINITY,
  isClosed: false,
  isCancelled: false,
  cut: undefined,
  cancelled: new Set(cancelled),
  isComplete: false,
  isAwaited: false,
  isRead: false,
  isWhole: false,
  isLeft: false
})

export const newShard = (
  index: number,
  { first, count }: Pick<Shard, 'first' | 'count'>,
  inputs: Batch | undefined,
  needs: readonly Needs[] = []
): Shard => ({
  index,
  first,
  count,
  inputs,
  needs,
  epoch: 0,
  state: 'new',
  placement: undefined,
  copies: 0,
  isStarted: false,
  has: new Set(),
  retryAt: 0
})

/** One more shard of an own job. */
export function nextShard({ shards, epoch }: Job, inputs: Batch, needs: readonly Needs[]): Shard {
  const before = shards.at(-1)
  const first = before === undefined ? 0 : before.first + before.count
  return { ...newShard(shards.length, { first, count: inputs.indexes.length }, inputs, needs), epoch }
}

/** How a shard is submitted: the first says where the job's register will be, and others where it is. */
export function submitOf(job: Job, shard: Shard, header: JobHeader, inputs: Batch): ClientMessage {
  const { index, epoch, first, needs } = shard
  const { copies, total: shards } = job
  const root = job.shards[0]?.placement
  const roots = root === undefined || index === 0 ? [] : [root]
  return { kind: 'submit', header, index, epoch, first, shards, copies, root: roots, inputs, needs }
}

/** What may be sent now: the first shard alone, for it says where the job's register is; then the others, within bounds. */
export function takeUnsent(job: Job, now: Millis): [shard: Shard, inputs: Batch][] {
  const taken: [Shard, Batch][] = []
  const root = job.shards[0]?.placement
  let sent = job.shards.filter(({ state }) => state === 'sent').length
  for (const shard of job.shards) {
    if (shard.state !== 'new' || shard.inputs === undefined || shard.retryAt > now) continue
    if (sent >= unacknowledgedMax || (shard.index > 0 && root === undefined)) break
    shard.state = 'sent'
    shard.retryAt = 0
    sent++
    if (shard.index === 0) job.isClosed = job.total > 0
    taken.push([shard, shard.inputs])
  }
  return taken
}

/** Shard 0 says how many there are, if that was known when it was sent; else the register is told afterwards. */
export function closeOf(job: Job): ClientMessage[] {
  const root = job.shards[0]?.placement
  if (job.total === 0 || root === undefined || job.isClosed || job.isCloseSent) return []
  job.isCloseSent = true
  return [{ kind: 'close', root, shards: job.total }]
}

/** When the next of its shards that a busy entry refused is to be sent again. */
export const retryAt = ({ shards }: Job): Millis =>
  shards.reduce(
    (at, one) => (one.state === 'new' && one.retryAt > 0 ? Math.min(at, one.retryAt) : at),
    Number.POSITIVE_INFINITY
  )

/**
 * What was said long ago, and is not heard of its registers: an entry says it until it is committed, but what one of two keepers
 * has committed alone gives way to what the other one has.
 */
export function restated(job: Job, now: Millis): ClientMessage[] {
  const { isOwn, isComplete, isCloseSent, isClosed, header, shards, total } = job
  if (!isOwn || isComplete || now < job.restateAt) return []
  const isFirst = job.restateAt < 0
  job.restateAt = now + restateEveryMs
  if (isFirst) return []
  const root = shards[0]?.placement
  const isUnsaid = isCloseSent && !isClosed && root !== undefined
  const close: ClientMessage[] = isUnsaid ? [{ kind: 'close', root, shards: total }] : []
  const placed = header?.atMostOnce ? shards.filter(({ state }) => state === 'placed') : []
  return [...close, ...placed.flatMap((shard) => startOf(job, shard)).slice(0, restatedMax)]
}

/** Of an own shard that runs at most once, until its register says that it may start. */
export function startOf({ isOwn, header }: Job, { placement, isStarted }: Shard): ClientMessage[] {
  const isUnsaid = isOwn && header?.atMostOnce && !isStarted && placement !== undefined
  return isUnsaid ? [{ kind: 'start', placement }] : []
}

export const has =
  (task: number) =>
  ({ first, count }: Shard): boolean =>
    first <= task && task < first + count

/** What an entry tells of a shard: that it may start, what the job's register says, and where outcomes are that are new. */
export function newsOf({ count, has }: Shard, outcomes: Batch) {
  const news = {
    isStarted: false,
    entries: [] as [index: number, value: Uint8Array][],
    fresh: [] as number[]
  }
  for (const [at, index] of outcomes.indexes.entries()) {
    if (index === startIndex) news.isStarted = mayStart(valueAt(outcomes, at))
    else if (index > placementBase) news.entries.push([index, valueAt(outcomes, at)])
    else if (index < count && !has.has(index)) {
      has.add(index)
      news.fresh.push(at)
    }
  }
  return news
}

/** Only now it is sure that it runs, and that nothing else of it ever will; or it was over before that was said. */
export function started({ isOwn, name, header }: Job, shard: Shard): SessionEffect[] {
  const { index, copies, placement } = shard
  if (!isOwn || !header?.atMostOnce || shard.isStarted || placement === undefined) return []
  shard.isStarted = true
  return [{ kind: 'accepted', job: name, index, copies, placement }]
}

/** What is to be cancelled of a shard that was accepted, as an entry is told. */
export function cancelOf({ isCancelled, cancelled }: Job, shard: Shard): ClientMessage[] {
  const { placement, first, count, has, state } = shard
  if (state !== 'placed' || placement === undefined) return []
  if (isCancelled) return [{ kind: 'cancel', placement }]
  const indexes = [...cancelled].map((task) => task - first)
  const open = indexes.filter((index) => index >= 0 && index < count && !has.has(index))
  return open.length === 0 ? [] : [{ kind: 'cancel-tasks', placement, indexes: Uint32Array.from(open) }]
}

/** True if it is not yet said to be complete, and is. */
export function isFinished({ isComplete, isOwn, isClosed, total, shards }: Job): boolean {
  if (isComplete || total === 0 || shards.length < total) return false
  // The job's register must know that it is closed, or others would wait for more.
  if (isOwn && !isClosed) return false
  return shards.every(({ state }) => state === 'complete')
}

/** An entry is to tell of it: the first one still tells where the others are, and that the job is closed. */
export const isHeard = ({ state, index }: Shard): boolean =>
  state === 'placed' || (index === 0 && state === 'complete')

/** Where the job is that this client submitted, once it is accepted; `shards` as the mesh knows it. */
export function submittedAs(job: Job | undefined): Whereabouts | undefined {
  const { isOwn = false, header, shards = [], isClosed, cut, total = 0 } = job ?? {}
  const placement = shards[0]?.placement
  if (!isOwn || header === undefined || placement === undefined) return undefined
  return { placement, header, shards: isClosed && cut === undefined ? total : 0 }
}

/** Said once. */
export function whole(job: Job): SessionEffect[] {
  if (job.isWhole || job.total === 0 || job.shards.length < job.total) return []
  job.isWhole = true
  return [{ kind: 'closed', job: job.name }]
}

/** So far. */
export const tasksIn = ({ shards }: Job): number =>
  shards.reduce((end, { first, count }) => Math.max(end, first + count), 0)

/** What was sent to an entry that is lost is sent again. */
export function takeBack({ shards }: Job): void {
  for (const shard of shards) {
    if (shard.state !== 'sent') continue
    // The lost entry may have placed it or not; under a new epoch the job's register decides which counts.
    shard.state = 'new'
    shard.epoch++
  }
}

/** It is sent again, unless its job fails by this. */
export function takeRefusal(shard: Shard, code: ErrorCode, now: Millis): void {
  shard.state = 'new'
  // An entry that is busy has placed nothing under this epoch; of a job within a task there are few.
  if (code !== 'SHOAL_BUSY') shard.epoch++
  shard.retryAt = now + busyAgainMs
}

/** More shards of a found job that are listened to from now on, in order, as far as the bound allows. */
export function takeUnread({ shards }: Job): Shard[] {
  const open = shards.filter(({ state }) => state === 'placed').length
  const unread = shards.filter(({ state }) => state === 'new').sort((a, b) => a.index - b.index)
  const taken = unread.slice(0, Math.max(0, followedMax - open))
  for (const shard of taken) shard.state = 'placed'
  return taken
}

/** True of the jobs that an entry means by these words of a `misread`. */
export const isAbout =
  (of: string, about: string) =>
  ({ id, header }: Job): boolean =>
    about === (of === 'code' ? header?.code : id)

/** Throws if a job contradicts itself. */
export function checkJob({ shards }: Job): void {
  const sent = shards.filter(({ state }) => state === 'sent').length
  assert(sent <= unacknowledgedMax, `${sent} shards without acknowledgement`)
  for (const { has, count, state } of shards)
    assert(has.size < count || state === 'complete', 'complete, unnoticed')
}
