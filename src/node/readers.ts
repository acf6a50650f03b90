/**
 * Live sources that tasks read: each engine that asks is a client of this node, and of no other.
 *
 * Not here: the stream itself (sources.ts), and what the task sees of it (src/task.ts). When an engine ends, so does its reading.
 */
import type { EntryMessage } from '../client/protocol.ts'
import type { ClientId } from '../ids.ts'
import {
  answerCodec,
  isSourceAnswer,
  questionCodec,
  type SourceQuestion
} from '../routing/source-messages.ts'

export interface ReadersView {
  joinClient(onMessages: (messages: readonly EntryMessage[]) => void): ClientId
  leaveClient(client: ClientId): void
  clientSaid(client: ClientId, messages: readonly SourceQuestion[]): void
}

export class Readers {
  readonly #view: ReadersView
  readonly #tell: (slot: number, answer: Uint8Array) => void
  readonly #clients = new Map<number, ClientId>()

  constructor(view: ReadersView, tell: (slot: number, answer: Uint8Array) => void) {
    this.#view = view
    this.#tell = tell
  }

  /** Of an engine that has ended, `undefined`: the next one in its place knows nothing of what it read. */
  heard(slot: number, bytes: Uint8Array | undefined): void {
    const question = bytes && parsed(bytes)
    if (bytes === undefined) return this.#hungUp(slot)
    if (question === undefined) return
    let client = this.#clients.get(slot)
    if (client === undefined) {
      client = this.#view.joinClient((messages) => {
        for (const message of messages)
          if (isSourceAnswer(message)) this.#tell(slot, answerCodec.encode(message))
      })
      this.#clients.set(slot, client)
    }
    this.#view.clientSaid(client, [question])
  }

  #hungUp(slot: number): void {
    const client = this.#clients.get(slot)
    this.#clients.delete(slot)
    if (client !== undefined) this.#view.leaveClient(client)
  }
}

/** User code shares the engine: what is no question is none of ours. */
function parsed(bytes: Uint8Array): SourceQuestion | undefined {
  try {
    return questionCodec.parse(bytes)
  } catch {
    return undefined
  }
}
