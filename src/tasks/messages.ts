/**
 * Everything nodes say to each other about work, with the limit of every field.
 *
 * Not here: how a schema is checked (wire.ts), and what a message causes (keeper.ts, owner.ts, runner.ts, entry.ts).
 * The field order of a schema is its wire format: append only.
 */
import { isDigest, isJobId, isPeerId, isShardKey } from '../ids.ts'
import { batch, type Checked, codec, finite, indexes, list, type MessageOf, record, text, uint } from '../wire.ts'

/** Tasks of one shard at most; a client cuts earlier by bytes. */
export const shardTasksMax = 1_024
const UINT32 = 0xffffffff

const job = text(64, isJobId)
const key = text(96, isShardKey)
const peer = text(128, isPeerId)
const ballot = uint()
const keepers = list(peer, 15)

/** What the submitter says of all tasks of a job; travels in every shard. */
export const header = record({
  job,
  name: text(128),
  code: text(43, isDigest),
  exportName: text(128),
  retries: uint(1_000),
  timeoutMs: uint(UINT32),
  priority: finite,
  submittedAt: finite
})
export type JobHeader = Checked<typeof header>

export const shardRecord = record({ key, keepers, header, first: uint(UINT32), count: uint(shardTasksMax), inputs: batch })
export type ShardRecord = Checked<typeof shardRecord>

const accepted = record({ ballot, outcomes: batch })
export type AcceptedBatch = Checked<typeof accepted>

const schemas = {
  store: { record: shardRecord },
  stored: { key },
  prepare: { key, ballot },
  promised: { key, ballot, accepted: list(accepted, 4_096) },
  rejected: { key, ballot },
  accept: { key, ballot, serial: uint(), outcomes: batch },
  accepted: { key, ballot, serial: uint() },
  watch: { key, have: indexes(shardTasksMax) },
  committed: { key, outcomes: batch },
  claim: { tasks: uint(4_096) },
  grant: { key, ballot, header, keepers, first: uint(UINT32), attempt: uint(65_535), inputs: batch },
  outcomes: { key, serial: uint(), outcomes: batch },
  confirm: { serial: uint() }
} as const

export const taskMessages = codec(schemas)
export type TaskMessage = MessageOf<typeof schemas>
