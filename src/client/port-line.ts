/**
 * The way of a client to an entry of the same machine that it shares no memory with: encoded messages, and data in pieces.
 *
 * Not here: what carries them (an engine's port in within.ts, a thread in hosted/line.ts), and the other end (node/guests.ts,
 * hosted/porter.ts).
 */
import type { Saying, Told } from '../tasks/executor/guest.ts'
import type { DataDoor } from './data.ts'
import { PortData } from './errands.ts'
import type { Line, LineEvents } from './line.ts'
import { type ClientMessage, clientMessages, entryMessages } from './protocol.ts'

export class PortLine implements Line {
  protected readonly ownData: PortData
  protected readonly events: LineEvents
  readonly #post: (saying: Saying) => void
  #said: Uint8Array[] = []

  constructor(post: (saying: Saying) => void, events: LineEvents) {
    this.#post = post
    this.events = events
    this.ownData = new PortData(post)
  }

  /** What came through the port. */
  hear(told: Told): void {
    if (told.kind === 'done') this.ownData.done(told)
    else this.events.onMessages(told.parts.map((part) => entryMessages.parse(part)))
  }

  get data(): DataDoor {
    return { own: this.ownData }
  }

  send(message: ClientMessage): void {
    this.#said.push(clientMessages.encode(message))
    if (this.#said.length > 1) return
    queueMicrotask(() => {
      const parts = this.#said
      this.#said = []
      this.#post({ kind: 'says', parts })
    })
  }

  async open(_signal?: AbortSignal): Promise<void> {}

  learn(_addresses: readonly string[]): void {}

  async leave(): Promise<void> {}

  async close(): Promise<void> {}
}
