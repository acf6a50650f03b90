/**
 * Whether the tasks have ended that submitted what this node owns, and cancels the rest of it then.
 *
 * Not here: a task whose engine or node can still do that itself (client/within.ts, node/guests.ts): they are faster, and most
 * jobs within tasks end before anybody asks. A node that is lost does nothing, and its task may have no attempt that follows;
 * so whoever owns a shard of such a job looks after it. That nobody answers proves nothing, for the answer may come yet.
 */
import { type PeerId, type ShardKey, shardName } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { pack } from './batch.ts'
import { encodeClosed, isUncounted } from './closing.ts'
import { type Send, send } from './effects.ts'
import { orphanMaxMs } from './held.ts'
import type { Lead } from './lead.ts'
import { closedIndex, type TaskMessage } from './messages.ts'
import { Questions, type QuestionsView, type Wanted } from './questions.ts'

/** Between two looks for what has not ended, and whose task nobody here has asked about. */
const lookEveryMs = 5_000
/** Between two questions: whoever was asked tells by itself when the task ends, unless it is lost before. */
const askAgainMs = 30_000

export interface ParentsView extends QuestionsView {
  readonly self: PeerId
}

export class Parents {
  readonly #view: ParentsView
  readonly #leads: ReadonlyMap<ShardKey, Lead>
  readonly #questions: Questions
  #lookAt: Millis | undefined

  constructor(view: ParentsView, leads: ReadonlyMap<ShardKey, Lead>) {
    this.#view = view
    this.#leads = leads
    this.#questions = new Questions(view, leads, askAgainMs, wanted)
  }

  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    const effects = this.#questions.message(from, message, now)
    if (message.kind === 'awaited') {
      const ended = new Set(message.outcomes.indexes)
      const within = this.#questions.about(message.key).filter((lead) => ended.has(placeOf(lead)))
      effects.push(...this.#end(within))
    }
    if (message.kind === 'forget')
      for (const [, within] of this.#questions.forget(message.name)) effects.push(...this.#end(within))
    return effects
  }

  peerDown(peer: PeerId, now: Millis): Send[] {
    return this.#questions.peerDown(peer, now)
  }

  wake(now: Millis): Send[] {
    const gone = this.#questions.orphaned(now, orphanMaxMs)
    const over = gone.flatMap((key) => this.#questions.forget(key)).flatMap(([, within]) => within)
    return [...this.#end(over), ...this.#look(now), ...this.#questions.wake(now)]
  }

  #look(now: Millis): Send[] {
    this.#lookAt ??= now + lookEveryMs
    if (now < this.#lookAt) return []
    this.#lookAt = now + lookEveryMs
    const fresh = new Set<ShardKey>()
    for (const lead of this.#leads.values()) {
      const [parent] = lead.record.header.parent
      if (parent !== undefined && isUnderWay(lead) && this.#questions.add(parent, lead.key))
        fresh.add(parent.key)
    }
    return [...fresh].flatMap((key) => this.#questions.ask(key, now))
  }

  /** As a client would who cancels all of a job, and does not know how much of it there is. What comes too early is said again. */
  #end(leads: readonly Lead[]): Send[] {
    const { self } = this.#view
    const outcomes = pack('', [closedIndex], [encodeClosed(0)])
    return leads.filter(isUnderWay).flatMap((lead) => {
      const { key } = lead
      const cancel = send(self, { kind: 'cancel', key })
      return isOpen(lead) ? [cancel, send(self, { kind: 'propose', key, outcomes })] : [cancel]
    })
  }
}

const placeOf = ({ record }: Lead): number => record.header.parent[0]?.index ?? -1

/** More shards may be added to its job. */
const isOpen = ({ key, register }: Lead): boolean => shardName(key).index === 0 && isUncounted(register)

const isUnderWay = (lead: Lead): boolean => lead.queue.unfinished > 0 || isOpen(lead)

const wanted = (_: ShardKey, leads: readonly Lead[]): Wanted => ({
  values: [],
  ends: [...new Set(leads.filter(isUnderWay).map(placeOf))]
})
