/**
 * Why a piece of data is to stay on this node: records of nodes name it, a user pinned it, or it was put for a job.
 *
 * Not here: what follows from that (depot.ts). Of two jobs that were given the same nobody knows which records are whose; so
 * in doubt it stays, for as long as one may wait for its records.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'

/** Between two words of a node that its records name what is held elsewhere. */
export const renewEveryMs = 60_000
/** After nobody had what was wanted; then twice as long each time, and at last `renewEveryMs`. */
export const fetchAgainMs = 2_000
/** When the last records let go of what was put for them; those of others may be on their way. */
export const lingerMs = 10_000
/** Pins are made longer only if that says something new: or two clocks would make them eternal. */
const pinSlackMs = 2 * renewEveryMs

export interface Item {
  readonly bytes: number
  state: 'absent' | 'coming' | 'here'
  readonly leases: Map<PeerId, Millis>
  pinnedUntil: Millis
  /** It was put for a job whose records are to name it by then. */
  bridgedUntil: Millis
  /** When it was last put for one, and when other records were last seen to name it. */
  bridgedAt: Millis
  namedAt: Millis
  /** When records last let go of it since their job was over. */
  overAt: Millis
  /** Who put it last, and whether somebody else had before: of these nobody knows whose records named it. */
  putBy: string
  isShared: boolean
  /** Who had put it for the jobs that it was named by and that are over. */
  crossedPut: string
  /** Records named it, and do not any more: the bridge led somewhere. */
  isCrossed: boolean
  /** Said by somebody, and not only found on the disk: this node then sees to the other copies too (guard.ts). */
  isPinned: boolean
  /** It was needed once, so that it goes when it is not any more; else it is here for use. */
  isKept: boolean
  copies: number
  /** So many put it here, and wait until others have it: nobody else may. */
  putters: number
  usedAt: Millis
  /** Nobody had it: it is asked for again then, and so much later the next time, unless somebody is said to have it. */
  fetchAt: Millis
  againMs: Millis
  /** Who wants to hear when it is here. */
  readonly askers: Set<PeerId>
}

export function newItem(bytes: number, now: Millis): Item {
  return {
    bytes,
    state: 'absent',
    leases: new Map(),
    pinnedUntil: 0,
    bridgedUntil: 0,
    bridgedAt: 0,
    namedAt: 0,
    overAt: 0,
    putBy: '',
    isShared: false,
    crossedPut: '',
    isCrossed: false,
    isPinned: false,
    isKept: false,
    copies: 0,
    putters: 0,
    usedAt: now,
    fetchAt: now,
    againMs: fetchAgainMs,
    askers: new Set()
  }
}

/** Its jobs are over, and what is left is the wait for records of others. */
export function isGoing({ isCrossed, isPinned, leases, pinnedUntil }: Item, now: Millis): boolean {
  return isCrossed && !isPinned && leases.size === 0 && pinnedUntil <= now + lingerMs
}

/** By who has just put it, or by others who go on to see to it: ''. */
export function bridge(item: Item, now: Millis, forMs: Millis, putBy: string): void {
  if (putBy !== '') {
    item.isShared ||= item.putBy !== '' && item.putBy !== putBy
    item.putBy = putBy
    item.bridgedAt = now
    item.isCrossed = false
  } else if (item.isCrossed || now + forMs <= item.bridgedUntil + pinSlackMs) return
  item.bridgedUntil = Math.max(item.bridgedUntil, now + forMs)
}

/** Records let go of it. `isOver`: as their job is; else it may be submitted once more. */
export function unnamed(item: Item, isOver: boolean, now: Millis): void {
  if (isOver) item.overAt = now
  if (item.leases.size > 0) return
  if (item.overAt > 0 && item.overAt >= item.namedAt) cross(item, now)
  // Others may come for the second time, too, and after the time in which the first of them had to.
  if (item.bridgedUntil > 0) item.bridgedUntil = Math.max(item.bridgedUntil, now + lingerMs)
  if (item.isCrossed && item.bridgedUntil > 0) item.bridgedUntil = now + lingerMs
}

/** What was put since records first named it was put for others, and what was put by several may have been. */
export function cross(item: Item, now: Millis): void {
  if (item.isShared || item.bridgedAt > item.namedAt) return
  if (item.putBy !== '') item.crossedPut = item.putBy
  item.putBy = ''
  item.isCrossed = true
  item.bridgedUntil = Math.min(item.bridgedUntil, now + lingerMs)
}

export function pin(item: Item, until: Millis, isNew: boolean): void {
  if (until > item.pinnedUntil + pinSlackMs || isNew || !item.isPinned)
    item.pinnedUntil = Math.max(until, item.isPinned ? item.pinnedUntil : 0)
  item.isPinned = true
}
