/**
 * Streams for data whose talk is over, for the next talk with the same node.
 *
 * Not here: what is said (courier.ts).
 * To open a stream costs libp2p a negotiation, a look into its store of peers and a dozen objects, which is more than all that is
 * said about a small piece; like a phone line that stays open between two calls.
 */
import type { Connection } from '@libp2p/interface'
import { dialMs } from './host.ts'
import { type Counters, FrameStream } from './stream.ts'
import { DATA_PROTOCOL, dataStreamsMax, Talk } from './talk.ts'

/** Streams of one connection that wait; more are closed. */
const idleMax = 8
/** A stream waits for so long; less than the other side waits for a word (`nextWordMs`). */
const idleMs = 15_000

export class Talks {
  readonly #counters: Counters
  readonly #idle = new WeakMap<Connection, Talk[]>()

  constructor(counters: Counters) {
    this.#counters = counters
  }

  /** Rejects if no stream can be opened within `dialMs`, or `ends` does. */
  async begin(connection: Connection, ends: AbortSignal): Promise<Talk> {
    const idle = this.#idle.get(connection) ?? []
    this.#idle.set(connection, idle)
    for (let talk = idle.pop(); talk !== undefined; talk = idle.pop()) if (talk.beginAgain()) return talk
    return await Talk.open(
      this.#counters,
      async (handlers) => {
        const signal = AbortSignal.any([AbortSignal.timeout(dialMs), ends])
        const options = { signal, maxOutboundStreams: dataStreamsMax }
        this.#counters.add('data-streams-out')
        const stream = await connection.newStream(DATA_PROTOCOL, options)
        return new FrameStream(stream, { counters: this.#counters, ...handlers })
      },
      (talk) => this.#wait(talk, idle)
    )
  }

  #wait(talk: Talk, idle: Talk[]): void {
    if (idle.length >= idleMax) return void talk.close()
    idle.push(talk)
    talk.rest(idleMs, () => idle.splice(idle.indexOf(talk), 1))
  }
}
