/**
 * What the machines of this folder ask of the world.
 *
 * Not here: how it is done (src/node), or simulated (test/sim). A message to oneself is an effect like any other.
 * `then` is what may be said only once the writes before it are on disk: durability is part of the data, not of the timing.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Batch } from './batch.ts'
import type { TaskMessage } from './messages.ts'

export interface Send {
  readonly kind: 'send'
  readonly to: PeerId
  readonly message: TaskMessage
}

/** One record of a shard, appended in order. `message` is the very message that the record must let us stand by. */
export interface Persist {
  readonly kind: 'persist'
  readonly key: ShardKey
  readonly message: TaskMessage
  readonly then: readonly Send[]
}

export interface Run {
  readonly kind: 'run'
  readonly run: number
  readonly key: ShardKey
  readonly first: number
  readonly attempt: number
  readonly inputs: Batch
}

export type TaskEffect = Send | Persist | Run

export const send = (to: PeerId, message: TaskMessage): Send => ({ kind: 'send', to, message })
