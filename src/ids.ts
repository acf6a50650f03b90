/**
 * Names of things: brands that make a mix-up a compile error, with their parsing and formatting.
 *
 * Not here: how names are chosen (random job ids come from the client's shell).
 * A shard's key says everything about its identity, `job/index/epoch`: the epoch tells a shard from the same shard stored
 * again after its first entry died before the acknowledgement.
 */
declare const brand: unique symbol
export type Id<Name extends string> = string & { readonly [brand]: Name }

/** A libp2p peer id, base58. */
export type PeerId = Id<'PeerId'>
/** 8 to 64 characters of `[A-Za-z0-9_-]`. */
export type JobId = Id<'JobId'>
/** A job at one client: by its id for who submitted it there, else by a name of each reader. */
export type JobName = JobId | Id<'JobName'>
/** `job/index/epoch`: one register. */
export type ShardKey = Id<'ShardKey'>
/** `job:index` with the index of the input in its job. */
export type TaskId = Id<'TaskId'>
/** SHA-256 of some content, base64url. */
export type Digest = Id<'Digest'>
/** Content by its hash and size, `hash.size`: what a Ref names (data/messages.ts). */
export type DataId = Id<'DataId'>
/** Where a member of the council keeps a cell (cells/). */
export type CellKey = Id<'CellKey'>
/** A client of this entry: unique per attachment. */
export type ClientId = Id<'ClientId'>

/** 1 for the first run of a task. */
export type Attempt = number
/** Totally ordered proposal number of a register: `round * SEATS + seat`. The seat is its proposer's, and never another's. */
export type Ballot = number
/** Seats of one shard in all its life, so that a ballot has one proposer; the base of a ballot. */
export const SEATS = 65_536

/** No honest mesh comes near it. Who is told of such a ballot by a liar proposes in vain, but still says what can be read. */
const roundMax = Math.floor(Number.MAX_SAFE_INTEGER / SEATS) - 1

export const ballotOf = (round: number, seat: number): Ballot => Math.min(round, roundMax) * SEATS + seat
export const roundOf = (ballot: Ballot): number => Math.floor(ballot / SEATS)
export const seatOf = (ballot: Ballot): number => ballot % SEATS

export interface ShardName {
  readonly job: JobId
  readonly index: number
  readonly epoch: number
}

export const shardKey = (job: JobId, index: number, epoch: number): ShardKey =>
  `${job}/${index}/${epoch}` as ShardKey
export const taskId = (job: JobId, index: number): TaskId => `${job}:${index}` as TaskId

const JOB = /^[A-Za-z0-9_-]{8,64}$/
const KEY = /^([A-Za-z0-9_-]{8,64})\/(\d{1,9})\/(\d{1,9})$/
const PEER = /^[1-9A-HJ-NP-Za-km-z]{1,128}$/
/** Ids of Ed25519 keys, which nodes have, have 52 characters. */
const TARGET = /^[1-9A-HJ-NP-Za-km-z]{40,128}(\/\d{1,3})?$/
const DIGEST = /^[A-Za-z0-9_-]{43}$/
const DATA = /^[A-Za-z0-9_-]{43}\.(0|[1-9]\d{0,13})$/

export const isJobId = (text: string): text is JobId => typeof text === 'string' && JOB.test(text)
/** The parts of `<job>:<index>`; without an index, those of its first task. */
export function taskNamed(text: string): { readonly job: JobId; readonly index: number } | undefined {
  if (typeof text !== 'string') return undefined
  const [job = '', index = '0', ...more] = text.split(':')
  return isJobId(job) && /^\d{1,10}$/.test(index) && more.length === 0
    ? { job, index: Number(index) }
    : undefined
}

/** The id of a node or an engine, such as there can be one: the end of an id, as people are shown it, is none. */
export const isTarget = (text: string): boolean => typeof text === 'string' && TARGET.test(text)

/** An engine by its id, `<node>/<slot>`. */
export function engineNamed(text: string): { readonly node: PeerId; readonly slot: number } | undefined {
  const [node = '', slot = '', ...more] = text.split('/')
  return isPeerId(node) && /^\d{1,3}$/.test(slot) && more.length === 0
    ? { node, slot: Number(slot) }
    : undefined
}

export const isPeerId = (text: string): text is PeerId => typeof text === 'string' && PEER.test(text)
export const isDigest = (text: string): text is Digest => DIGEST.test(text)
export const isDataId = (text: string): text is DataId => DATA.test(text)
export const isShardKey = (text: string): text is ShardKey => KEY.test(text)

export const dataId = (hash: string, size: number): DataId => `${hash}.${size}` as DataId

/** The parts of an id that was checked by `isDataId`. */
export const dataName = (id: DataId): { readonly hash: Digest; readonly size: number } => ({
  hash: id.slice(0, 43) as Digest,
  size: Number(id.slice(44))
})

/** The parts of a key that was checked by `isShardKey`. */
export function shardName(key: ShardKey): ShardName {
  const [job = '', index = '0', epoch = '0'] = key.split('/')
  return { job: job as JobId, index: Number(index), epoch: Number(epoch) }
}
