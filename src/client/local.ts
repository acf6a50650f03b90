/**
 * The client of an embedded node: its entry is in the same process, and nothing between the two is encoded.
 *
 * Not here: what a client is (client.ts). If this entry ends, the process has stopped it, and there is nowhere else to go.
 */
import { ShoalError } from '../errors.ts'
import type { ClientId } from '../ids.ts'
import { MeshClient } from './client.ts'
import type { DataDoor, OwnData } from './data.ts'
import type { Line, LineEvents } from './line.ts'
import type { ClientMessage, EntryMessage } from './protocol.ts'
import type { Client } from './types.ts'

/** The part of a node's driver that clients of the same process use. */
export interface LocalEntry {
  readonly data: OwnData
  joinClient(onMessages: (messages: readonly EntryMessage[]) => void): ClientId
  leaveClient(client: ClientId): void
  clientSaid(client: ClientId, messages: readonly ClientMessage[]): void
}

export function createLocalClient(entry: LocalEntry, submitter: string): Client {
  return new MeshClient((events) => new LocalLine(entry, events), submitter)
}

export class LocalLine implements Line {
  readonly #entry: LocalEntry
  readonly #events: LineEvents
  #client: ClientId | undefined
  #said: ClientMessage[] = []
  #isClosed = false

  constructor(entry: LocalEntry, events: LineEvents) {
    this.#entry = entry
    this.#events = events
  }

  get data(): DataDoor {
    return { own: this.#entry.data }
  }

  async open(): Promise<void> {
    if (this.#isClosed) throw new ShoalError('SHOAL_CLOSED', 'the node was stopped')
    this.#client ??= this.#entry.joinClient((messages) => this.#events.onMessages(messages))
  }

  send(message: ClientMessage): void {
    this.#said.push(message)
    if (this.#said.length > 1) return
    queueMicrotask(() => {
      const said = this.#said
      this.#said = []
      if (this.#client !== undefined) this.#entry.clientSaid(this.#client, said)
    })
  }

  learn(): void {}

  async leave(): Promise<void> {
    if (this.#client !== undefined) this.#entry.leaveClient(this.#client)
    this.#client = undefined
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.leave()
  }
}
