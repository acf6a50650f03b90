/**
 * A client's questions about the mesh that nobody has answered yet.
 *
 * Not here: what they are about (node/desk.ts), and when an entry is silent for too long (session.ts).
 * An entry may be lost before it answers, so each is kept until it is answered, and asked again of the next one.
 */
import type { ClientMessageOf } from './protocol.ts'

type Query = ClientMessageOf<'query'>

/** The number of pings; answers to them are not passed on. */
const PING = 0

export class Asks {
  readonly #open = new Map<number, Query>()
  #last = PING

  get size(): number {
    return this.#open.size
  }

  /** All of them, for another entry. */
  [Symbol.iterator](): Iterator<Query> {
    return this.#open.values()
  }

  begin(what: string, about: string): Query {
    return this.#add(++this.#last, what, about)
  }

  /** Asks for nothing but an answer. */
  ping(): Query {
    return this.#add(PING, 'ping', '')
  }

  /** True if somebody waits for this answer. */
  answered(ask: number): boolean {
    return this.#open.delete(ask) && ask !== PING
  }

  #add(ask: number, what: string, about: string): Query {
    const query: Query = { kind: 'query', ask, what, about }
    this.#open.set(ask, query)
    return query
  }
}
