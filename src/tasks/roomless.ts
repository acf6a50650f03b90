/**
 * Nodes whose disk had no room for what a task needs, or for what it made: whether the task goes elsewhere, and who gets no such
 * tasks for a while.
 *
 * Not here: what a node cannot keep (node/provisions.ts). It is as with a shop that is sold out: nobody is sent there again at once,
 * and it is no fault of whoever wanted to buy. As such a node is done with every task in no time, it would get nearly all of them.
 */
import type { Digest, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Requirement } from '../routing/requirement.ts'
import { type Batch, readOutcomeHeader, STATUS, valueAt } from './batch.ts'
import type { JobHeader } from './messages.ts'
import type { Queue, Return } from './queue.ts'

/** For so long a node gets no tasks of the code for which it had no room, if others are there. */
export const restMs = 30_000
/** Nodes and codes of which this is remembered; the oldest are forgotten. */
const restingMax = 1_024
/** Runs of one task whose result had no room where they ran; after these it fails. */
export const movesMax = 8

export class Roomless {
  readonly #until = new Map<string, { readonly peer: PeerId; readonly code: Digest; readonly at: Millis }>()
  readonly #able: (requires: Requirement, except: ReadonlySet<PeerId>) => number

  /** `able`: how many nodes that take work could run this. */
  constructor(able: (requires: Requirement, except: ReadonlySet<PeerId>) => number) {
    this.#able = able
  }

  /** Who rests from tasks of this code; nobody, if all do that could run them. O(nodes that rest). */
  resting({ code, requires }: JobHeader, now: Millis): Set<PeerId> {
    const resting = this.#resting(code, now)
    return resting.size === 0 || this.#able(requires, resting) > 0 ? resting : new Set()
  }

  /**
   * How a granted task waits again of which that node had no room for what it needs (`unfed`) or made, as another one may have; that
   * node rests. `undefined` if this is how it ends, or it ended otherwise.
   */
  moved(
    header: JobHeader,
    queue: Queue,
    { outcomes, at }: { readonly outcomes: Batch; readonly at: number },
    now: Millis
  ): Return | undefined {
    const { status, startedAt } = readOutcomeHeader(valueAt(outcomes, at))
    if (status !== STATUS.noRoom) return undefined
    const [peer, index, hasBegun] = [outcomes.node as PeerId, outcomes.indexes[at] as number, startedAt > 0]
    // What follows another task to its engine can go nowhere else.
    if (queue.places.has(index) || (hasBegun && header.atMostOnce)) return undefined
    const full = this.#resting(header.code, now).add(peer)
    if (this.#able(header.requires, full) === 0) return undefined
    if (hasBegun && queue.tried.move(index) > movesMax) return undefined
    this.#rests(peer, header.code, now)
    return hasBegun ? 'handed-back' : 'unfed'
  }

  #rests(peer: PeerId, code: Digest, now: Millis): void {
    const name = `${code} ${peer}`
    this.#until.delete(name)
    this.#until.set(name, { peer, code, at: now + restMs })
    for (const oldest of this.#until.keys()) if (this.#until.size > restingMax) this.#until.delete(oldest)
  }

  #resting(code: Digest, now: Millis): Set<PeerId> {
    const resting = new Set<PeerId>()
    for (const [name, one] of this.#until) {
      if (one.at <= now) this.#until.delete(name)
      else if (one.code === code) resting.add(one.peer)
    }
    return resting
  }
}
