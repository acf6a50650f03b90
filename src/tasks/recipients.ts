/**
 * Which nodes answer: a shard is given only to one that has just shown that it does.
 *
 * Not here: which nodes are best for a shard (repair.ts), and who is up (routing/membership.ts).
 * A node that stands still counts as up for seconds. A list of keepers that is decided is not taken back, and where it cannot
 * do without that node, such as with a sole copy, it would wait for it for ever. So it is asked before anything is decided.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'

/** For so long an answer shows that a node answers. */
const freshMs = 1_000
/** Who has not answered by then is chosen last, and asked again. */
const answerWithinMs = 1_000

/** What it remembers is of nodes that were asked; `clear` when there is nothing to give any more. */
export class Recipients {
  /** Those who have not answered yet: since when, and when they were asked last. */
  readonly #asked = new Map<PeerId, { readonly since: Millis; lastAt: Millis }>()
  readonly #answeredAt = new Map<PeerId, Millis>()

  /** Asked in vain. */
  isSilent(peer: PeerId, now: Millis): boolean {
    const asked = this.#asked.get(peer)
    return asked !== undefined && now - asked.since >= answerWithinMs
  }

  answers(peer: PeerId, now: Millis): boolean {
    const at = this.#answeredAt.get(peer)
    return at !== undefined && now - at < freshMs
  }

  /** Asks where the shard is: whoever is asked that answers, also if it never heard of it. */
  ask(peer: PeerId, key: ShardKey, now: Millis): Send[] {
    const asked = this.#asked.get(peer)
    if (asked !== undefined && now - asked.lastAt < answerWithinMs) return []
    this.#asked.set(peer, { since: asked?.since ?? now, lastAt: now })
    return [send(peer, { kind: 'inquire', key })]
  }

  /** True if this is what was waited for. */
  heard(peer: PeerId, now: Millis): boolean {
    if (!this.#asked.delete(peer)) return false
    this.#answeredAt.set(peer, now)
    return true
  }

  clear(): void {
    this.#asked.clear()
    this.#answeredAt.clear()
  }
}
