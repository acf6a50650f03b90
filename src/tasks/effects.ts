/**
 * What the machines of this folder ask of the world.
 *
 * Not here: how it is done (src/node), or simulated (test/sim). A message to oneself is an effect like any other.
 * `then` is what may be said only once the write before it is on disk: durability is part of the data, not of the timing.
 */
import type { Attempt, JobId, PeerId, ShardKey } from '../ids.ts'
import type { Batch } from './batch.ts'
import type { JobHeader, TaskMessage, TaskMessageOf } from './messages.ts'

export interface Send {
  readonly kind: 'send'
  readonly to: PeerId
  readonly message: TaskMessage
}

/**
 * Records of a shard (or of a job that is forgotten), appended in order. `messages` are what the record must let us stand by.
 * With `replaces`, what was written of it before is not needed any more.
 */
export interface Persist {
  readonly kind: 'persist'
  readonly key: ShardKey | JobId
  readonly messages: readonly TaskMessage[]
  readonly replaces: boolean
  readonly then: readonly Send[]
}

/** Tasks for one engine. `keepers` have the code, if this node does not. */
export interface Run {
  readonly kind: 'run'
  readonly run: number
  readonly slot: number
  readonly key: ShardKey
  readonly keepers: readonly PeerId[]
  readonly header: JobHeader
  readonly first: number
  readonly attempt: Attempt
  /** Of the owner that granted it. */
  readonly seat: number
  readonly inputs: Batch
}

export interface CancelRun {
  readonly kind: 'cancel-run'
  readonly run: number
  readonly indexes: Uint32Array
}

/** Takes back what has not started of a run. */
export interface RecallRun {
  readonly kind: 'recall-run'
  readonly run: number
}

/**
 * Whether the owner of a machine leaves it to the mesh. `paused`: it takes nothing new, and what runs there stands still if it
 * can. `closed`: what ran was given back as well.
 */
export type Availability = 'open' | 'paused' | 'closed'

/** What keeps a machine from the mesh: somebody uses it, that cannot be seen, or it is not within its hours. */
export type Hindrance = 'in-use' | 'unseen' | 'outside-hours'

export interface Attendance {
  readonly availability: Availability
  /** Default, if it is not open: `in-use`. */
  readonly hindrance?: Hindrance | undefined
}

export type RunnerEffect = Send | Run | CancelRun | RecallRun
export type TaskEffect = Send | Persist | Run | CancelRun | RecallRun

export const send = (to: PeerId, message: TaskMessage): Send => ({ kind: 'send', to, message })

/** `then` is what may be said once this is on disk. */
export const persist = (
  key: Persist['key'],
  messages: readonly TaskMessage[],
  then: readonly Send[],
  replaces = false
): Persist => ({ kind: 'persist', key, messages, replaces, then })

/** Asks for the keepers of a shard, when those that were known are down. */
export const seek = (key: ShardKey, peers: readonly PeerId[]): Send[] =>
  peers.map((to) => send(to, { kind: 'seek', key }))

/** What running tasks say goes from their owner to whoever watches. */
export const passOn = (watchers: Iterable<PeerId>, { key, first, words }: TaskMessageOf<'say'>): Send[] =>
  [...watchers].map((to) => send(to, { kind: 'said', key, first, words }))

/** The outcomes are committed: their producer need not keep them. */
export const confirm = (to: PeerId, key: ShardKey, indexes: readonly number[]): Send =>
  send(to, { kind: 'confirm', key, indexes: Uint32Array.from(indexes) })
