/**
 * What somebody holds: a lock, or one permit of a semaphore, until it is released, or lost.
 *
 * Not here: renewing it (client/orders.ts), and when it counts as free (cells/leases.ts).
 */
import { ShoalError } from '../../errors.ts'

interface Lease {
  /** Whether it may be relied on at this moment. */
  readonly isHeld: () => boolean
  readonly release: () => Promise<void>
}

/** Give it back by `release()`, or let `await using` do so. */
export class Hold implements AsyncDisposable {
  /**
   * Greater than that of everybody who had this lock or semaphore before. What the lock protects can refuse whoever comes with
   * a smaller one than it has seen: the only defence against a holder that was stopped for longer than its lease.
   */
  readonly token: number
  readonly #what: string
  readonly #lease: Lease
  readonly #lost = new AbortController()
  #state: 'held' | 'lost' | 'released' = 'held'
  #ends: (() => void)[] = []
  #loss =
    'was held longer than its lease could be renewed, and others may have had it since; give a longer `lease`, or let what it protects check `token`'

  constructor(what: string, token: number, lease: Lease) {
    this.#what = what
    this.token = token
    this.#lease = lease
  }

  /** Aborts with SHOAL_LEASE_LOST when somebody else may have it: what is done under it must stop. */
  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** False once it was released, or may be somebody else's. */
  get isHeld(): boolean {
    if (this.#state === 'held' && !this.#lease.isHeld()) this.lost()
    return this.#state === 'held'
  }

  /**
   * Resolves when others can have it; if too few nodes answer, that is when its lease ends. Rejects with SHOAL_LEASE_LOST if it was
   * lost before, as by `close()` of its client: others may have had it while this holder worked. A second call does nothing but warn.
   */
  async release(): Promise<void> {
    if (this.#state === 'released') {
      process.emitWarning(`${this.#what} was released once too often`, { code: 'SHOAL_RELEASED_TWICE' })
      return
    }
    await this[Symbol.asyncDispose]()
  }

  /** As `release()`, but silent after it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'released') return
    const wasHeld = this.isHeld
    this.#state = 'released'
    this.#end()
    if (!wasHeld) throw this.#lossOf()
    // If nobody answers, its lease ends by itself.
    await this.#lease.release().catch(() => {})
  }

  /** For the client: called once it is not held any more. */
  onEnd(end: () => void): void {
    this.#ends.push(end)
  }

  /** For the client that is closed while somebody works under it. */
  async takenBack(): Promise<void> {
    if (!this.isHeld) return
    this.#loss = 'was given back when its client was closed, and others may have had it since'
    this.lost()
    await this.#lease.release().catch(() => {})
  }

  /** For the client. */
  lost(): void {
    if (this.#state !== 'held') return
    this.#state = 'lost'
    this.#end()
    this.#lost.abort(this.#lossOf())
  }

  #end(): void {
    for (const end of this.#ends.splice(0)) end()
  }

  #lossOf(): ShoalError {
    return new ShoalError('SHOAL_LEASE_LOST', `${this.#what} ${this.#loss}`)
  }
}
