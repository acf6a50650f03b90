/**
 * A shard on its way from a client to its keepers, as its entry sees it.
 *
 * Not here: which keepers are chosen, and what is done while they do not answer (entry.ts).
 */
import type { ClientMessageOf, EntryMessage } from '../client/protocol.ts'
import type { ErrorCode } from '../errors.ts'
import { type ClientId, type JobId, type PeerId, type ShardKey, shardName } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { firstSeating } from './keepers.ts'
import { covers, type Forgettable, type Placement, type ShardRecord } from './messages.ts'
import type { Trail } from './trail.ts'

export interface Submission {
  readonly client: ClientId
  readonly message: ClientMessageOf<'submit'>
  tries: number
  record: ShardRecord
  readonly stored: Set<PeerId>
  /** Set once a majority has it: the entry in the job's register is on its way. */
  entry: Trail | undefined
  /** Its keepers were told to forget it. */
  isForgotten: boolean
  triedAt: Millis
}

export interface Reply {
  readonly kind: 'reply'
  readonly client: ClientId
  readonly message: EntryMessage
}

/** Keepers that it shall have. */
export const wantedOf = ({ copies }: ClientMessageOf<'submit'>): number =>
  copies.wanted === 0 ? 3 : copies.wanted

export function recordOf(
  message: ClientMessageOf<'submit'>,
  key: ShardKey,
  keepers: readonly PeerId[]
): ShardRecord {
  const { header, first, shards, inputs, root, needs } = message
  const count = inputs.indexes.length
  const seating = firstSeating(keepers)
  return { key, ...seating, copies: wantedOf(message), header, first, count, shards, inputs, root, needs }
}

/** True if a newer first shard of its job has this one forgotten, or the one that was to name it. */
export function isSuperseded({ record, message }: Submission, name: Forgettable): boolean {
  const first = shardName(record.key).index === 0 ? record : message.root[0]
  return first !== undefined && covers(name, first.key)
}

export const placementOf = ({ key, keepers, first, count }: ShardRecord): Placement => ({
  key,
  keepers,
  first,
  count
})

export function refusal(
  client: ClientId,
  job: JobId,
  index: number,
  code: ErrorCode,
  message: string
): Reply {
  return { kind: 'reply', client, message: { kind: 'refused', job, index, code, message } }
}
