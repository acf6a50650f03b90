/**
 * Values across the border between the host and its blocked caller, made to be copied and made whole again.
 *
 * Not here: what travels for what cannot be copied (stubs.ts, objects.ts), and errors that are thrown (failures.ts).
 */
import { aggregatesWithin, restoreAggregates } from '../../tasks/executor/aggregates.ts'
import { packValue, type Search, unpackValue } from '../gaps.ts'
import type { Packed, Special } from './protocol.ts'

/** For what is data and nothing else. */
const nothing: Search<Special> = { specialOf: () => undefined, depthMax: 0, partsMax: 0 }

export function pack(value: unknown, search = nothing): Packed {
  const packed = packValue(value, search)
  return { ...packed, aggregates: aggregatesWithin(packed.value) }
}

/** In place: what was copied belongs to nobody else. */
export function unpack(packed: Packed, restored: (special: Special) => unknown): unknown {
  restoreAggregates(packed.aggregates)
  return unpackValue(packed, restored)
}
