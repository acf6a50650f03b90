/**
 * Data of the tasks of one engine: put and read through the node that the engine belongs to, a piece at a time.
 *
 * Not here: the node's end (node/errands.ts), and what a client makes of data (data.ts).
 */
import { isErrorCode, ShoalError } from '../errors.ts'
import type { DataId } from '../ids.ts'
import { type Chunks, inChunks } from '../node/chunks.ts'
import type { PutPlan } from '../node/data.ts'
import type { Errand, Told } from '../tasks/executor/guest.ts'
import type { OwnData } from './data.ts'

type Unnumbered = Errand extends infer E ? (E extends Errand ? Omit<E, 'kind' | 'ask'> : never) : never

export class EngineData implements OwnData {
  readonly #say: (errand: Errand) => void
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #last = 0

  constructor(say: (errand: Errand) => void) {
    this.#say = say
  }

  async put(
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    { pinMs, copies }: PutPlan
  ): Promise<{ id: DataId; copies: number }> {
    const begun = this.#ask({ what: 'put', pinMs, copies })
    const of = this.#last
    await begun
    for await (const bytes of inChunks(pieces)) await this.#ask({ what: 'piece', of, bytes })
    return (await this.#ask({ what: 'piece', of, bytes: undefined })) as { id: DataId; copies: number }
  }

  async chunks(id: DataId): Promise<Chunks> {
    const opened = this.#ask({ what: 'open', id })
    const of = this.#last
    const list = (await opened) as Uint8Array
    return {
      id,
      list,
      read: async (index) => (await this.#ask({ what: 'read', of, index })) as Uint8Array,
      close: async () => void (await this.#ask({ what: 'close', of }))
    }
  }

  free(ids: readonly DataId[]): void {
    this.#ask({ what: 'free', ids }).catch(() => {})
  }

  done({ ask, value, error }: Extract<Told, { kind: 'done' }>): void {
    const asked = this.#asked.get(ask)
    this.#asked.delete(ask)
    if (error === undefined) asked?.resolve(value)
    else asked?.reject(new ShoalError(isErrorCode(error.code) ? error.code : 'SHOAL_DISK', error.message))
  }

  #ask(errand: Unnumbered): Promise<unknown> {
    const ask = ++this.#last
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(ask, asked)
    this.#say({ kind: 'errand', ask, ...errand } as Errand)
    return asked.promise
  }
}
