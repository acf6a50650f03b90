/**
 * What a node that leaves has not given to others yet, and whether it may go.
 *
 * Not here: giving it (tasks/departure.ts, tasks/repair.ts, data/guard.ts), and how long it waits for that (node.ts).
 * What it promised to others must have been said, too: with its answer they may have a majority, and without it none.
 */
import type { Cells } from '../cells/cells.ts'
import type { Millis } from '../machine.ts'
import type { Membership } from '../routing/membership.ts'
import type { Owner } from '../tasks/owner.ts'
import type { Runner } from '../tasks/runner.ts'
import type { AfterWrites } from './after.ts'
import type { Stock } from './stock.ts'

/**
 * Held of so many shards, tasks that run or whose outcomes are not confirmed; kept shards that others could keep, or if no other
 * node is there, those that are not finished; and shards of open work that others keep, too, but without this node too few of
 * them to go on: it stands still until a keeper of it that left is back.
 */
export interface Burden {
  readonly tasks: number
  readonly shards: number
  readonly stalled: number
}

export interface LeftoversView {
  readonly membership: Membership
  readonly owner: Owner
  readonly runner: Runner
  readonly stock: Stock
  readonly cells: Cells
}

export class Leftovers {
  readonly #view: LeftoversView
  readonly #disk: AfterWrites
  /** The last write that was asked for when nothing was left any more. */
  #lastWrite: number | undefined
  /** What was found at the last look: work that needs this node, or else something that others could keep. */
  #wasNeeded = false

  constructor(view: LeftoversView, disk: AfterWrites) {
    this.#view = view
    this.#disk = disk
  }

  get isAlone(): boolean {
    return this.#view.membership.peers().length === 0
  }

  /** All of it; of a node that is alone, what it does not finish. */
  burden(now: Millis): Burden {
    const { owner, runner } = this.#view
    if (!this.isAlone) {
      const stalled = owner.departure.needed(now)
      return { tasks: runner.held, shards: this.#movable(now), stalled }
    }
    const unfinished = [...owner.leads.values()].filter(({ queue }) => queue.unfinished > 0)
    return { tasks: runner.held, shards: unfinished.length, stalled: 0 }
  }

  /** Nothing is left, and all that was promised by then is on disk and was said. */
  areOver(now: Millis): boolean {
    if (this.#view.runner.held > 0 || this.#isAnyLeft(now)) this.#lastWrite = undefined
    else this.#lastWrite ??= this.#disk.asked
    return this.#lastWrite !== undefined && this.#disk.hasDone(this.#lastWrite)
  }

  /** One is enough to go on: a look at all that is kept, again and again, would stop the handing over itself. */
  #isAnyLeft(now: Millis): boolean {
    const isNeeded = (): boolean => this.#view.owner.departure.isNeeded(now)
    const isMovable = (): boolean => this.#movable(now, 1) > 0
    const [first, other] = this.#wasNeeded ? [isNeeded, isMovable] : [isMovable, isNeeded]
    if (first()) return true
    if (!other()) return false
    this.#wasNeeded = !this.#wasNeeded
    return true
  }

  #movable(now: Millis, most?: number): number {
    const { owner, stock, cells } = this.#view
    return owner.repairs.movable(now, most) + stock.movable(now) + cells.movable(now)
  }
}

/**
 * For people, if anything is left.
 * @internal
 */
export function leftover({ tasks, shards, stalled }: Burden, data: string | undefined): string {
  const counted = (count: number): string => `${count} ${count === 1 ? 'shard' : 'shards'}`
  const where =
    data === undefined ? 'with this node it is gone' : `it is in ${data} until this node is started again`
  const lost = `in this time nobody took over ${counted(shards)} and what was running of ${counted(tasks)}; ${where}`
  const who = data === undefined ? 'another one that left' : 'this node or another one that left'
  const standing = `open work of ${counted(stalled)} stands still: too few of its keepers stay; it goes on when ${who} is back`
  return [...(tasks + shards > 0 ? [lost] : []), ...(stalled > 0 ? [standing] : [])].join('; ')
}
