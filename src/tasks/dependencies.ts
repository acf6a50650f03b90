/**
 * What the shards that this node owns have to know of tasks in others: of those that their tasks wait for, and of those that
 * submitted them (parents.ts).
 *
 * Not here: what each task waits for (dependents.ts), and how others are asked (questions.ts). An owner asks for exactly those
 * tasks that have not ended as far as it knows.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { regroup } from './accepted.ts'
import type { Dependents, News } from './dependents.ts'
import type { Send } from './effects.ts'
import type { Lead } from './lead.ts'
import type { TaskMessage } from './messages.ts'
import { Parents, type ParentsView } from './parents.ts'
import { Questions, type Wanted } from './questions.ts'

/** Between two questions to an owner that says nothing. */
const askAgainMs = 2_000

export type DependenciesView = ParentsView

export class Dependencies {
  readonly #questions: Questions
  readonly #parents: Parents
  #begun: Lead[] = []

  constructor(view: DependenciesView, leads: ReadonlyMap<ShardKey, Lead>) {
    this.#questions = new Questions(view, leads, askAgainMs, wanted)
    this.#parents = new Parents(view, leads)
  }

  /** This node owns it since now, and knows what was committed of it before. */
  begin(lead: Lead): void {
    if (lead.dependents !== undefined) this.#begun.push(lead)
  }

  /** Asks for what shards wait for that began since the last time. */
  flush(now: Millis): Send[] {
    if (this.#begun.length === 0) return []
    const fresh = new Set<ShardKey>()
    for (const { key, record, dependents } of this.#begun) {
      const shards = record.needs[0]?.shards ?? []
      for (const number of new Set([...(dependents?.wanted() ?? [])].map((one) => one.number))) {
        const placement = shards[number]
        if (placement === undefined) continue
        this.#questions.add(placement, key)
        fresh.add(placement.key)
      }
    }
    this.#begun = []
    return [...fresh].flatMap((key) => this.#questions.ask(key, now))
  }

  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    const effects = this.#questions.message(from, message, now)
    if (message.kind === 'awaited') {
      const { key, outcomes } = message
      for (const lead of this.#questions.about(key))
        effects.push(...heed(lead, (dependents) => dependents.learn(key, outcomes), now))
    }
    if (message.kind === 'forget') {
      for (const [key, leads] of this.#questions.forget(message.name))
        for (const lead of leads) effects.push(...heed(lead, (dependents) => dependents.forget(key), now))
    }
    return [...effects, ...this.#parents.message(from, message, now)]
  }

  peerDown(peer: PeerId, now: Millis): Send[] {
    return [...this.#questions.peerDown(peer, now), ...this.#parents.peerDown(peer, now)]
  }

  wake(now: Millis): Send[] {
    return [...this.#questions.wake(now), ...this.#parents.wake(now)]
  }
}

/** Of the tasks of this shard, those whose end some task here waits for. */
function wanted(about: ShardKey, leads: readonly Lead[]): Wanted {
  const all = new Map<number, boolean>()
  for (const { record, dependents } of leads) {
    const number = record.needs[0]?.shards.findIndex((one) => one.key === about)
    for (const one of dependents?.wanted() ?? [])
      if (one.number === number) all.set(one.index, all.get(one.index) === true || one.isValue)
  }
  const values = [...all].filter(([, isValue]) => isValue).map(([index]) => index)
  return { values, ends: [...all.keys()].filter((index) => all.get(index) === false) }
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
