/**
 * What this node wants to know of tasks in shards that others own: asks those, and again until it knows all of it.
 *
 * Not here: what is wanted and what follows (dependencies.ts, parents.ts), and who answers (audience.ts, whereabouts.ts).
 * It asks again when the other owner changes or stays silent, and anew when the shard here has been taken over. So nothing
 * depends on one message, and nothing here need survive.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Send, seek, send } from './effects.ts'
import type { Lead } from './lead.ts'
import type { Forgettable, Placement, TaskMessage } from './messages.ts'
import { ShardMap } from './shard-map.ts'
import { Trail } from './trail.ts'

export interface QuestionsView {
  readonly isUp: (peer: PeerId) => boolean
  /** Peers that may know where a shard is, when those that were known are down. */
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
}

/** Of some tasks their values, of others only how they end. */
export interface Wanted {
  readonly values: readonly number[]
  readonly ends: readonly number[]
}

/** A shard that others here want to know something of. */
interface Question {
  readonly trail: Trail
  /** Shards of this node that do. */
  readonly leads: Set<ShardKey>
  askedAt: Millis
}

export class Questions {
  readonly #view: QuestionsView
  readonly #leads: ReadonlyMap<ShardKey, Lead>
  readonly #askAgainMs: Millis
  readonly #wanted: (about: ShardKey, leads: readonly Lead[]) => Wanted
  readonly #questions = new ShardMap<Question>()

  /** `askAgainMs`: between two questions to an owner that says nothing. */
  constructor(
    view: QuestionsView,
    leads: ReadonlyMap<ShardKey, Lead>,
    askAgainMs: Millis,
    wanted: (about: ShardKey, leads: readonly Lead[]) => Wanted
  ) {
    this.#view = view
    this.#leads = leads
    this.#askAgainMs = askAgainMs
    this.#wanted = wanted
  }

  /** A shard of this node wants to know something of that one. True if that is new. */
  add({ key, keepers }: Pick<Placement, 'key' | 'keepers'>, lead: ShardKey): boolean {
    const old = this.#questions.get(key)
    const question = old ?? { trail: new Trail(keepers), leads: new Set(), askedAt: Number.NEGATIVE_INFINITY }
    if (old === undefined) this.#questions.set(key, question)
    if (question.leads.has(lead)) return false
    question.leads.add(lead)
    return true
  }

  /** Shards of this node that want to know something of that one. */
  about(key: ShardKey): Lead[] {
    return [...(this.#questions.get(key)?.leads ?? [])].flatMap((one) => this.#leads.get(one) ?? [])
  }

  ask(key: ShardKey, now: Millis): Send[] {
    const question = this.#questions.get(key)
    if (question === undefined) return []
    const { isUp, mayKnow } = this.#view
    const { values, ends } = this.#wanted(key, this.about(key))
    question.askedAt = now
    if (values.length + ends.length === 0) {
      this.#questions.delete(key)
      return []
    }
    if (!isUp(question.trail.owner) && !question.trail.next(isUp)) return seek(key, mayKnow(key))
    const about = { values: Uint32Array.from(values), ends: Uint32Array.from(ends) }
    return [send(question.trail.owner, { kind: 'await', key, ...about })]
  }

  /** What there is to do about a word that is no answer. */
  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    switch (message.kind) {
      case 'awaited': {
        const question = this.#questions.get(message.key)
        if (question !== undefined) question.askedAt = now
        return []
      }
      case 'leading': {
        const question = this.#questions.get(message.key)
        return question?.trail.hint(message, from, now) ? this.ask(message.key, now) : []
      }
      case 'disowned': {
        const question = this.#questions.get(message.key)
        if (question?.trail.owner !== from) return []
        question.trail.next(this.#view.isUp)
        // Not at once: if nobody has the shard, two keepers would send us to each other for ever.
        question.askedAt = now - this.#askAgainMs / 2
        return question.trail.disowned(from, now) ? seek(message.key, this.#view.mayKnow(message.key)) : []
      }
      default:
        return []
    }
  }

  /** Nobody will ever know any of it: what was to be known of which shard, and by whom. */
  forget(name: Forgettable): [ShardKey, Lead[]][] {
    return this.#questions.covered(name).map((key) => {
      const leads = this.about(key)
      this.#questions.delete(key)
      return [key, leads]
    })
  }

  /** Shards of which every keeper has said for so long that it has none of them. */
  orphaned(now: Millis, forMs: Millis): ShardKey[] {
    return [...this.#questions].flatMap(([key, { trail }]) => (trail.orphanedFor(now) > forMs ? [key] : []))
  }

  peerDown(peer: PeerId, now: Millis): Send[] {
    return [...this.#questions].flatMap(([key, { trail }]) =>
      trail.owner === peer && trail.next(this.#view.isUp) ? this.ask(key, now) : []
    )
  }

  wake(now: Millis): Send[] {
    return [...this.#questions].flatMap(([key, { askedAt }]) =>
      now - askedAt < this.#askAgainMs ? [] : this.ask(key, now)
    )
  }
}
