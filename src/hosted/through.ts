/**
 * Data for an app's client whose entry is elsewhere: this end of the thread goes on when that entry is lost.
 *
 * Not here: how (client/data.ts), and the pieces through the port (node/errands.ts).
 */
import type { ClientData, OwnData } from '../client/data.ts'
import type { DataId } from '../ids.ts'
import { assert } from '../machine.ts'
import type { PutPlan } from '../node/keeping.ts'
import type { Reading } from '../node/reading.ts'

export class DataThrough implements OwnData {
  readonly #data: ClientData

  constructor(data: ClientData) {
    this.#data = data
  }

  async put(pieces: AsyncIterable<Uint8Array>, plan: PutPlan): Promise<{ id: DataId }> {
    return { id: await this.#data.keep(pieces, plan) }
  }

  async chunks(id: DataId): Promise<Reading> {
    const ending = new AbortController()
    const chunks = this.#data.chunks(id, { signal: ending.signal })
    let next = 0
    return {
      read: async (index) => {
        assert(index === next++, `chunk ${index} is read out of order`)
        const { value } = await chunks.next()
        return value as Uint8Array
      },
      close: async () => {
        ending.abort(new Error('nobody reads it any more'))
        await chunks.return(undefined).catch(() => {})
      }
    }
  }

  async free(ids: readonly DataId[]): Promise<void> {
    await this.#data.letGo(ids)
  }
}
