/**
 * Who owns a shard that this node keeps and does not own, and when this node should try to.
 *
 * Not here: how a ballot is won (register.ts). Every keeper follows the highest ballot that it has seen; the rank in it names
 * the owner. If that node is down, or says that it does not own the shard, keepers try in order of rank, with jitter.
 * Trying too early costs a round of messages and no outcome: the detector proposes, the record decides.
 */
import type { Ballot, PeerId, ShardKey } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import { type Send, send } from './effects.ts'
import { type KeeperList, listOf, ownerBy } from './keepers.ts'
import type { Forgettable, ShardRecord } from './messages.ts'
import { ShardMap } from './shard-map.ts'
import type { Kept } from './whereabouts.ts'

/** Head start of each keeper over the next in rank. */
const headStartMs = 300
const jitterMs = 100
/** Between two questions to an owner whether it still is one, if nothing else showed it. */
const inquireEveryMs = 10_000
/** Between two looks at all followed shards. */
const lookEveryMs = 500

interface Followed {
  readonly record: ShardRecord
  /** The newest list that was heard of; this node may not be in it. */
  list: KeeperList
  ballot: Ballot
  /** The owner of `ballot` said that it is none. */
  isOrphan: boolean
  tryAt: Millis | undefined
  askedAt: Millis
}

export class Succession {
  readonly #self: PeerId
  readonly #random: Random
  readonly #isUp: (peer: PeerId) => boolean
  readonly #shards = new ShardMap<Followed>()
  #lookAt: Millis = 0
  #tryAt: Millis | undefined

  constructor(self: PeerId, random: Random, isUp: (peer: PeerId) => boolean) {
    this.#self = self
    this.#random = random
    this.#isUp = isUp
  }

  get size(): number {
    return this.#shards.size
  }

  follow(record: ShardRecord, ballot: Ballot, now: Millis): void {
    const list = listOf(record)
    const followed = { record, list, ballot, isOrphan: false, tryAt: undefined, askedAt: now }
    this.#shards.set(record.key, followed)
    // A shard that is owned needs no look of its own.
    this.#lookAt = Math.min(this.#lookAt, this.#isOwned(followed) ? now + lookEveryMs : now)
  }

  /** Follows all that is kept and may still change. */
  restored(keeper: Kept, now: Millis): void {
    for (const key of keeper.keys()) {
      const record = keeper.isSettled(key) ? undefined : keeper.record(key)
      if (record === undefined || !record.keepers.includes(this.#self)) continue
      this.follow(record, keeper.promised(key), now)
    }
  }

  unfollow(key: ShardKey): void {
    this.#shards.delete(key)
  }

  forget(name: Forgettable): void {
    for (const key of this.#shards.covered(name)) this.#shards.delete(key)
  }

  /** Shards that are followed; may be gone on with later. */
  keys(): IterableIterator<ShardKey> {
    return this.#shards.keys()
  }

  has(key: ShardKey): boolean {
    return this.#shards.has(key)
  }

  /** The list and the highest ballot that were seen of a followed shard. */
  seen(key: ShardKey): (KeeperList & { ballot: Ballot }) | undefined {
    const followed = this.#shards.get(key)
    return followed === undefined ? undefined : { ...followed.list, ballot: followed.ballot }
  }

  /** The owner as far as is known, if it is up and another node. */
  owner(key: ShardKey): PeerId | undefined {
    const followed = this.#shards.get(key)
    if (followed === undefined) return undefined
    return this.#isOwned(followed) ? ownerBy(followed.list, followed.ballot) : undefined
  }

  /** A ballot was seen in use, in the list of that number. */
  saw(key: ShardKey, list: number, ballot: Ballot, now: Millis): void {
    const followed = this.#shards.get(key)
    if (followed === undefined || ballot < followed.ballot || list !== followed.list.list) return
    followed.askedAt = now
    if (ballot > followed.ballot) followed.tryAt = undefined
    followed.ballot = ballot
    followed.isOrphan = false
  }

  /** Somebody says who owns the shard, perhaps in a list that is new here. */
  hinted(key: ShardKey, hint: KeeperList & { readonly ballot: Ballot }, now: Millis): void {
    const followed = this.#shards.get(key)
    if (followed === undefined) return
    if (hint.list > followed.list.list) {
      followed.list = listOf(hint)
      followed.tryAt = undefined
      // What was tried in vain in the list before says nothing of who owns this one.
      followed.ballot = Math.min(followed.ballot, hint.ballot)
    }
    this.saw(key, hint.list, hint.ballot, now)
  }

  disowned(key: ShardKey, from: PeerId, now: Millis): void {
    const followed = this.#shards.get(key)
    if (followed === undefined || ownerBy(followed.list, followed.ballot) !== from) return
    followed.isOrphan = true
    this.#schedule(followed, now)
  }

  peerDown(now: Millis): void {
    this.#lookAt = now
  }

  /** One that comes back may have forgotten that it owned something. */
  peerUp(peer: PeerId, now: Millis): void {
    for (const followed of this.#shards.values()) {
      if (ownerBy(followed.list, followed.ballot) === peer) followed.askedAt = Number.NEGATIVE_INFINITY
    }
    this.#lookAt = Math.min(this.#lookAt, now + lookEveryMs)
  }

  /** Questions to owners, and the shards that this node should now try to own. */
  wake(now: Millis): { effects: Send[]; tries: { record: ShardRecord; ballot: Ballot }[] } {
    const effects: Send[] = []
    const tries: { record: ShardRecord; ballot: Ballot }[] = []
    if (now < (this.wakeAt() ?? Number.POSITIVE_INFINITY)) return { effects, tries }
    this.#lookAt = now + lookEveryMs
    this.#tryAt = undefined
    for (const followed of this.#shards.values()) {
      if (this.#isOwned(followed)) {
        followed.tryAt = undefined
        if (now - followed.askedAt < inquireEveryMs) continue
        followed.askedAt = now
        const owner = ownerBy(followed.list, followed.ballot)
        if (owner !== undefined) effects.push(send(owner, { kind: 'inquire', key: followed.record.key }))
      } else if (followed.tryAt !== undefined && followed.tryAt <= now) {
        tries.push({ record: followed.record, ballot: followed.ballot })
      } else this.#schedule(followed, now)
    }
    return { effects, tries }
  }

  wakeAt(): Millis | undefined {
    return this.#shards.size === 0 ? undefined : earlier(this.#lookAt, this.#tryAt)
  }

  #isOwned({ list, ballot, isOrphan }: Followed): boolean {
    const owner = ownerBy(list, ballot)
    return !isOrphan && owner !== undefined && owner !== this.#self && this.#isUp(owner)
  }

  #schedule(followed: Followed, now: Millis): void {
    if (followed.tryAt === undefined) {
      const { keepers } = followed.record
      const owner = ownerBy(followed.list, followed.ballot)
      const before = keepers.slice(0, keepers.indexOf(this.#self))
      const ahead = before.filter((peer) => peer !== owner && this.#isUp(peer)).length
      followed.tryAt = now + ahead * headStartMs + this.#random.next() * jitterMs
    }
    this.#tryAt = earlier(this.#tryAt, followed.tryAt)
  }
}
