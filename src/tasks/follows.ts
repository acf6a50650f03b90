/**
 * Who wants to hear of which shard's outcomes: passes them from owners to clients, each once per client.
 *
 * Not here: placing shards (entry.ts), and what is committed (owner.ts).
 * A follow asks again when its owner changes or stays silent, saying what it has, so nothing depends on one message.
 */
import type { ClientMessageOf } from '../client/protocol.ts'
import { type ClientId, type PeerId, type ShardKey, shardName } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { pickAt } from './batch.ts'
import { type Send, seek, send } from './effects.ts'
import type { EntryEffect, EntryView } from './entry.ts'
import { everyTask, type Forgettable, type Placement, type TaskMessageOf } from './messages.ts'
import { ShardMap } from './shard-map.ts'
import { Trail } from './trail.ts'

/** Between two questions of a follow that hears nothing. */
const askAgainMs = 2_000
/** Between two looks whether a client has room again for what it had none. */
const refillEveryMs = 20

interface Follow {
  readonly placement: Placement
  readonly trail: Trail
  readonly clients: Map<ClientId, Set<number>>
  /** Tasks that are to be cancelled, and have no outcome as far as is known here. */
  readonly cancelled: Set<number>
  askedAt: Millis
  /** Bytes that came and a client had no room for: they are asked for again once it has. */
  held: number
}

export class Follows {
  readonly #view: EntryView
  readonly #follows = new ShardMap<Follow>()
  /** Bytes that clients are told in this step, which their streams do not know of yet. */
  readonly #told = { at: Number.NaN, bytes: new Map<ClientId, number>() }
  /** A client had no room for something. */
  #refillAt: Millis | undefined

  constructor(view: EntryView) {
    this.#view = view
  }

  get size(): number {
    return this.#follows.size
  }

  follow(client: ClientId, placement: Placement, have: Uint32Array, now: Millis): EntryEffect[] {
    const follow = this.#followOf(placement)
    // What it was told before may not be what all of its readers have.
    follow.clients.set(client, new Set(have))
    return [this.#ask(follow, now)]
  }

  unfollow(client: ClientId, key: ShardKey): void {
    const follow = this.#follows.get(key)
    follow?.clients.delete(client)
    if (follow !== undefined && follow.clients.size === 0 && follow.cancelled.size === 0)
      this.#follows.delete(key)
  }

  /** What this client has heard of it may be what one of two keepers had committed alone, and not what counts. */
  tellAgain(client: ClientId, key: ShardKey, index: number): void {
    this.#follows.get(key)?.clients.get(client)?.delete(index)
  }

  gone(client: ClientId): void {
    for (const key of [...this.#follows.keys()]) this.unfollow(client, key)
  }

  /** Asked of the owner until each of these tasks has an outcome, whether or not a client still listens. */
  cancel(message: ClientMessageOf<'cancel' | 'cancel-tasks'>, now: Millis): Send[] {
    const { placement } = message
    const tasks = message.kind === 'cancel' ? everyTask : message.indexes
    // One who listens for itself, to know when the last outcome is there.
    const has = this.#follows.get(placement.key)?.clients.get(CANCEL) ?? new Set()
    const open = tasks.filter((task) => task < placement.count && !has.has(task))
    if (open.length === 0) return []
    const follow = this.#followOf(placement)
    for (const task of open) follow.cancelled.add(task)
    follow.clients.set(CANCEL, has)
    return [...this.#cancelAgain(follow), this.#ask(follow, now)]
  }

  committed({ key, outcomes, more }: TaskMessageOf<'committed'>, now: Millis): EntryEffect[] {
    const follow = this.#follows.get(key)
    if (follow === undefined) return []
    follow.askedAt = now
    const effects: EntryEffect[] = []
    for (const [client, has] of follow.clients) {
      const fresh: number[] = []
      for (let at = 0; at < outcomes.indexes.length; at++)
        if (!has.has(outcomes.indexes[at] as number)) fresh.push(at)
      const isNews = client !== CANCEL && fresh.length > 0
      if (isNews && this.#room(client, now) <= 0) {
        follow.held += outcomes.body.byteLength
        this.#refillAt ??= now + refillEveryMs
        continue
      }
      for (const at of fresh) has.add(outcomes.indexes[at] as number)
      if (!isNews) continue
      const news = pickAt(outcomes, fresh)
      this.#told.bytes.set(client, (this.#told.bytes.get(client) ?? 0) + news.body.byteLength)
      effects.push({ kind: 'reply', client, message: { kind: 'results', key, outcomes: news } })
    }
    for (const index of outcomes.indexes) follow.cancelled.delete(index)
    if (follow.cancelled.size === 0) this.unfollow(CANCEL, key)
    const isOver = !this.#follows.has(key)
    return more && !isOver && follow.held === 0 ? [...effects, this.#ask(follow, now)] : effects
  }

  /** Bytes that this client can be told now. */
  #room(client: ClientId, now: Millis): number {
    if (this.#told.at !== now) this.#told.bytes.clear()
    this.#told.at = now
    return this.#view.room(client) - (this.#told.bytes.get(client) ?? 0)
  }

  /** Passed on as it comes: nobody asks again for what is lost. */
  said({ key, first, words }: TaskMessageOf<'said'>): EntryEffect[] {
    const clients = [...(this.#follows.get(key)?.clients.keys() ?? [])].filter((client) => client !== CANCEL)
    return clients.map((client) => ({ kind: 'reply', client, message: { kind: 'said', key, first, words } }))
  }

  led(from: PeerId, message: TaskMessageOf<'leading'>, now: Millis): Send[] {
    const follow = this.#follows.get(message.key)
    if (follow === undefined || !follow.trail.hint(message, from, now)) return []
    return [...this.#cancelAgain(follow), this.#ask(follow, now)]
  }

  /**
   * Its clients hear that the job is gone, or that they have to look for it again. Also of one shard: another attempt had it
   * forgotten, and may be gone itself by now.
   */
  forgotten(name: Forgettable): EntryEffect[] {
    const effects: EntryEffect[] = []
    for (const key of this.#follows.covered(name)) {
      const { job } = shardName(key)
      const clients = this.#follows.get(key)?.clients.keys() ?? []
      this.#follows.delete(key)
      const kind = job === name ? 'released' : 'superseded'
      for (const client of clients)
        if (client !== CANCEL) effects.push({ kind: 'reply', client, message: { kind, job } })
    }
    return effects
  }

  disowned(from: PeerId, key: ShardKey, now: Millis): Send[] {
    const follow = this.#follows.get(key)
    if (follow?.trail.owner !== from) return []
    follow.trail.next(this.#view.isUp)
    // Not at once: if nobody has the shard, two keepers would send us to each other for ever.
    follow.askedAt = now - askAgainMs / 2
    return follow.trail.disowned(from, now) ? seek(key, this.#view.mayKnow(key)) : []
  }

  peerDown(peer: PeerId, now: Millis): Send[] {
    const effects: Send[] = []
    for (const follow of this.#follows.values()) {
      if (follow.trail.owner === peer && follow.trail.next(this.#view.isUp))
        effects.push(this.#ask(follow, now))
    }
    return effects
  }

  /** What clients had no room for may not wait for the next `wake`. */
  wakeAt(): Millis | undefined {
    return this.#refillAt
  }

  wake(now: Millis): Send[] {
    const effects: Send[] = []
    this.#refillAt = undefined
    /** Bytes that are asked for now, and will come. */
    const asked = new Map<ClientId, number>()
    for (const follow of this.#follows.values()) {
      const clients = follow.held > 0 ? [...follow.clients.keys()].filter((one) => one !== CANCEL) : []
      const reader = clients.find((one) => this.#room(one, now) > (asked.get(one) ?? 0))
      if (reader !== undefined) asked.set(reader, (asked.get(reader) ?? 0) + follow.held)
      else if (clients.length > 0) this.#refillAt = now + refillEveryMs
      if (reader === undefined && now - follow.askedAt < askAgainMs) continue
      const { isUp, mayKnow } = this.#view
      if (follow.held > 0 && reader === undefined) {
        follow.askedAt = now
        effects.push(...this.#cancelAgain(follow))
        continue
      }
      if (!isUp(follow.trail.owner) && !follow.trail.next(isUp)) {
        follow.askedAt = now
        effects.push(...seek(follow.placement.key, mayKnow(follow.placement.key)))
      } else effects.push(...this.#cancelAgain(follow), this.#ask(follow, now))
    }
    return effects
  }

  check(): void {
    for (const [key, { clients }] of this.#follows) assert(clients.size > 0, `${key} is followed by nobody`)
  }

  #followOf(placement: Placement): Follow {
    const old = this.#follows.get(placement.key)
    if (old !== undefined) return old
    const trail = new Trail(placement.keepers)
    if (!this.#view.isUp(trail.owner)) trail.next(this.#view.isUp)
    const follow: Follow = {
      placement,
      trail,
      clients: new Map(),
      cancelled: new Set(),
      askedAt: 0,
      held: 0
    }
    this.#follows.set(placement.key, follow)
    return follow
  }

  #cancelAgain({ cancelled, trail, placement: { key, count } }: Follow): Send[] {
    if (cancelled.size === 0) return []
    if (cancelled.size === count) return [send(trail.owner, { kind: 'cancel', key })]
    return [send(trail.owner, { kind: 'cancel-tasks', key, indexes: Uint32Array.from(cancelled) })]
  }

  #ask(follow: Follow, now: Millis): Send {
    follow.askedAt = now
    follow.held = 0
    // What every client here has, the owner need not send again.
    const [first, ...rest] = [...follow.clients.values()]
    const have = [...(first ?? [])].filter((index) => rest.every((has) => has.has(index)))
    return send(follow.trail.owner, {
      kind: 'watch',
      key: follow.placement.key,
      have: Uint32Array.from(have)
    })
  }
}

const CANCEL = '(cancel)' as ClientId
