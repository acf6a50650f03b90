/**
 * Carries what an app's client says to its entry, and back: the node of this thread, or one that is reached from here.
 *
 * Not here: the entry, and the app's end (line.ts). Nothing is decided here. An app that computes for long takes nothing out
 * meanwhile; beyond a bound its line ends, as that of any client that does not read, and its session asks again for the rest.
 */
import type { OwnData } from '../client/data.ts'
import type { Line, OpenLine } from '../client/line.ts'
import { readSaid } from '../client/misread.ts'
import { type EntryMessage, entryMessages } from '../client/protocol.ts'
import { Errands } from '../node/errands.ts'
import type { Saying } from '../tasks/executor/guest.ts'
import { type FromHost, sizeOf, unheardBytesMax } from './words.ts'

/** Transfers of the app's client at a time; the next one fails with SHOAL_BUSY. */
const transfersMax = 1_024

export interface PorterOptions {
  readonly openLine: OpenLine
  readonly dataOf: (line: Line) => OwnData
  readonly say: (message: FromHost) => void
  /** The app finds an entry. */
  readonly attach: () => Promise<void>
  /** Bytes on their way to the app, which counts down. */
  readonly unheard: Int32Array
}

export class Porter {
  readonly line: Line
  readonly #options: PorterOptions
  readonly #errands: Errands

  constructor(options: PorterOptions) {
    this.#options = options
    this.line = options.openLine({
      onMessages: (messages) => this.#tell(messages),
      onClosed: (reason) => options.say({ kind: 'closed', reason }),
      attach: options.attach
    })
    const data = options.dataOf(this.line)
    this.#errands = new Errands(
      () => data,
      (_, told) => options.say(told),
      transfersMax
    )
  }

  heard(said: Saying): void {
    if (said.kind === 'errand') this.#errands.run(0, said)
    else {
      const { messages, answers } = readSaid(said.parts)
      for (const message of messages) this.line.send(message)
      if (answers.length > 0) this.#tell(answers)
    }
  }

  #tell(messages: readonly EntryMessage[]): void {
    const { unheard, say } = this.#options
    const parts = messages.map((message) => entryMessages.encode(message))
    const size = sizeOf(parts)
    const before = Atomics.load(unheard, 0)
    if (before > 0 && before + size > unheardBytesMax) {
      const reason = `the app has not taken out ${before} bytes; ${unheardBytesMax} are kept for it`
      return void this.line.leave().then(() => say({ kind: 'closed', reason }))
    }
    Atomics.add(unheard, 0, size)
    say({ kind: 'told', parts })
  }
}
