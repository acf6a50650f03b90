/**
 * What is asked for what is put, and those who wait until enough nodes have it: for as long as its bytes move, and not much longer.
 *
 * Not here: which nodes, how many are enough, and for what no node has room (data/guard.ts).
 * Like a parcel that is followed: nobody gives it up while it is reported from one station after the other.
 */
import type { PinLeft } from '../data/depot.ts'
import { ShoalError } from '../errors.ts'
import { type DataId, dataName } from '../ids.ts'
import { chunksIn } from './chunks.ts'

/** What was put stays for so long, unless jobs need it for longer. */
export const retentionMs = 86_400_000
/** Nothing of it moved for so long. */
export const keepMs = 60_000
/** How often each of its chunks may move: once for each copy, and as often for nothing. More is no progress. */
const movesMax = 32
/** Bytes in a millisecond that count as no progress, where it goes from one node to the next unseen by this one. */
const slowestBytesPerMs = 1_000

export interface PutPlan {
  /** Milliseconds that it stays at least; 0 = `retentionMs`. */
  readonly pinMs: number
  /** Records of a job are to name it within that time: then it stays as long as they do. */
  readonly isForJob?: boolean
  /** 0 = as usual. */
  readonly copies: number
}

/** By a user it is pinned, for a job it is bridged (data/depot.ts). */
export function pinOf({ pinMs, isForJob = false }: PutPlan): PinLeft {
  const forMs = pinMs || retentionMs
  return isForJob ? { pinMs: 0, bridgeMs: forMs } : { pinMs: forMs, bridgeMs: 0 }
}

interface Wait {
  readonly id: DataId
  /** How many chunks may still move that somebody waits for. */
  left: number
  readonly resolve: (copies: number) => void
  readonly reject: (why: Error) => void
  readonly timer: NodeJS.Timeout
}

export class Keeping {
  readonly #waits = new Map<number, Wait>()
  #asks = 0
  #closed: Error | undefined

  /** `tell` says to the core that this number asks, `untell` that it does not any more. Rejects with SHOAL_NO_KEEPERS. */
  async until(id: DataId, tell: (ask: number) => void, untell: (ask: number) => void): Promise<number> {
    if (this.#closed !== undefined) throw this.#closed
    const ask = ++this.#asks
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const patienceMs = keepMs + Math.ceil(dataName(id).size / slowestBytesPerMs)
    const timer = setTimeout(() => {
      untell(ask)
      const what = `too few nodes took data ${id}, and nothing of it moved for ${patienceMs} ms`
      const advice = 'start more nodes, or see `shoal status` for those that are full'
      reject(new ShoalError('SHOAL_NO_KEEPERS', `${what}; ${advice}`))
    }, patienceMs)
    this.#waits.set(ask, { id, left: chunksIn(id) * movesMax, resolve, reject, timer })
    tell(ask)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waits.delete(ask)
    }
  }

  /** So many nodes have it. */
  kept(ask: number, copies: number): void {
    this.#waits.get(ask)?.resolve(copies)
  }

  /** No node has room for it. */
  refused(ask: number): void {
    const wait = this.#waits.get(ask)
    if (wait === undefined) return
    const what = `no node has room for the ${dataName(wait.id).size} bytes of data ${wait.id}`
    const advice = 'free data or release jobs, start more nodes, or raise `quota.data`'
    wait.reject(new ShoalError('SHOAL_NO_KEEPERS', `${what}; ${advice}`))
  }

  /** A piece of it came here, or went from here to another node. */
  moved(id: DataId): void {
    for (const wait of this.#waits.values()) if (wait.id === id && wait.left-- > 0) wait.timer.refresh()
  }

  /** Whoever waits is told why, and so is whoever would. */
  close(why: Error): void {
    this.#closed = why
    for (const { reject } of this.#waits.values()) reject(why)
  }
}
