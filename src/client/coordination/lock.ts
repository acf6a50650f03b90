/**
 * A lock that all of a mesh share, and a semaphore, which is one with several permits.
 *
 * Not here: what a holder has (hold.ts), and how nodes agree on who that is (cells/).
 * Whoever holds one says so again and again, by a timer of this process; if that stops for longer than its lease, somebody
 * else gets it. So a holder that computes for longer without a pause has lost it, like one that died.
 */
import { holdersMax, leaseMsMax } from '../../cells/commands.ts'
import type { ClientCells } from '../cells.ts'
import { onlyKnown } from '../checks.ts'
import type { Hold } from './hold.ts'
import {
  badOption,
  type CallOptions,
  cellName,
  patience,
  timedOut,
  unreadable,
  type WaitingOptions
} from './options.ts'

export interface LeaseOptions {
  /**
   * Milliseconds, 500 to 86,400,000, for which a holder that says nothing still has it; it is renewed in thirds of that. Others
   * get it about 1.5 times as long after the last word of a holder that died. Default 30,000.
   */
  readonly lease?: number
}

const leaseDefault = 30_000
const leaseMin = 500

abstract class Shared {
  readonly name: string
  protected readonly cell: string
  readonly #permits: number
  readonly #leaseMs: number
  readonly #cells: ClientCells

  constructor(cells: ClientCells, cell: string, name: string, permits: number, lease: number) {
    if (!Number.isInteger(lease) || lease < leaseMin || lease > leaseMsMax)
      throw badOption(
        `\`lease\` is ${String(lease)}; it is a whole number of milliseconds from ${leaseMin} to ${leaseMsMax}`
      )
    this.cell = cell
    this.name = name
    this.#permits = permits
    this.#leaseMs = lease
    this.#cells = cells
  }

  /**
   * Waits until it is free, and holds it. `await using hold = await lock.acquire()` gives it back at the end of the block. Within
   * a task, it is given back at the end of the task at the latest. Not reentrant: each call is a holder of its own.
   */
  async acquire(options: WaitingOptions = {}): Promise<Hold> {
    const plan = { permits: this.#permits, leaseMs: this.#leaseMs }
    const hold = await this.#cells.acquire(this.cell, plan, patience(options))
    if (hold === undefined) throw timedOut(`${this.cell} is not free`)
    return hold
  }

  /** Holds it if it is free now; else `undefined`. */
  async tryAcquire({ signal }: CallOptions = {}): Promise<Hold | undefined> {
    const plan = { permits: this.#permits, leaseMs: this.#leaseMs }
    return await this.#cells.acquire(this.cell, plan, { timeout: 0, signal })
  }

  /**
   * Calls `work` while it is held, and gives it back whatever comes of that. Rejects with SHOAL_LEASE_LOST if it was lost
   * meanwhile, also if `work` ended well.
   */
  async with<R>(work: (hold: Hold) => R | Promise<R>, options: WaitingOptions = {}): Promise<R> {
    const hold = await this.acquire(options)
    let value: R
    try {
      value = await work(hold)
    } catch (error) {
      await hold[Symbol.asyncDispose]().catch(() => {})
      throw error
    }
    await hold[Symbol.asyncDispose]()
    return value
  }

  /** How many hold it now. */
  protected async holders(signal: AbortSignal | undefined): Promise<number> {
    const { answer } = await this.#cells.call(this.cell, { kind: 'read' }, { signal })
    if (answer.kind !== 'count') throw unreadable(this.cell)
    return answer.count
  }
}

function leaseOf(options: LeaseOptions): number {
  onlyKnown(options, ['lease'])
  const { lease = leaseDefault } = options
  return lease
}

/** Held by one at a time. */
export class MeshLock extends Shared {
  constructor(cells: ClientCells, name: string, options: LeaseOptions = {}) {
    super(cells, cellName('lock', name), name, 1, leaseOf(options))
  }

  /** Whether somebody holds it, or held it and died less than its lease ago. */
  async isHeld({ signal }: CallOptions = {}): Promise<boolean> {
    return (await this.holders(signal)) > 0
  }
}

/** Held by `permits` at a time. */
export class MeshSemaphore extends Shared {
  readonly permits: number

  constructor(cells: ClientCells, name: string, permits: number, options: LeaseOptions = {}) {
    if (!Number.isInteger(permits) || permits < 1 || permits > holdersMax)
      throw badOption(`a semaphore has 1 to ${holdersMax} permits, not ${String(permits)}`)
    super(cells, cellName('semaphore', name), name, permits, leaseOf(options))
    this.permits = permits
  }

  /** Permits that are taken, those of holders that died less than their lease ago included. */
  async held({ signal }: CallOptions = {}): Promise<number> {
    return await this.holders(signal)
  }
}
