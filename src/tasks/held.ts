/**
 * What a node holds of one shard: how far each task is here, and outcomes whose commit was not confirmed.
 *
 * Not here: what follows from it (runner.ts). One byte of state per task, as at the owner (queue.ts).
 */
import type { PeerId, ShardKey } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { type Batch, bytesIn } from './batch.ts'
import { type Send, send } from './effects.ts'
import type { Chunk } from './line.ts'
import { shardTasksMax, type TaskMessageOf } from './messages.ts'
import { patienceFor } from './patience.ts'
import { Trail } from './trail.ts'

/** What ended of a shard that none of its keepers has, or of those that are up: how often it is offered. */
const orphanPatienceMs = 10_000
/** After so long it is let go, if none of all has it. */
export const orphanMaxMs = 600_000

export const HELD = { none: 0, queued: 1, running: 2, ended: 3 } as const

export interface Held {
  readonly trail: Trail
  readonly state: Uint8Array
  /** Tasks that are not `none`. */
  live: number
  outcomes: Batch[]
  sentAt: Millis
}

export const newHeld = ({ keepers, list }: TaskMessageOf<'grant'>): Held => ({
  trail: new Trail(keepers, list),
  state: new Uint8Array(shardTasksMax),
  live: 0,
  outcomes: [],
  sentAt: 0
})

/** Those of `indexes` that are in this state. */
export function inState(
  held: Held | undefined,
  indexes: Uint32Array,
  state: (typeof HELD)[keyof typeof HELD]
): Uint32Array {
  return indexes.filter((index) => (held?.state[index] ?? HELD.none) === state)
}

/**
 * Whether a task is its run's own to tell or to give back: what that gave back meanwhile is not, although a later run may
 * have it here.
 */
export function ownOf(held: Held | undefined, later: ReadonlySet<number>): (index: number) => boolean {
  return (index) => held?.state[index] === HELD.running && !later.has(index)
}

/** To who owns the shard, as far as is known here: the tasks that wait or run here, the later attempts first. */
export function holdingOf(key: ShardKey, held: Held, queued: Iterable<Chunk>, runs: Iterable<Chunk>): Send[] {
  const own = (chunks: Iterable<Chunk>): Chunk[] => [...chunks].filter((chunk) => chunk.key === key)
  const waiting = own(queued).map(({ attempt, inputs }) => ({ attempt, indexes: inputs.indexes }))
  const running = own(runs).map(({ attempt, inputs: { indexes } }) => ({
    attempt,
    indexes: inState(held, indexes, HELD.running)
  }))
  return [...waiting, ...running]
    .filter(({ indexes }) => indexes.length > 0)
    .sort((one, other) => other.attempt - one.attempt)
    .map((one) => send(held.trail.owner, { kind: 'holding', key, ...one }))
}

/** What was not confirmed in time is to be said again. */
export function isDue(
  { outcomes, sentAt, trail }: Held,
  isUp: (peer: PeerId) => boolean,
  now: Millis
): boolean {
  if (outcomes.length === 0) return false
  const isOrphan = trail.orphanedFor(now) > 0 || trail.isLackedByAll(isUp)
  return now - sentAt >= (isOrphan ? orphanPatienceMs : patienceFor(bytesIn(outcomes)))
}

/** Nobody will ever ask for it. */
export const isForNobody = ({ trail }: Held, now: Millis): boolean => trail.orphanedFor(now) > orphanMaxMs

/** Lets go of outcomes that nobody waits for. Whole batches at once: that is the common case. */
export function dropConfirmed(held: Held): void {
  held.outcomes = held.outcomes.filter(({ indexes }) => inState(held, indexes, HELD.ended).length > 0)
}

export function checkHeld({ live, state }: Held, name: string): void {
  // Looked at after every step of the simulator, and so by four tasks at a time; most are `none`.
  const words = new Uint32Array(state.buffer)
  let counted = 0
  for (let at = 0; at < words.length; at++) {
    if (words[at] === 0) continue
    for (let index = 4 * at; index < 4 * at + 4; index++) if (state[index] !== HELD.none) counted++
  }
  if (live !== counted || live === 0) assert(false, `${name}: ${live} held, ${counted} counted`)
}
