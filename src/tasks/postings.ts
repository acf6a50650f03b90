/**
 * What an entry writes into the register of a shard for a client: that a job has no more shards, that a shard may start.
 *
 * Not here: where shards are placed (entry.ts), and who decides what counts (entries.ts, at the owner).
 * It is said again, to whoever owns the shard by then, until it is committed.
 */
import { equals } from 'uint8arrays/equals'
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { pack } from './batch.ts'
import { type Send, seek, send } from './effects.ts'
import { covers, type Forgettable, type Placement, type TaskMessageOf } from './messages.ts'
import { Trail } from './trail.ts'

/** Between two tries that were not answered. */
const postAgainMs = 1_000

interface Posting {
  readonly key: ShardKey
  readonly index: number
  readonly value: Uint8Array
  readonly trail: Trail
  triedAt: Millis
}

export interface PostingsView {
  readonly isUp: (peer: PeerId) => boolean
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
}

export class Postings {
  readonly #view: PostingsView
  readonly #open = new Map<string, Posting>()

  constructor(view: PostingsView) {
    this.#view = view
  }

  get size(): number {
    return this.#open.size
  }

  /** The value is to be committed under this index of the shard's register. Said again, it changes nothing. */
  post({ key, keepers }: Placement, index: number, value: Uint8Array, now: Millis): Send[] {
    const name = `${key} ${index}`
    const old = this.#open.get(name)
    if (old !== undefined && equals(old.value, value)) return []
    const posting = { key, index, value, trail: new Trail(keepers), triedAt: now }
    this.#open.set(name, posting)
    return this.#try(posting)
  }

  committed({ key, outcomes, settled }: TaskMessageOf<'committed'>): void {
    if (this.#open.size === 0) return
    for (const index of outcomes.indexes) this.#open.delete(`${key} ${index}`)
    // Nothing more is written into the register of what is over.
    if (settled) this.forget(key)
  }

  forget(name: Forgettable): void {
    for (const [posting, { key }] of this.#open) if (covers(name, key)) this.#open.delete(posting)
  }

  led(from: PeerId, message: TaskMessageOf<'leading'>, now: Millis): Send[] {
    return this.#of(message.key).flatMap((posting) =>
      posting.trail.hint(message, from, now) ? this.#try(posting) : []
    )
  }

  disowned(from: PeerId, key: ShardKey): void {
    for (const { trail } of this.#of(key)) if (trail.owner === from) trail.next(this.#view.isUp)
  }

  wake(now: Millis): Send[] {
    const due = [...this.#open.values()].filter(({ triedAt }) => now - triedAt >= postAgainMs)
    return due.flatMap((posting) => {
      posting.triedAt = now
      return this.#try(posting)
    })
  }

  #of(key: ShardKey): Posting[] {
    return [...this.#open.values()].filter((posting) => posting.key === key)
  }

  #try({ key, index, value, trail }: Posting): Send[] {
    const { isUp, mayKnow } = this.#view
    if (!isUp(trail.owner) && !trail.next(isUp)) return seek(key, mayKnow(key))
    return [send(trail.owner, { kind: 'propose', key, outcomes: pack('', [index], [value]) })]
  }
}
