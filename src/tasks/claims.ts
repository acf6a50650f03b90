/**
 * Whom a node asked for how much work, and what it got: its side of the credit that owners grant against.
 *
 * Not here: how much is wanted (runner.ts). A claim replaces the one before and says what had arrived when it was sent,
 * so that grants and claims that cross on the way are counted once.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'

/** Between two claims that say nothing new. */
const claimAgainMs = 3_000

interface Asked {
  tasks: number
  received: number
  /** Received when the last claim was sent. */
  base: number
  at: Millis
  waiting: number
}

export class Claims {
  readonly #asked = new Map<PeerId, Asked>()

  /** An owner sent `count` tasks, and has `waiting` more. */
  granted(from: PeerId, count: number, waiting: number): void {
    const asked = this.#of(from)
    asked.received += count
    asked.waiting = waiting
  }

  forget(peer: PeerId): void {
    this.#asked.delete(peer)
  }

  /** Shares `want` among the owners that have work; the others keep a `standing` claim, so that their next task leaves at once. */
  renew(owners: readonly PeerId[], want: number, standing: number, now: Millis): Send[] {
    const busy = owners.filter((owner) => this.#of(owner).waiting > 0).length
    const claims: Send[] = []
    for (const owner of owners) {
      const asked = this.#of(owner)
      const share = asked.waiting > 0 ? Math.ceil(want / busy) : Math.min(want, standing)
      const left = asked.tasks - (asked.received - asked.base)
      const isStale = now - asked.at >= claimAgainMs
      if (!isStale && (left === share || (left > share / 2 && left <= 2 * share))) continue
      Object.assign(asked, { tasks: share, base: asked.received, at: now })
      claims.push(send(owner, { kind: 'claim', tasks: share, received: asked.received }))
    }
    return claims
  }

  #of(owner: PeerId): Asked {
    const old = this.#asked.get(owner)
    if (old !== undefined) return old
    const asked: Asked = { tasks: 0, received: 0, base: 0, at: Number.NEGATIVE_INFINITY, waiting: 0 }
    this.#asked.set(owner, asked)
    return asked
  }
}
