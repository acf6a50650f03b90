/**
 * Sees to it that code is on this node's disk before anything depends on it.
 *
 * Not here: the files (blobs.ts), the stream that a blob comes by (exchange.ts).
 * A node that says it keeps a shard can also run it: the code is stored before the shard is.
 */
import { explainError } from '../errors.ts'
import type { Digest, PeerId } from '../ids.ts'
import type { Blobs } from './blobs.ts'

/** Between two tries to get code that some node must have. */
const tryAgainMs = 500

export interface SupplyOptions {
  readonly blobs: Blobs
  /** Rejects if none of the peers has it. */
  readonly fetch: (digest: Digest, peers: readonly PeerId[]) => Promise<Uint8Array>
  readonly onNote: (text: string) => void
}

export class Supply {
  readonly #options: SupplyOptions
  readonly #fetching = new Map<Digest, Promise<boolean>>()
  readonly #closing = new AbortController()

  constructor(options: SupplyOptions) {
    this.#options = options
  }

  has(digest: Digest): boolean {
    return this.#options.blobs.has(digest)
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

  /** Tries until the code is here; false only if the node stops. `peers` keep work that needs it, so one of them comes back. */
  async insist(digest: Digest, peers: readonly PeerId[]): Promise<boolean> {
    while (!(await this.get(digest, peers))) {
      if (this.#closing.signal.aborted) return false
      await this.#pause()
    }
    return !this.#closing.signal.aborted
  }

  close(): void {
    this.#closing.abort()
  }

  async #fetch(digest: Digest, peers: readonly PeerId[]): Promise<boolean> {
    const { blobs, fetch, onNote } = this.#options
    try {
      await blobs.put(await fetch(digest, peers), digest)
      return true
    } catch (error) {
      if (!this.#closing.signal.aborted)
        onNote(`code ${digest.slice(0, 8)} is not here yet: ${explainError(error)}`)
      return false
    }
  }

  #pause(): Promise<void> {
    const { signal } = this.#closing
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, tryAgainMs)
      signal.addEventListener('abort', end)
    })
  }
}
