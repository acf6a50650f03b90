/**
 * Tasks of one shard as messages to the node that is to run them, or is to stop.
 *
 * Not here: which tasks and which node (round.ts, queue.ts).
 * Values that tasks wait for travel with the grant, so it may take several messages.
 */
import { type PeerId, type ShardKey, seatOf } from '../ids.ts'
import { on } from '../routing/requirement.ts'
import { type Batch, pickAt } from './batch.ts'
import type { Dependents } from './dependents.ts'
import { type Send, send } from './effects.ts'
import type { Picked, Queue } from './queue.ts'
import type { Register } from './register.ts'

/** Of inputs in one message; a larger one travels alone. */
const grantBytesMax = 4 << 20

export function grantsOf(
  { record, ballot }: Pick<Register, 'record' | 'ballot'>,
  to: PeerId,
  { indexes, attempt, engine }: Picked,
  { waiting, dependents }: { readonly waiting: number; readonly dependents: Dependents | undefined }
): Send[] {
  const { key, header: all, list, keepers, first, inputs: stored } = record
  const seat = seatOf(ballot)
  const header = engine === undefined ? all : { ...all, requires: on(engine, all.requires) }
  const grant = { kind: 'grant', key, header, list, keepers, first, attempt, waiting, seat } as const
  // Inputs are stored in order: the value of task `i` is at position `i`.
  const inputs = pickAt(stored, indexes)
  if (dependents === undefined) return [send(to, { ...grant, inputs })]
  return portions(dependents.fill(inputs)).map((some) => send(to, { ...grant, inputs: some }))
}

/** Ends these tasks where they run, or wait to. */
export const revoke = (to: PeerId, key: ShardKey, indexes: readonly number[]): Send[] =>
  indexes.length === 0 ? [] : [send(to, { kind: 'revoke', key, indexes: Uint32Array.from(indexes) })]

/** Ends what others run of a shard; of some tasks, or of all. */
export const revokesOf = (key: ShardKey, queue: Queue, only?: ReadonlySet<number>): Send[] =>
  queue.holders().flatMap((to) =>
    revoke(
      to,
      key,
      queue.heldBy(to).filter((index) => only?.has(index) ?? true)
    )
  )

function portions(inputs: Batch): Batch[] {
  const all: number[][] = [[]]
  let bytes = 0
  for (const at of inputs.indexes.keys()) {
    const size = (inputs.ends[at] as number) - (at === 0 ? 0 : (inputs.ends[at - 1] as number))
    if (bytes > 0 && bytes + size > grantBytesMax) {
      all.push([])
      bytes = 0
    }
    bytes += size
    all.at(-1)?.push(at)
  }
  return all.map((positions) => pickAt(inputs, positions))
}
