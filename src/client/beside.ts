/**
 * What shares a client's line with its jobs: live sources that it reads, and commands to cells.
 *
 * Not here: either of them (stream.ts, cells.ts), and the line (client.ts).
 */
import { isCellAnswer } from '../cells/client-messages.ts'
import { isSourceAnswer } from '../routing/source-messages.ts'
import { type CellHost, ClientCells } from './cells.ts'
import type { ClientMessage, EntryMessage } from './protocol.ts'
import { Streams } from './stream.ts'

export class Beside {
  readonly streams: Streams
  readonly cells: ClientCells

  constructor(host: Omit<CellHost, 'send'> & { readonly send: (message: ClientMessage) => void }) {
    this.streams = new Streams(host.send)
    this.cells = new ClientCells(host)
  }

  /** While it is above 0 the client stays attached. */
  get size(): number {
    return this.streams.size + this.cells.size
  }

  /** True if it was for one of these. */
  takes(message: EntryMessage): boolean {
    if (isSourceAnswer(message)) this.streams.message(message)
    else if (isCellAnswer(message)) this.cells.message(message)
    else return false
    return true
  }

  attached(): void {
    this.streams.attached()
    this.cells.attached()
  }

  failAll(error: Error): void {
    this.streams.failAll(error)
    this.cells.failAll(error)
  }
}
