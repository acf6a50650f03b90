/**
 * The code of a client's functions, and which of it the present entry was given.
 *
 * Not here: packing it (functions.ts). Code goes ahead of the work that needs it, once to every entry.
 */
import type { Digest } from '../ids.ts'

/** Codes that an entry is known to have; beyond it they are given again. */
const givenMax = 1_024

export class Codes {
  readonly #codes = new Map<Digest, Uint8Array>()
  readonly #given = new Set<Digest>()

  add(digest: Digest, bytes: Uint8Array): void {
    this.#codes.set(digest, bytes)
  }

  drop(digest: Digest): void {
    this.#codes.delete(digest)
  }

  /** The entry is another one now. */
  entryLost(): void {
    this.#given.clear()
  }

  /** What the entry is to be given; with a digest, of that code only. */
  *toGive(only?: Digest): Generator<{ kind: 'code'; digest: Digest; bytes: Uint8Array }> {
    for (const [digest, bytes] of this.#codes) {
      if ((only !== undefined && only !== digest) || this.#given.has(digest)) continue
      if (this.#given.size >= givenMax) this.#given.clear()
      this.#given.add(digest)
      yield { kind: 'code', digest, bytes }
    }
  }
}
