/**
 * A node's disk as its core sees it: whether it can be relied on, and what may be said only once a write is on it.
 *
 * Not here: what is written (tasks/keeper.ts, cells/acceptor.ts; `then` is what waits for it), and the writing (journal.ts).
 */
import type { CellPersist, CellSend } from '../cells/effects.ts'
import type { Persist, Send } from '../tasks/effects.ts'
import type { CoreEffect } from './effects.ts'

type AnySend = Send | CellSend

export class AfterWrites {
  /** `sound`, or why nothing is written any more. */
  state: 'sound' | string
  #waiting: { id: number; sends: readonly AnySend[] }[] = []
  #writes = 0
  #done = 0

  constructor(state: 'sound' | string) {
    this.state = state
  }

  get isSound(): boolean {
    return this.state === 'sound'
  }

  /** Number of the last write that was asked for. */
  get asked(): number {
    return this.#writes
  }

  /** That one and all before it are on disk, as far as they ever will be. */
  hasDone(write: number): boolean {
    return this.#done >= write || !this.isSound
  }

  /** Nothing if the disk cannot be relied on: then what waits for it is never said. */
  write(effect: Persist | CellPersist): CoreEffect[] {
    if (!this.isSound) return []
    const id = ++this.#writes
    if (effect.then.length > 0) this.#waiting.push({ id, sends: effect.then })
    return [{ ...effect, id }]
  }

  /** Every write up to this one is on disk. */
  done(upTo: number): AnySend[] {
    this.#done = upTo
    const end = this.#waiting.findIndex(({ id }) => id > upTo)
    const done = this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
    return done.flatMap(({ sends }) => [...sends])
  }

  /** Nothing more will be written, also if the disk could take it again: what a failed write left there is not known. In words. */
  fail(reason: string): string {
    this.state = reason
    this.#waiting = []
    return `stops keeping shards: ${reason}; restart this node once its disk is in order`
  }
}
