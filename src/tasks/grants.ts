/**
 * Tasks of one shard as messages to the node that is to run them.
 *
 * Not here: which tasks and which node (round.ts, queue.ts).
 * Values that tasks wait for travel with the grant, so it may take several messages.
 */
import { type PeerId, seatOf } from '../ids.ts'
import { on } from '../routing/requirement.ts'
import { type Batch, pickAt } from './batch.ts'
import type { Dependents } from './dependents.ts'
import { type Send, send } from './effects.ts'
import type { Picked } from './queue.ts'
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
