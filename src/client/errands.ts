/**
 * Data of a client whose entry is behind a port: put and read through it, a piece at a time.
 *
 * Not here: the node's end (node/errands.ts), and what a client makes of data (data.ts).
 */
import { isErrorCode, ShoalError } from '../errors.ts'
import type { DataId } from '../ids.ts'
import { inChunks } from '../node/chunks.ts'
import type { PutPlan } from '../node/keeping.ts'
import type { Reading } from '../node/reading.ts'
import type { Errand, Told } from '../tasks/executor/guest.ts'
import type { OwnData } from './data.ts'

type Unnumbered = Errand extends infer E ? (E extends Errand ? Omit<E, 'kind' | 'ask'> : never) : never

export class PortData implements OwnData {
  readonly #say: (errand: Errand) => void
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #last = 0

  constructor(say: (errand: Errand) => void) {
    this.#say = say
  }

  async put(
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    { pinMs, copies, isForJob = false }: PutPlan
  ): Promise<{ id: DataId }> {
    const begun = this.#ask({ what: 'put', pinMs, copies, isForJob })
    const of = this.#last
    await begun
    try {
      for await (const bytes of inChunks(pieces)) await this.#ask({ what: 'piece', of, bytes: alone(bytes) })
    } catch (error) {
      this.#ask({ what: 'close', of }).catch(() => {})
      throw error
    }
    return (await this.#ask({ what: 'piece', of, bytes: undefined })) as { id: DataId }
  }

  async chunks(id: DataId): Promise<Reading> {
    const opened = this.#ask({ what: 'open', id })
    const of = this.#last
    await opened
    return {
      read: async (index) => (await this.#ask({ what: 'read', of, index })) as Uint8Array,
      close: async () => void (await this.#ask({ what: 'close', of }))
    }
  }

  async free(ids: readonly DataId[]): Promise<void> {
    await this.#ask({ what: 'free', ids })
  }

  done({ ask, value, error }: Extract<Told, { kind: 'done' }>): void {
    const asked = this.#asked.get(ask)
    this.#asked.delete(ask)
    if (error === undefined) asked?.resolve(value)
    else asked?.reject(new ShoalError(isErrorCode(error.code) ? error.code : 'SHOAL_DISK', error.message))
  }

  /** Nobody answers any more. */
  fail(error: Error): void {
    for (const { reject } of this.#asked.values()) reject(error)
    this.#asked.clear()
  }

  #ask(errand: Unnumbered): Promise<unknown> {
    const ask = ++this.#last
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(ask, asked)
    this.#say({ kind: 'errand', ask, ...errand } as Errand)
    return asked.promise
  }
}

/** Whoever copies a window on a buffer to another thread copies all of the buffer. */
function alone(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
