/**
 * Whether a shard that may run only once may start: its own register decides it, once.
 *
 * Not here: who asks for it (client/session.ts: its client, once it knows which of several epochs counts) and who waits
 * (lead.ts). An owner that waited in vain proposes that it never starts; whatever is committed first is the truth for both.
 */
import { type Batch, pack, valueAt } from './batch.ts'
import { startIndex } from './messages.ts'
import type { Register } from './register.ts'

/** A shard that no client let start in this time never does. */
export const startWithinMs = 60_000

export const never: Batch = pack('', [startIndex], [Uint8Array.of(1)])
export const mayStart = (value: Uint8Array): boolean => value.byteLength === 0

export function startOf({ committed }: Pick<Register, 'committed'>): 'open' | 'started' | 'never' {
  const start = committed.get(startIndex)
  if (start === undefined) return 'open'
  return mayStart(valueAt(start.batch, start.at)) ? 'started' : 'never'
}
