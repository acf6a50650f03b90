/**
 * Live streams: what this node offers, who reads it, and for which clients it reads those of other nodes.
 *
 * Not here: where items come from (offers.ts), who may run beside a source (routing/match.ts), the reader's end (client/stream.ts).
 * Readers ask for so many items, so nothing is sent that nobody has room for. The source says what happens when one of them
 * is slow: all wait for it, or it misses the oldest. Nothing is kept for who comes later: a stream is not a record.
 */
import type { EntryMessage } from '../client/protocol.ts'
import type { ClientId, PeerId } from '../ids.ts'
import { assert } from '../machine.ts'
import {
  creditMax,
  type SourceAnswer,
  type SourceQuestion,
  type SourceQuestionOf
} from '../routing/source-messages.ts'

/** `wait`: the slowest reader sets the pace. `drop`: a reader that is slow misses the oldest items, and is told how many. */
export type Overflow = 'wait' | 'drop'

/** Items, and bytes of them, that wait for one slow reader of a source that drops; of more, the oldest go. */
export const backlogMax = 64
export const backlogBytesMax = 4 << 20
/** Readers of this node's sources, and readings for its clients elsewhere; more are refused with SHOAL_BUSY. */
export const readersMax = 1_024

export type SourceEffect =
  | { kind: 'send'; to: PeerId; message: SourceQuestion | SourceAnswer }
  | { kind: 'reply'; client: ClientId; message: EntryMessage }
  | { kind: 'pull-source'; name: string }

/** A stream of this node: it is offered, gave an item that was asked for, or is over (with a code, if badly). */
export type SourceInput =
  | { kind: 'source-offered'; name: string; overflow: Overflow }
  | { kind: 'source-gave'; name: string; value: Uint8Array }
  | { kind: 'source-over'; name: string; code: string; message: string }

type End = { readonly client: ClientId } | { readonly peer: PeerId }

interface Reader {
  readonly to: End
  readonly ask: number
  readonly name: string
  credit: number
  backlog: Uint8Array[]
  backlogBytes: number
  dropped: number
}

interface Offered {
  readonly overflow: Overflow
  isPulling: boolean
}

/** A client of this node reads what another node offers. */
interface Relay {
  readonly client: ClientId
  readonly clientAsk: number
  readonly peer: PeerId
}

export interface SourcesView {
  readonly self: PeerId
  /** Nodes that are up, and what they offer. */
  readonly members: () => readonly { readonly peer: PeerId; readonly sources: readonly string[] }[]
}

export class Sources {
  readonly #view: SourcesView
  readonly #offered = new Map<string, Offered>()
  readonly #readers = new Map<string, Reader>()
  readonly #relays = new Map<number, Relay>()
  #ask = 0

  constructor(view: SourcesView) {
    this.#view = view
  }

  get names(): string[] {
    return [...this.#offered.keys()]
  }

  step(input: SourceInput): SourceEffect[] {
    if (input.kind === 'source-offered') return this.#offer(input.name, input.overflow)
    if (input.kind === 'source-gave') return this.#gave(input.name, input.value)
    return this.#ended(input.name, input.code, input.message)
  }

  #offer(name: string, overflow: Overflow): SourceEffect[] {
    this.#offered.set(name, { overflow, isPulling: false })
    return this.#pull(name)
  }

  /** The next item that was pulled. */
  #gave(name: string, value: Uint8Array): SourceEffect[] {
    const offered = this.#offered.get(name)
    if (offered === undefined) return []
    offered.isPulling = false
    const effects = this.#readersOf(name).flatMap((reader) => {
      reader.backlog.push(value)
      reader.backlogBytes += value.byteLength
      return deliver(reader)
    })
    return [...effects, ...this.#pull(name)]
  }

  /** `code` is empty for a good end. */
  #ended(name: string, code: string, message: string): SourceEffect[] {
    this.#offered.delete(name)
    return this.#readersOf(name).flatMap((reader) => {
      this.#readers.delete(keyOf(reader.to, reader.ask))
      // What a slow reader had not room for yet is the end of what it gets.
      const rest = reader.backlog.length > 0 ? deliver({ ...reader, credit: creditMax }) : []
      return [...rest, answer(reader.to, { kind: 'source-ended', ask: reader.ask, code, message })]
    })
  }

  client(client: ClientId, message: SourceQuestion): SourceEffect[] {
    const relayed = [...this.#relays].find(
      ([, one]) => one.client === client && one.clientAsk === message.ask
    )
    if (message.kind === 'subscribe') {
      if (relayed !== undefined || this.#readers.has(keyOf({ client }, message.ask))) return []
      return this.#subscribe(client, message)
    }
    if (relayed === undefined) return this.#question({ client }, message)
    const [ask, { peer }] = relayed
    if (message.kind === 'unsubscribe') this.#relays.delete(ask)
    return [{ kind: 'send', to: peer, message: { ...message, ask } }]
  }

  clientGone(client: ClientId): SourceEffect[] {
    const relays = [...this.#relays].filter(([, relay]) => relay.client === client)
    const ends = relays.map(([ask, { peer }]): SourceEffect => {
      this.#relays.delete(ask)
      return { kind: 'send', to: peer, message: { kind: 'unsubscribe', ask } }
    })
    return [...ends, ...this.#leave((to) => 'client' in to && to.client === client)]
  }

  /** From a node that reads for its client, or offers what a client of this one reads. */
  peer(from: PeerId, message: SourceQuestion | SourceAnswer): SourceEffect[] {
    if (message.kind !== 'items' && message.kind !== 'source-ended')
      return this.#question({ peer: from }, message)
    const relay = this.#relays.get(message.ask)
    // Whoever is told of something that nobody reads here any more ends it.
    if (relay === undefined || relay.peer !== from) {
      const end = { kind: 'unsubscribe', ask: message.ask } as const
      return message.kind === 'items' && relay === undefined ? [{ kind: 'send', to: from, message: end }] : []
    }
    if (message.kind === 'source-ended') this.#relays.delete(message.ask)
    return [{ kind: 'reply', client: relay.client, message: { ...message, ask: relay.clientAsk } }]
  }

  /** Its stream has ended, and with it whatever was on its way. */
  peerGone(peer: PeerId): SourceEffect[] {
    const ends: SourceEffect[] = []
    for (const [ask, relay] of this.#relays) {
      if (relay.peer !== peer) continue
      this.#relays.delete(ask)
      const message = `the node ${peer} that offered it is gone`
      ends.push(answer(relay, { kind: 'source-ended', ask: relay.clientAsk, code: '', message }))
    }
    return [...ends, ...this.#leave((to) => 'peer' in to && to.peer === peer)]
  }

  check(): void {
    assert(this.#readers.size + this.#relays.size <= readersMax, 'more readers than allowed')
    for (const { backlog, credit, name } of this.#readers.values()) {
      // One item may have been pulled before a reader without any room came.
      const most = this.#offered.get(name)?.overflow === 'drop' ? backlogMax : 1
      assert(credit === 0 || backlog.length === 0, `items of ${name} wait though there is room`)
      assert(backlog.length <= most, `${backlog.length} items of ${name} wait for a reader`)
    }
  }

  #subscribe(client: ClientId, message: SourceQuestionOf<'subscribe'>): SourceEffect[] {
    const { name, ask: clientAsk, credit } = message
    if (this.#offered.has(name)) return this.#question({ client }, message)
    const offering = this.#view.members().filter(({ sources }) => sources.includes(name))
    const peer = offering.find((one) => one.peer !== this.#view.self)?.peer
    const refuse = (code: string, text: string): SourceEffect[] => [
      answer({ client }, { kind: 'source-ended', ask: clientAsk, code, message: text })
    ]
    if (peer === undefined) return refuse('SHOAL_NOT_FOUND', `no node that is up offers the source ${name}`)
    if (this.#isFull) return refuse('SHOAL_BUSY', `this node has ${readersMax} readers of sources`)
    const ask = ++this.#ask
    this.#relays.set(ask, { client, clientAsk, peer })
    return [{ kind: 'send', to: peer, message: { kind: 'subscribe', ask, name, credit } }]
  }

  /** About a source of this node's own. */
  #question(to: End, message: SourceQuestion): SourceEffect[] {
    const key = keyOf(to, message.ask)
    const reader = this.#readers.get(key)
    if (message.kind === 'subscribe') return reader === undefined ? this.#read(to, message) : []
    if (reader === undefined) return []
    if (message.kind === 'unsubscribe') {
      this.#readers.delete(key)
      return this.#pull(reader.name)
    }
    reader.credit = Math.min(creditMax, reader.credit + message.credit)
    return [...deliver(reader), ...this.#pull(reader.name)]
  }

  #read(to: End, { ask, name, credit }: SourceQuestionOf<'subscribe'>): SourceEffect[] {
    const refuse = (code: string, text: string): SourceEffect[] => [
      answer(to, { kind: 'source-ended', ask, code, message: text })
    ]
    if (!this.#offered.has(name)) return refuse('SHOAL_NOT_FOUND', `the source ${name} is not offered here`)
    if (this.#isFull) return refuse('SHOAL_BUSY', `this node has ${readersMax} readers of sources`)
    const reader = { to, ask, name, credit, backlog: [], backlogBytes: 0, dropped: 0 }
    this.#readers.set(keyOf(to, ask), reader)
    return this.#pull(name)
  }

  get #isFull(): boolean {
    return this.#readers.size + this.#relays.size >= readersMax
  }

  #leave(isGone: (to: End) => boolean): SourceEffect[] {
    const names = new Set<string>()
    for (const [key, { to, name }] of this.#readers) {
      if (!isGone(to)) continue
      this.#readers.delete(key)
      names.add(name)
    }
    return [...names].flatMap((name) => this.#pull(name))
  }

  /** Asks for the next item if it would find room: of a source that drops it always does. */
  #pull(name: string): SourceEffect[] {
    const offered = this.#offered.get(name)
    if (offered === undefined || offered.isPulling) return []
    if (offered.overflow === 'wait') {
      const readers = this.#readersOf(name)
      if (readers.length === 0 || readers.some(({ credit }) => credit === 0)) return []
    }
    offered.isPulling = true
    return [{ kind: 'pull-source', name }]
  }

  #readersOf(name: string): Reader[] {
    return [...this.#readers.values()].filter((reader) => reader.name === name)
  }
}

/** Sends what there is room for; of what is too much to keep, the oldest goes. */
function deliver(reader: Reader): SourceEffect[] {
  const { to, ask, backlog } = reader
  if (reader.credit > 0 && backlog.length > 0) {
    const values = backlog.splice(0, reader.credit)
    reader.credit -= values.length
    for (const { byteLength } of values) reader.backlogBytes -= byteLength
    const { dropped } = reader
    reader.dropped = 0
    return [answer(to, { kind: 'items', ask, dropped, values })]
  }
  while (backlog.length > backlogMax || (backlog.length > 1 && reader.backlogBytes > backlogBytesMax)) {
    reader.backlogBytes -= backlog.shift()?.byteLength ?? 0
    reader.dropped++
  }
  return []
}

function answer(to: End, message: SourceAnswer): SourceEffect {
  if ('client' in to) return { kind: 'reply', client: to.client, message }
  return { kind: 'send', to: to.peer, message }
}

const keyOf = (to: End, ask: number): string => `${'client' in to ? `client ${to.client}` : to.peer} ${ask}`
