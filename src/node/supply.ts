/**
 * Sees to it that code is on this node's disk before anything depends on it.
 *
 * Not here: the files (blobs.ts), the stream that a blob comes by (exchange.ts).
 * A node that says it keeps a shard can also run it: the code is stored before the shard is.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { explainError, ShoalError } from '../errors.ts'
import type { Digest, PeerId } from '../ids.ts'
import type { Blobs } from './blobs.ts'

/** Between two tries to get code that some node must have. */
const tryAgainMs = 500

/** Code that nobody needs goes when nobody asked for it for so long; what was found at the start, at the first look. */
const unusedMs = 86_400_000
/** Between two looks for such code. */
export const codeLookMs = 600_000

/** An engine waits for it: after that the work goes back to its owner. */
const insistMs = 5_000

export interface SupplyOptions {
  readonly blobs: Blobs
  /** Rejects if none of the peers has it. */
  readonly fetch: (digest: Digest, peers: readonly PeerId[]) => Promise<Uint8Array>
  readonly onNote: (text: string) => void
  /** The disk takes no more code. */
  readonly onDiskFailed: (reason: string) => void
}

export class Supply {
  readonly #options: SupplyOptions
  /** When somebody asked for it. */
  readonly #usedAt = new Map<Digest, number>()
  readonly #fetching = new Map<Digest, Promise<boolean>>()
  readonly #closing = new AbortController()

  constructor(options: SupplyOptions) {
    this.#options = options
  }

  /** On disk, as a keeper must have it. */
  has(digest: Digest): boolean {
    return this.#used(digest, this.#options.blobs.has(digest))
  }

  /** On disk or lent, as is enough to run it, or to pass it on. */
  isHere(digest: Digest): boolean {
    return this.#used(digest, this.#options.blobs.isHere(digest))
  }

  /** Removes code that nobody needs. Never rejects. */
  async letGo(needs: (code: Digest) => boolean): Promise<void> {
    const { blobs } = this.#options
    for (const digest of blobs.all()) {
      // Whoever opens these files after this node may count on those that are there.
      if (this.#closing.signal.aborted) return
      const usedAt = this.#usedAt.get(digest) ?? Number.NEGATIVE_INFINITY
      if (performance.now() - usedAt < unusedMs || needs(digest)) continue
      this.#usedAt.delete(digest)
      await blobs.remove(digest)
    }
  }

  /** Puts it on disk, or else where it can be used for now. Never rejects: if that fails too, it says so and goes without. */
  async take(bytes: Uint8Array, digest: Digest): Promise<void> {
    const { blobs, onDiskFailed, onNote } = this.#options
    try {
      await blobs.put(bytes, digest).catch(async (error: unknown) => {
        if (!(error instanceof ShoalError) || error.code !== 'SHOAL_DISK') throw error
        onDiskFailed(error.message)
        await blobs.lend(bytes)
      })
      this.#used(digest, true)
    } catch (error) {
      onNote(`code ${digest.slice(0, 8)} is not kept: ${explainError(error)}`)
    }
  }

  /** False if none of the peers could give it now, or this disk cannot take it. Never rejects. */
  get(digest: Digest, peers: readonly PeerId[]): Promise<boolean> {
    if (this.has(digest)) return Promise.resolve(true)
    const before = this.#fetching.get(digest)
    if (before !== undefined) return before
    const fetching = this.#fetch(digest, peers).finally(() => this.#fetching.delete(digest))
    this.#fetching.set(digest, fetching)
    return fetching
  }

  /** Tries for a while; false if the code is not here then. `peers` keep work that needs it, so one of them may come back. */
  async insist(digest: Digest, peers: readonly PeerId[]): Promise<boolean> {
    const until = AbortSignal.timeout(insistMs)
    while (!this.isHere(digest) && !(await this.get(digest, peers)) && !this.isHere(digest)) {
      if (this.#closing.signal.aborted || until.aborted) return false
      await this.#pause()
    }
    return !this.#closing.signal.aborted
  }

  close(): void {
    this.#closing.abort()
  }

  #used(digest: Digest, isHere: boolean): boolean {
    if (isHere) this.#usedAt.set(digest, performance.now())
    return isHere
  }

  async #fetch(digest: Digest, peers: readonly PeerId[]): Promise<boolean> {
    const { fetch, onNote } = this.#options
    try {
      await this.take(await fetch(digest, peers), digest)
      return this.has(digest)
    } catch (error) {
      if (!this.#closing.signal.aborted)
        onNote(`code ${digest.slice(0, 8)} is not here yet: ${explainError(error)}`)
      return false
    }
  }

  /** Ends early, and well, if the node stops. */
  #pause(): Promise<void> {
    return sleep(tryAgainMs, undefined, { signal: this.#closing.signal }).catch(() => {})
  }
}
