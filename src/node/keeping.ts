/**
 * Those who wait until enough nodes have what they put: for as long as its bytes move, and not much longer.
 *
 * Not here: which nodes, and how many are enough (data/guard.ts).
 * Like a parcel that is followed: nobody gives it up while it is reported from one station after the other.
 */
import { ShoalError } from '../errors.ts'
import { type DataId, dataName } from '../ids.ts'

/** Nothing of it moved for so long. */
export const keepMs = 60_000
/** Bytes in a millisecond that count as no progress, where it goes from one node to the next unseen by this one. */
const slowestBytesPerMs = 1_000

interface Wait {
  readonly id: DataId
  readonly resolve: (copies: number) => void
  readonly timer: NodeJS.Timeout
}

export class Keeping {
  readonly #waits = new Map<number, Wait>()
  #asks = 0

  /** `tell` says to the core that this number asks, `untell` that it does not any more. Rejects with SHOAL_NO_KEEPERS. */
  async until(id: DataId, tell: (ask: number) => void, untell: (ask: number) => void): Promise<number> {
    const ask = ++this.#asks
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const patienceMs = keepMs + Math.ceil(dataName(id).size / slowestBytesPerMs)
    const timer = setTimeout(() => {
      untell(ask)
      const what = `too few nodes took data ${id}, and nothing of it moved for ${patienceMs} ms`
      const advice = 'start more nodes, or see `shoal status` for those that are full'
      reject(new ShoalError('SHOAL_NO_KEEPERS', `${what}; ${advice}`))
    }, patienceMs)
    this.#waits.set(ask, { id, resolve, timer })
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

  /** A piece of it came here, or went from here to another node. */
  moved(id: DataId): void {
    for (const wait of this.#waits.values()) if (wait.id === id) wait.timer.refresh()
  }

  close(): void {
    for (const { timer } of this.#waits.values()) clearTimeout(timer)
  }
}
