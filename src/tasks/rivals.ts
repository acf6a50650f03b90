/**
 * Lets go of shards that were stored twice and do not count.
 *
 * Not here: who answers which one counts (whereabouts.ts), and what forgetting removes (keeper.ts).
 * When an entry dies before it acknowledges a shard, its client has it stored again, under a new epoch. Which one counts is
 * decided by the job's register, so every keeper asks that, until it knows. Of first shards, which hold that register, the
 * newest counts: a client only makes another one while nobody told it of the last, and a task only in place of an earlier
 * attempt's. So a newer one has the older forgotten, with all shards that the register in that one was to name.
 */
import { isJobId, type PeerId, type ShardKey, shardKey, shardName } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { type Send, seek, send } from './effects.ts'
import type { Keeper } from './keeper.ts'
import {
  covers,
  type Forgettable,
  holdingsMax,
  keysOf,
  type ShardRecord,
  type TaskMessage
} from './messages.ts'
import { ShardMap } from './shard-map.ts'
import { Trail } from './trail.ts'

/** A shard is usually named soon after it is stored, and a short job is over before anybody asks. */
const askAfterMs = 10_000
/** Between two questions while the register does not name it. */
const askAgainMs = 30_000
/** Between two orders to forget that were not answered. */
const orderAgainMs = 10_000

export interface RivalsView {
  readonly self: PeerId
  readonly isUp: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
  readonly keeper: Pick<Keeper, 'keys' | 'shardsOf' | 'record'>
}

/** Shards of one job that are kept here, and that its register has not named yet. */
interface Doubt {
  readonly trail: Trail
  readonly keys: Set<ShardKey>
  askAt: Millis
}

export class Rivals {
  readonly #view: RivalsView
  /** By the job's first shard. */
  readonly #doubts = new Map<ShardKey, Doubt>()
  /** First shards that are not the first of their job, and who may still keep an earlier one. */
  readonly #newest = new ShardMap<Set<PeerId>>()
  #askAt: Millis | undefined
  #orderAt: Millis = 0

  constructor(view: RivalsView) {
    this.#view = view
  }

  /** A shard that is kept here since now, or by other keepers than before. */
  kept({ key, root: [root] }: ShardRecord, now: Millis): Send[] {
    const { index, epoch } = shardName(key)
    if (index === 0) {
      if (epoch === 0 || this.#newest.has(key)) return []
      const all = [this.#view.self, ...this.#view.peers()]
      this.#newest.set(key, new Set(all))
      return all.map((peer) => order(peer, key))
    }
    if (root === undefined) return []
    const doubt = this.#doubts.get(root.key) ?? {
      trail: new Trail(root.keepers),
      keys: new Set(),
      askAt: now + askAfterMs
    }
    this.#doubts.set(root.key, doubt)
    doubt.keys.add(key)
    this.#askAt = earlier(this.#askAt, doubt.askAt)
    return []
  }

  restored(now: Millis): Send[] {
    const { keeper } = this.#view
    return keeper.keys().flatMap((key) => {
      const { index, epoch } = shardName(key)
      // Nearly all are such, and say nothing.
      const record = index + epoch === 0 ? undefined : keeper.record(key)
      return record === undefined ? [] : this.kept(record, now)
    })
  }

  peerUp(peer: PeerId): Send[] {
    return [...this.#newest].map(([key, open]) => {
      open.add(peer)
      return order(peer, key)
    })
  }

  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    switch (message.kind) {
      case 'counts':
        for (const key of message.keys) this.#settle(message.root, key)
        return []
      case 'forget': {
        const { name } = message
        for (const key of this.#newest.covered(name)) this.#newest.delete(key)
        for (const [root, { keys }] of this.#doubts)
          for (const key of keysOf(name, keys)) this.#settle(root, key)
        return this.#orphaned(name)
      }
      case 'forgotten':
        for (const [key, open] of this.#newest) if (before(key) === message.name) open.delete(from)
        return []
      case 'leading': {
        const doubt = this.#doubts.get(message.key)
        return doubt?.trail.hint(message, from, now) ? this.#ask(message.key, doubt, now) : []
      }
      case 'disowned': {
        const trail = this.#doubts.get(message.key)?.trail
        if (trail?.owner === from) trail.next(this.#view.isUp)
        return []
      }
      default:
        return []
    }
  }

  wake(now: Millis): Send[] {
    const effects: Send[] = []
    if (now >= this.#orderAt) {
      this.#orderAt = now + orderAgainMs
      for (const [key, open] of this.#newest)
        for (const peer of open)
          if (peer === this.#view.self || this.#view.isUp(peer)) effects.push(order(peer, key))
    }
    if (this.#askAt === undefined || now < this.#askAt) return effects
    for (const [root, doubt] of this.#doubts)
      if (doubt.askAt <= now) effects.push(...this.#ask(root, doubt, now))
    this.#askAt = [...this.#doubts.values()].reduce<Millis | undefined>(
      (at, { askAt }) => earlier(at, askAt),
      undefined
    )
    return effects
  }

  wakeAt(): Millis | undefined {
    const isOpen = [...this.#newest.values()].some(({ size }) => size > 0)
    return earlier(this.#askAt, isOpen ? this.#orderAt : undefined)
  }

  #ask(root: ShardKey, doubt: Doubt, now: Millis): Send[] {
    const { trail, keys } = doubt
    doubt.askAt = now + askAgainMs
    const { isUp, mayKnow } = this.#view
    if (!isUp(trail.owner) && !trail.next(isUp)) return seek(root, mayKnow(root))
    const all = [...keys]
    const effects: Send[] = []
    for (let at = 0; at < all.length; at += holdingsMax)
      effects.push(send(trail.owner, { kind: 'count', root, keys: all.slice(at, at + holdingsMax) }))
    return effects
  }

  /** Shards of the jobs whose first shard does not count any more: whatever its register says of them, they count no more either. */
  #orphaned(name: Forgettable): Send[] {
    if (isJobId(name) || shardName(name).index > 0) return []
    const { self, keeper } = this.#view
    return [...keeper.shardsOf(shardName(name).job)].flatMap((key) => {
      const root = keeper.record(key)?.root[0]
      return root !== undefined && covers(name, root.key) ? [send(self, { kind: 'forget', name: key })] : []
    })
  }

  /** Nobody need be asked about it any more. */
  #settle(root: ShardKey, key: ShardKey): void {
    const keys = this.#doubts.get(root)?.keys
    if (keys?.delete(key) && keys.size === 0) this.#doubts.delete(root)
  }
}

/** The epoch before this one; whoever forgets it, forgets those before it too. */
function before(key: ShardKey): ShardKey {
  const { job, index, epoch } = shardName(key)
  return shardKey(job, index, epoch - 1)
}

const order = (peer: PeerId, key: ShardKey): Send => send(peer, { kind: 'forget', name: before(key) })
