/**
 * How far the mesh has taken over a job: what was handed to it, and what it said that it has.
 *
 * Not here: sending it (session.ts), and the handle (job.ts).
 * All is taken over only once the mesh also knows that nothing more will come: or it would wait for more of a client that, told so, has
 * left. And of one that was submitted by a key, only once the book of keys says so: or who submits the key again would make another.
 */
import type { Shelf } from './shelf.ts'

export class Handing {
  tasks = 0
  #shards = 0
  #accepted = 0
  #isClosed = false
  #isNoted: boolean
  /** Why it never will be. */
  unnoted: Error | undefined
  /** Nothing more will be handed over from here. */
  isFed = false

  constructor(isByKey: boolean) {
    this.#isNoted = !isByKey
  }

  /** Shards that nobody has said that the mesh has. */
  get ahead(): number {
    return this.#shards - this.#accepted
  }

  /** Every shard is in the mesh that will be. */
  get hasAll(): boolean {
    return this.isFed && this.ahead <= 0
  }

  /** And the mesh knows that. */
  get isOver(): boolean {
    return this.hasAll && (this.#isClosed || this.#shards === 0)
  }

  /** And whoever submits its key again finds it. */
  get isAccepted(): boolean {
    return this.isOver && this.#isNoted
  }

  gave(tasks: number): void {
    this.tasks += tasks
    this.#shards++
  }

  accepted(): void {
    this.#accepted++
  }

  closed(): void {
    this.#isClosed = true
  }

  /** Whoever waits for it takes no interest in the results by that. */
  untilAccepted(shelf: Shelf<unknown>): Promise<void> {
    return shelf.until(() => {
      if (this.unnoted !== undefined) throw this.unnoted
      return this.isAccepted || (this.isOver && shelf.isCancelled)
    })
  }

  /** By the book of keys; with an error, nobody will know that it is. */
  noted(error?: Error): void {
    this.unnoted = error
    this.#isNoted = error === undefined
  }

  /** The job has ended. */
  ended(): void {
    this.isFed = true
    this.#accepted = this.#shards
    this.#isClosed = true
  }
}
