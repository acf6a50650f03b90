/**
 * Everything nodes say to each other about work, with the limit of every field.
 *
 * Not here: how a type is checked (wire.ts), and what a message causes (keeper.ts, owner.ts, runner.ts, entry.ts).
 * Inputs and outcomes travel as packed batches, so the cost of a message is paid per batch and not per task.
 */
import {
  isDigest,
  isJobId,
  isPeerId,
  isShardKey,
  type JobId,
  type PeerId,
  SEATS,
  type ShardKey,
  shardName
} from '../ids.ts'
import { amounts } from '../routing/messages.ts'
import { anywhere, requirement, resourcesMax } from '../routing/requirement.ts'
import {
  added,
  bytes,
  codec,
  finite,
  flag,
  indexes,
  list,
  type MessageOf,
  type Of,
  record,
  type Type,
  text,
  uint
} from '../wire.ts'
import { type Batch, isSound } from './batch.ts'
import { decodeNeeds, needShardsMax, needWordsMax } from './needs.ts'

/** Tasks of one shard at most; a client cuts earlier by bytes. */
export const shardTasksMax = 1_024
/** Shards of one job at most; a submission beyond it is refused with SHOAL_BAD_OPTION. */
export const shardsMax = 64_000
/** The register of a job's shard 0 also says where the others are: key `placementBase + index`, from index 1. */
export const placementBase = shardTasksMax
/** A value under this key of a shard's own register: its client knows of it and of no other, so it may start (permits.ts). */
export const startIndex = placementBase
/** The key under which that register says how many shards the job has, once nobody can add any. */
export const closedIndex = placementBase + shardsMax
/** Keys above `closedIndex` are the owners' own, and told to nobody else. These two change the list of keepers (register.ts). */
export const nextIndex = closedIndex + 1
export const markIndex = closedIndex + 2
/** A value under `attemptBase + n`: attempts up to `n` of tasks of this shard may have been granted (lead.ts). */
export const attemptBase = 1 << 16
export const attemptsMax = 65_535
/** Jobs within tasks within jobs, and so on; a job that would lie deeper is refused to its task. */
export const depthMax = 16
/** From here on: who may begin which attempt of a task that is to run at most once (permits.ts). */
export const permitBase = attemptBase + attemptsMax + 1
export const permitsEnd = permitBase + 64 * shardTasksMax
const indexesEnd = permitsEnd
/** Settled shards are compared in so many groups. */
export const digestBuckets = 256
/** Shards named in one answer to a digest; the others differ next time. */
export const holdingsMax = 2_048
const UINT32 = 0xffffffff

export type Forgettable = JobId | ShardKey
const isForgettable = (name: string): name is Forgettable => isJobId(name) || isShardKey(name)

const job = text(64, isJobId)
const key = text(96, isShardKey)
const peer = text(128, isPeerId)
const ballot = uint()
const keepers = list(peer, 15)
const seats = list(uint(SEATS - 1), 15)
/** How often a shard's keepers may change. */
const listNumber = uint(UINT32)
const tasks = indexes(shardTasksMax)

/** Values in one batch: those of all tasks of a shard, and as many others. */
export const batchEntriesMax = 2 * shardTasksMax
const parts = record({
  node: text<PeerId | ''>(128, (node): node is PeerId | '' => node === '' || isPeerId(node)),
  indexes: indexes(batchEntriesMax),
  ends: indexes(batchEntriesMax),
  body: bytes(64 << 20)
})
export const batch: Type<Batch> = {
  check: (value, path) => {
    const found = parts.check(value, path)
    return isSound(found, indexesEnd) ? found : parts.check(undefined, `${path} (unsound)`)
  },
  plain: parts.plain,
  parts
}

/** Of one message; what a task prints beyond it comes with its outcome. */
export const wordsMax = 64
export const wordCharsMax = 8_192

/** What a running task says: how far it is, if `fraction` is not negative, and what it printed since. */
const word = record({
  index: uint(shardTasksMax - 1),
  fraction: finite,
  text: text(200),
  stdout: text(wordCharsMax),
  stderr: text(wordCharsMax)
})
export type TaskWord = Of<typeof word>
/** `first` is the index in its job of the shard's first task. */
export const words = { key, first: uint(UINT32), words: list(word, wordsMax) } as const

/** A task that submitted a job: its shard, who kept that when the task began, and its place there. */
const parent = record({ key, keepers, index: uint(shardTasksMax - 1) })
export type Parent = Of<typeof parent>

/** What the submitter says of all tasks of a job; travels in every shard. */
export const header = record({
  job,
  name: text(128),
  code: text(43, isDigest),
  exportName: text(128),
  retries: uint(1_000),
  timeoutMs: uint(UINT32),
  priority: finite,
  submittedAt: finite,
  /** 0 = unlimited. */
  queueTimeoutMs: added(uint(UINT32), 0),
  /** Milliseconds that results are kept at least after all are there; 0 = `retentionMs` of release.ts. */
  retentionMs: added(uint(UINT32), 0),
  /** Never begun again once it may have begun. */
  atMostOnce: added(flag, false),
  /** Who shares fairly with others: one client, or those that say the same name. */
  submitter: added(text(128), ''),
  requires: added(requirement, anywhere),
  /** How many tasks it was submitted from within: 0 by a client, 1 by a task of such a job. */
  depth: added(uint(depthMax), 0),
  /** Engines of those tasks, from the outermost: they wait for it, so it cannot run there. */
  around: added(list(text(160), depthMax), []),
  /** The innermost of those tasks; none of a job that a client submitted. */
  parent: added(list(parent, 1), [])
})
export type JobHeader = Of<typeof header>

/** Where a shard is: what the job's register says of it, and what a client needs to follow it. */
export const placement = record({ key, keepers, first: uint(UINT32), count: uint(shardTasksMax) })
export type Placement = Of<typeof placement>

/** What tasks of a shard wait for (needs.ts): the shards that have the tasks, and how these are meant. */
export const needs = record({ shards: list(placement, needShardsMax), words: indexes(needWordsMax) })
export type Needs = Of<typeof needs>
/** True if these can be needs of a shard of `count` tasks. */
export const areSound = ([some]: readonly Needs[], count: number): boolean =>
  some === undefined ||
  decodeNeeds(
    some.words,
    count,
    some.shards.map((one) => one.count)
  ) !== undefined

/**
 * `shards` is the number of shards of the job if it was known when this one was made, else 0. `list` to `before` say who
 * keeps it (keepers.ts); `copies` is how many keepers there should be.
 */
export const shardFields = record({
  key,
  list: listNumber,
  keepers,
  seats,
  seatsGiven: uint(SEATS),
  before: keepers,
  beforeSeats: seats,
  copies: uint(15),
  header,
  first: uint(UINT32),
  count: uint(shardTasksMax),
  shards: uint(shardsMax),
  inputs: batch,
  /** Where the job's first shard was then; nothing in that shard itself. */
  root: added(list(placement, 1), []),
  needs: added(list(needs, 1), [])
})
export type ShardRecord = Of<typeof shardFields>
/** Inputs are in order: the value of task `i` is at position `i`. A settled shard has none any more. */
export const shardRecord: Type<ShardRecord> = {
  check: (value, path) => {
    const found = shardFields.check(value, path)
    const { indexes } = found.inputs
    const isWhole = indexes.length === found.count || indexes.length === 0
    const isOrdered = isWhole && indexes.every((index, at) => index === at)
    if (!isOrdered) return shardFields.check(undefined, `${path} (inputs out of order)`)
    if (!areSound(found.needs, found.count)) return shardFields.check(undefined, `${path} (odd needs)`)
    const { keepers, seats, before, beforeSeats } = found
    // Of the list before, too, a record is made for who has not got that.
    const isSeated =
      keepers.length > 0 && seats.length === keepers.length && beforeSeats.length === before.length
    return isSeated ? found : shardFields.check(undefined, `${path} (keepers without seats)`)
  },
  plain: shardFields.plain,
  parts: shardFields
}

export const accepted = record({ ballot, outcomes: batch })
export type AcceptedBatch = Of<typeof accepted>

export const taskKinds = {
  // The register.
  /** `isRepair`: from its owner, to a keeper that has not got it or lost it, so that it is not new to the others. */
  store: { record: shardRecord, isRepair: flag },
  stored: { key },
  prepare: { key, list: listNumber, ballot },
  /** Of so many messages that are one promise; what was accepted may be more than one message holds. */
  promised: {
    key,
    list: listNumber,
    ballot,
    accepted: list(accepted, 4_096),
    part: added(uint(1 << 16), 0),
    parts: added(uint(1 << 16), 1)
  },
  rejected: { key, list: listNumber, ballot },
  accept: { key, list: listNumber, ballot, serial: uint(), outcomes: batch },
  accepted: { key, list: listNumber, ballot, serial: uint() },
  /** `by`: the ballot at which every keeper has accepted all that is committed. */
  settle: { key, list: listNumber, ballot, by: added(ballot, 0) },
  /** This list is in force and nothing before it: a proof, which anybody may pass on. */
  moved: { key, list: listNumber, keepers, seats },
  inquire: { key },
  /** Where to turn: a hint. */
  leading: { key, list: listNumber, keepers, seats, ballot },
  /** From who knows no keeper that is up, to everybody. */
  seek: { key },
  disowned: { key },
  /** A job that was released or is past its retention, or a shard that its job's register does not name. */
  forget: { name: text(96, isForgettable) },
  /** It is forgotten, and that is on disk. */
  forgotten: { name: text(96, isForgettable) },
  // Retention (retention.ts).
  /** On disk only: when a shard was settled, by its keeper's uptime; without a key, how far that had come. */
  stamp: { keys: list(key, 1), at: uint() },
  /** How long have shards of this job been settled? */
  ages: { job },
  aged: { job, keys: list(key, holdingsMax), ages: indexes(holdingsMax) },
  // Reconciliation (reconcile.ts).
  digest: { buckets: bytes(4 * digestBuckets) },
  /** What is settled here of these buckets: keys and their fingerprints. */
  holdings: {
    buckets: indexes(digestBuckets),
    keys: list(key, holdingsMax),
    prints: indexes(holdingsMax),
    isAnswer: flag
  },
  // Shards that were stored twice (rivals.ts).
  /** Which of these does the register name that lies in `root`? Those that it does not are to be forgotten. */
  count: { root: key, keys: list(key, holdingsMax) },
  counts: { root: key, keys: list(key, holdingsMax) },
  // Followed by entries.
  watch: { key, have: indexes(closedIndex + 1) },
  /** From an owner whose tasks wait for these: of some their values, of others only how they end. */
  await: { key, values: tasks, ends: tasks },
  /** These have ended. Of what succeeded and whose value is not asked for, nothing but the header. */
  awaited: { key, outcomes: batch },
  propose: { key, outcomes: batch },
  /** `more`: this is what one answer holds, and there is more of what was asked for. */
  committed: { key, outcomes: batch, settled: flag, more: added(flag, false) },
  /** All tasks of a shard, or some: kinds of their own, so that a node that knows one of them alone never cancels too much. */
  cancel: { key },
  'cancel-tasks': { key, indexes: tasks },
  find: { job },
  found: { placement, header, shards: uint(shardsMax) },
  unknown: { job },
  // Dispatch.
  /** `room`: how much of its resources further tasks may take. */
  /** `isLast`: nothing is asked of this owner any more, until it is asked again. */
  claim: {
    tasks: uint(65_536),
    received: uint(),
    room: added(amounts, []),
    isLast: added(flag, false),
    /** Only of jobs that are nested at least so deeply. */
    depth: added(uint(depthMax + 1), 0)
  },
  grant: {
    key,
    header,
    list: listNumber,
    keepers,
    first: uint(UINT32),
    attempt: uint(attemptsMax),
    waiting: uint(),
    inputs: batch,
    /** Of the owner that grants it. */
    seat: added(uint(SEATS - 1), 0)
  },
  /**
   * Tasks wait at this owner which the node may run, the most urgent of this priority; or none do any more. Those that need any of
   * its resources, and which, apart from the others. It may be lost.
   */
  waits: { priority: finite, needs: list(text(128), resourcesMax), isOver: flag },
  /** `isStarted`: they ran for a while, so their next run is another attempt, which counts as nobody's failure. */
  handback: { key, attempt: uint(attemptsMax), isStarted: flag, indexes: tasks },
  outcomes: { key, outcomes: batch },
  confirm: { key, indexes: tasks },
  probe: { key, indexes: tasks },
  missing: { key, indexes: tasks },
  holding: { key, attempt: uint(attemptsMax), indexes: tasks },
  /** Runs of these begin now. Said of further attempts only, to tell who may be blamed if the node is lost. */
  begun: { key, attempt: uint(attemptsMax), indexes: tasks },
  revoke: { key, indexes: tasks },
  /** What running tasks say, to their owner; it may be lost. */
  say: words,
  /** The same, to whoever watches the shard. */
  said: words,
  /**
   * From an owner that leaves to the keeper that follows: of each task that is not new, index, attempt, losses and failures; and
   * those of them that no engine ever began.
   */
  handover: {
    key,
    ballot,
    states: indexes(4 * shardTasksMax),
    untried: added(tasks, new Uint32Array(0))
  }
} as const

/** For what concerns all tasks of a shard. */
export const everyTask = Uint32Array.from({ length: shardTasksMax }, (_, index) => index)

/** True if forgetting `name` forgets this shard: with a job all of it, and with a first shard every earlier epoch of it. */
export function covers(name: Forgettable, key: ShardKey): boolean {
  if (key === name) return true
  const shard = shardName(key)
  if (isJobId(name) || shard.index > 0) return shard.job === name
  const other = shardName(name)
  return other.job === shard.job && other.index === 0 && shard.epoch < other.epoch
}

export const keysOf = (name: Forgettable, keys: Iterable<ShardKey>): ShardKey[] =>
  [...keys].filter((key) => covers(name, key))

export type TaskMessage = MessageOf<typeof taskKinds>
export type TaskMessageOf<K extends TaskMessage['kind']> = Extract<TaskMessage, { kind: K }>

const places = codec({ placement: { at: placement } })
const nexts = codec({ next: { keepers, seats, seatsGiven: uint(SEATS) } })
type Next = Pick<ShardRecord, 'keepers' | 'seats' | 'seatsGiven'>

function orNothing<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}

/** Values of a register under keys of its own; parsing gives `undefined` for anything else. */
export const encodePlacement = (at: Placement): Uint8Array => places.encode({ kind: 'placement', at })
export const parsePlacement = (value: Uint8Array): Placement | undefined =>
  orNothing(() => places.parse(value).at)
export const encodeNext = ({ keepers, seats, seatsGiven }: Next): Uint8Array =>
  nexts.encode({ kind: 'next', keepers, seats, seatsGiven })
export function parseNext(value: Uint8Array): Next | undefined {
  const next = orNothing(() => nexts.parse(value))
  // Each keeper has its seat; of anything else no record could be made that others read.
  return next !== undefined && next.keepers.length > 0 && next.keepers.length === next.seats.length
    ? next
    : undefined
}
