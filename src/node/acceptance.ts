/**
 * Whether the mesh has a job as a whole, so that it goes on without the client that submitted it.
 *
 * Not here: who asks for that (client/share.ts: whoever submits a key when its submitter may be lost), and who asks all nodes (desk.ts).
 * That client is the one who would have heard it; the same can be read from what nodes keep: the job's register says how many shards
 * there are and where, and what runs at most once also must have been let start.
 */
import { triesMax } from '../client/protocol.ts'
import { isJobId, isShardKey, type ShardKey, shardName } from '../ids.ts'
import { isClosed, isCut, placesIn } from '../tasks/closing.ts'
import type { Keeper } from '../tasks/keeper.ts'
import { startOf } from '../tasks/start.ts'
import { isObject } from './inquiry.ts'

/** What a node says of one job. */
export interface AcceptanceReport {
  /** Its newest first shard that is kept here, if any is … */
  readonly root?: ShardKey
  /** … and of that, if its submitter has closed the job, the shards that are to be let start; the first one is among them. */
  readonly shards: readonly ShardKey[]
  /** Those that are kept here and are let start. */
  readonly started: readonly ShardKey[]
}

export function acceptanceReport(keeper: Keeper, job: string): AcceptanceReport {
  const root = isJobId(job) ? keeper.root(job) : undefined
  const started = isJobId(job) ? [...keeper.shardsOf(job)].filter((key) => isStarted(keeper, key)) : []
  if (root === undefined) return { shards: [], started }
  const register = { record: root, committed: keeper.outcomes(root.key) }
  if (!isClosed(register) || isCut(register)) return { root: root.key, shards: [], started }
  const others = root.header.atMostOnce ? placesIn(register).map(({ key }) => key) : []
  return { root: root.key, shards: [root.key, ...others], started }
}

/** Others start by themselves: of those only the first shard is spoken of. */
function isStarted(keeper: Keeper, key: ShardKey): boolean {
  if (!keeper.record(key)?.header.atMostOnce) return shardName(key).index === 0
  return startOf({ committed: keeper.outcomes(key) }) === 'started'
}

/** As which of its client's epochs the mesh has the job as a whole; `null` if it has not, as far as nodes said. */
export function mergeAcceptance(said: readonly unknown[]): number | null {
  const reports = said.filter(isReport)
  const newest = Math.max(-1, ...reports.map(({ root }) => epochOf(root)))
  const shards = reports.find(({ root, shards }) => epochOf(root) === newest && shards.length > 0)?.shards
  const started = new Set(reports.flatMap((report) => report.started))
  if (shards === undefined || !shards.every((key) => started.has(key))) return null
  return Math.floor(newest / triesMax)
}

const epochOf = (root: ShardKey | undefined): number => (root === undefined ? -1 : shardName(root).epoch)

function isReport(value: unknown): value is AcceptanceReport {
  if (!isObject(value)) return false
  const { root, shards, started } = value as Partial<Record<keyof AcceptanceReport, unknown>>
  const areKeys = (list: unknown): boolean => Array.isArray(list) && list.every(isKey)
  return (root === undefined || isKey(root)) && areKeys(shards) && areKeys(started)
}

const isKey = (value: unknown): boolean => typeof value === 'string' && isShardKey(value)
