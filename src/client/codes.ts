/**
 * The code of a client's functions, and which of it the present entry was given.
 *
 * Not here: packing it (functions.ts). Code goes ahead of the work that needs it, once to every entry, or again after many others.
 */
import type { Digest } from '../ids.ts'
import type { ClientMessageOf } from './protocol.ts'

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

  /** The code, unless the entry has it. */
  *toGive(digest: Digest): Generator<ClientMessageOf<'code'>> {
    const bytes = this.#codes.get(digest)
    if (bytes === undefined || this.#given.has(digest)) return
    if (this.#given.size >= givenMax) this.#given.clear()
    this.#given.add(digest)
    yield { kind: 'code', digest, bytes }
  }
}
