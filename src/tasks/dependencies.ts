/**
 * What tasks of the shards that this node owns wait for in other shards: asks their owners, and passes on what these say.
 *
 * Not here: what each task waits for (dependents.ts), and who answers (audience.ts, whereabouts.ts).
 * An owner asks for exactly those tasks that have not ended as far as it knows, again when the other owner changes or stays
 * silent, and anew when it has taken over. So nothing depends on one message, and nothing here need survive.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { regroup } from './accepted.ts'
import type { Dependents, News } from './dependents.ts'
import { type Send, seek, send } from './effects.ts'
import type { Lead } from './lead.ts'
import type { Placement, TaskMessage, TaskMessageOf } from './messages.ts'
import { ShardMap } from './shard-map.ts'
import { Trail } from './trail.ts'

/** Between two questions to an owner that says nothing. */
const askAgainMs = 2_000

export interface DependenciesView {
  readonly isUp: (peer: PeerId) => boolean
  /** Peers that may know where a shard is, when those that were known are down. */
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
}

/** A shard with tasks that others here wait for. */
interface Source {
  readonly trail: Trail
  /** Shards of this node whose tasks wait. */
  readonly leads: Set<ShardKey>
  askedAt: Millis
}

export class Dependencies {
  readonly #view: DependenciesView
  readonly #leads: ReadonlyMap<ShardKey, Lead>
  readonly #sources = new ShardMap<Source>()
  #begun: Lead[] = []

  constructor(view: DependenciesView, leads: ReadonlyMap<ShardKey, Lead>) {
    this.#view = view
    this.#leads = leads
  }

  /** This node owns it since now, and knows what was committed of it before. */
  begin(lead: Lead): void {
    if (lead.dependents !== undefined) this.#begun.push(lead)
  }

  /** Asks for what shards wait for that began since the last time. */
  flush(now: Millis): Send[] {
    if (this.#begun.length === 0) return []
    const fresh = new Map<ShardKey, Source>()
    for (const { key, record, dependents } of this.#begun) {
      const shards = record.needs[0]?.shards ?? []
      for (const number of new Set([...(dependents?.wanted() ?? [])].map((one) => one.number))) {
        const placement = shards[number]
        if (placement === undefined) continue
        const source = this.#sourceOf(placement)
        source.leads.add(key)
        fresh.set(placement.key, source)
      }
    }
    this.#begun = []
    return [...fresh].flatMap(([key, source]) => this.#ask(key, source, now))
  }

  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    switch (message.kind) {
      case 'awaited':
        return this.#awaited(message, now)
      case 'leading': {
        const source = this.#sources.get(message.key)
        return source?.trail.hint(message, from, now) ? this.#ask(message.key, source, now) : []
      }
      case 'disowned': {
        const source = this.#sources.get(message.key)
        if (source?.trail.owner !== from) return []
        source.trail.next(this.#view.isUp)
        // Not at once: if nobody has the shard, two keepers would send us to each other for ever.
        source.askedAt = now - askAgainMs / 2
        return source.trail.disowned(from, now) ? seek(message.key, this.#view.mayKnow(message.key)) : []
      }
      case 'forget':
        return this.#sources.covered(message.name).flatMap((key) => {
          const leads = this.#of(key)
          this.#sources.delete(key)
          return leads.flatMap((lead) => heed(lead, (dependents) => dependents.forget(key), now))
        })
      default:
        return []
    }
  }

  peerDown(peer: PeerId, now: Millis): Send[] {
    return [...this.#sources].flatMap(([key, source]) => {
      const isTurned = source.trail.owner === peer && source.trail.next(this.#view.isUp)
      return isTurned ? this.#ask(key, source, now) : []
    })
  }

  wake(now: Millis): Send[] {
    const effects: Send[] = []
    for (const [key, source] of this.#sources) {
      if (now - source.askedAt < askAgainMs) continue
      const { isUp, mayKnow } = this.#view
      if (isUp(source.trail.owner) || source.trail.next(isUp)) effects.push(...this.#ask(key, source, now))
      else {
        source.askedAt = now
        effects.push(...seek(key, mayKnow(key)))
      }
    }
    return effects
  }

  #awaited({ key, outcomes }: TaskMessageOf<'awaited'>, now: Millis): Send[] {
    const source = this.#sources.get(key)
    if (source === undefined) return []
    source.askedAt = now
    return this.#of(key).flatMap((lead) => heed(lead, (dependents) => dependents.learn(key, outcomes), now))
  }

  #sourceOf({ key, keepers }: Placement): Source {
    const old = this.#sources.get(key)
    if (old !== undefined) return old
    const trail = new Trail(keepers)
    if (!this.#view.isUp(trail.owner)) trail.next(this.#view.isUp)
    const source: Source = { trail, leads: new Set(), askedAt: Number.NEGATIVE_INFINITY }
    this.#sources.set(key, source)
    return source
  }

  #of(key: ShardKey): Lead[] {
    return [...(this.#sources.get(key)?.leads ?? [])].flatMap((one) => this.#leads.get(one) ?? [])
  }

  #ask(key: ShardKey, source: Source, now: Millis): Send[] {
    source.askedAt = now
    const { values, ends } = this.#wanted(key)
    if (values.length + ends.length > 0)
      return [
        send(source.trail.owner, {
          kind: 'await',
          key,
          values: Uint32Array.from(values),
          ends: Uint32Array.from(ends)
        })
      ]
    this.#sources.delete(key)
    return []
  }

  /** Of the tasks of this shard, those whose end some task here waits for. */
  #wanted(key: ShardKey): { values: readonly number[]; ends: readonly number[] } {
    const all = new Map<number, boolean>()
    for (const { record, dependents } of this.#of(key)) {
      const number = record.needs[0]?.shards.findIndex((one) => one.key === key)
      for (const one of dependents?.wanted() ?? [])
        if (one.number === number) all.set(one.index, all.get(one.index) === true || one.isValue)
    }
    const values = [...all].filter(([, isValue]) => isValue).map(([index]) => index)
    return { values, ends: [...all.keys()].filter((index) => all.get(index) === false) }
  }
}

/** What was committed of a shard, and heard of others, before its owner could act on it. */
export function recalled(lead: Lead, now: Millis): Send[] {
  const { committed } = lead.register
  return heed(
    lead,
    (dependents) => {
      for (const { outcomes } of regroup(committed.values())) dependents.committed(outcomes)
      return dependents.news
    },
    now
  )
}

function heed(lead: Lead, learn: (dependents: Dependents) => News, now: Millis): Send[] {
  return lead.dependents === undefined ? [] : lead.heed(learn(lead.dependents), now)
}
