/**
 * Streams for transfers, which stay open for the next ones: to open one costs ten times what a word on it does.
 *
 * Not here: what is said on them (talk.ts, courier.ts), and connections (libp2p.ts, link.ts).
 */
import type { Connection } from '@libp2p/interface'
import { dialMs } from './host.ts'
import { nearnessOf } from './near.ts'
import { type Counters, FrameStream } from './stream.ts'
import { DATA_PROTOCOL, dataStreamsMax, Talk } from './talk.ts'

/** Idle ones of a connection; the next one is closed. */
const idleMax = 8
/** Who serves waits for longer (data.ts), so it never ends one on which something is being said. */
const idleMs = 10_000

interface Idle {
  readonly talk: Talk
  readonly timer: NodeJS.Timeout
}

export class Talks {
  readonly #counters: Counters
  readonly #closing: AbortSignal
  readonly #idle = new WeakMap<Connection, Idle[]>()

  constructor(counters: Counters, closing: AbortSignal) {
    this.#counters = counters
    this.#closing = closing
  }

  /** An idle one, or a new one; it comes back by its `rest`. Rejects if the other side does not answer. */
  async to(connection: Connection): Promise<Talk> {
    const idle = this.#idle.get(connection) ?? []
    this.#idle.set(connection, idle)
    for (let one = idle.pop(); one !== undefined; one = idle.pop()) {
      clearTimeout(one.timer)
      // Who found all that it wanted in files said nothing, and the other side waits only for so long.
      if (one.talk.isQuiet && one.talk.silentMs < idleMs) return one.talk
      if (one.talk.isQuiet) void one.talk.close()
      else one.talk.abort('more was said than asked for')
    }
    const options = {
      counters: this.#counters,
      nearness: nearnessOf(connection),
      onRest: (talk: Talk) => this.#rests(idle, talk)
    }
    return await Talk.open(options, async (handlers) => {
      const signal = AbortSignal.any([AbortSignal.timeout(dialMs), this.#closing])
      const stream = await connection.newStream(DATA_PROTOCOL, { signal, maxOutboundStreams: dataStreamsMax })
      return new FrameStream(stream, { counters: this.#counters, ...handlers })
    })
  }

  #rests(idle: Idle[], talk: Talk): boolean {
    if (idle.length >= idleMax) return false
    const end = (): void => {
      idle.splice(idle.indexOf(one), 1)
      void talk.close()
    }
    const one: Idle = { talk, timer: setTimeout(end, idleMs).unref() }
    idle.push(one)
    return true
  }
}
