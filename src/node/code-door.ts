/**
 * What clients say, as far as it is about code: a submission goes on once the code that it needs is on disk here.
 *
 * Not here: files (blobs.ts, supply.ts), and what is done with submissions (tasks/entry.ts).
 * A client gives its entry each code once, unless many others came after it, so what it gave last stays here as long as it does.
 */
import type { ClientMessage, EntryMessage } from '../client/protocol.ts'
import type { ClientId, Digest } from '../ids.ts'
import { Counts } from './counts.ts'
import type { Supply } from './supply.ts'

/** Codes of one client that stay with it. It takes no more than half of that for given (client/codes.ts). */
const givenMax = 2_048

export interface CodeDoorOptions {
  readonly supply: Pick<Supply, 'take' | 'isHere'>
  /** What needs no code, or has it. */
  readonly pass: (client: ClientId, messages: readonly ClientMessage[]) => void
  readonly reply: (client: ClientId, message: EntryMessage) => void
}

export class CodeDoor {
  readonly #options: CodeDoorOptions
  /** What a client said after code that is not on disk yet. */
  readonly #held = new Map<ClientId, ClientMessage[]>()
  /** Given last comes last; with each, what ends that. */
  readonly #given = new Map<ClientId, Map<Digest, () => void>>()
  readonly #needed = new Counts<Digest>()

  constructor(options: CodeDoorOptions) {
    this.#options = options
  }

  said(client: ClientId, messages: readonly ClientMessage[]): void {
    const ready: ClientMessage[] = []
    for (const message of messages) {
      const held = this.#held.get(client)
      if (held !== undefined) held.push(message)
      else if (message.kind === 'code') this.#take(client, message)
      else if (this.#lacks(client, message)) continue
      else ready.push(message)
    }
    if (ready.length > 0) this.#options.pass(client, ready)
  }

  left(client: ClientId): void {
    this.#held.delete(client)
    for (const end of this.#given.get(client)?.values() ?? []) end()
    this.#given.delete(client)
  }

  /** Some client that is here counts on it. O(1): it is asked of each code that is here. */
  needs(code: Digest): boolean {
    return this.#needed.of(code) > 0
  }

  /** What the client says next waits: it may depend on this code. */
  #take(client: ClientId, { digest, bytes }: Extract<ClientMessage, { kind: 'code' }>): void {
    const held: ClientMessage[] = []
    this.#held.set(client, held)
    this.#gave(client, digest)
    const goOn = (): void => {
      if (this.#held.get(client) !== held) return
      this.#held.delete(client)
      this.said(client, held)
    }
    void this.#options.supply.take(bytes, digest).then(goOn)
  }

  #gave(client: ClientId, digest: Digest): void {
    const given = this.#given.get(client) ?? new Map<Digest, () => void>()
    this.#given.set(client, given)
    const end = given.get(digest) ?? this.#needed.add(digest)
    given.delete(digest)
    given.set(digest, end)
    for (const [first, endFirst] of given) {
      if (given.size <= givenMax) return
      given.delete(first)
      endFirst()
    }
  }

  /** Refuses a submission whose code never came, or could not be stored. */
  #lacks(client: ClientId, message: ClientMessage): boolean {
    if (message.kind !== 'submit' || this.#options.supply.isHere(message.header.code)) return false
    const { header, index } = message
    this.#options.reply(client, {
      kind: 'refused',
      job: header.job,
      index,
      code: 'SHOAL_DISK',
      message: 'the entry does not have the code of this job; see its log, or attach to another node'
    })
    return true
  }
}
