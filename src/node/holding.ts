/**
 * Holds back messages about a shard until the code of its tasks is on this node's disk.
 *
 * Not here: getting the code (supply.ts). A keeper that acknowledged a shard whose code it cannot serve would have promised
 * too much; and what is said about the shard meanwhile, by whomever, must not overtake the shard itself.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { PeerMessage } from './messages.ts'
import type { Supply } from './supply.ts'

/** Messages held at once; more are dropped, and their senders say them again. */
const heldMax = 4_096

interface Held {
  readonly from: PeerId
  readonly message: PeerMessage
}

export class Holding {
  readonly #supply: Supply
  readonly #onReleased: (from: PeerId, message: PeerMessage) => void
  /** In order of arrival. */
  readonly #held = new Map<ShardKey, Held[]>()
  #count = 0

  /** `onReleased` gets what was held, in order, once the code is here. */
  constructor(supply: Supply, onReleased: (from: PeerId, message: PeerMessage) => void) {
    this.#supply = supply
    this.#onReleased = onReleased
  }

  /** True if the message is kept back, or dropped. */
  takes(from: PeerId, message: PeerMessage): boolean {
    const key = message.kind === 'store' ? message.record.key : 'key' in message ? message.key : undefined
    if (key === undefined) return false
    const held = this.#held.get(key)
    if (held !== undefined) {
      if (this.#count >= heldMax) return true
      held.push({ from, message })
      this.#count++
      return true
    }
    if (message.kind !== 'store' || this.#supply.has(message.record.header.code)) return false
    this.#held.set(key, [{ from, message }])
    this.#count++
    const { header, keepers } = message.record
    void this.#supply.get(header.code, [from, ...keepers]).then((isHere) => this.#release(key, isHere))
    return true
  }

  #release(key: ShardKey, isHere: boolean): void {
    const held = this.#held.get(key) ?? []
    this.#held.delete(key)
    this.#count -= held.length
    // Without the code this node must not say that it keeps the shard. The entry asks again.
    if (isHere) for (const { from, message } of held) this.#onReleased(from, message)
  }
}
