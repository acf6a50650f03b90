/**
 * What a node says to those who look for the owner of a shard, or for its outcomes when nobody needs to own it any more.
 *
 * Not here: owning (owner.ts) and deciding to own (succession.ts).
 * Hints may be old; whoever follows one asks again there. Only `moved` and `settle` are proofs.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { answered, told } from './audience.ts'
import { isNamed } from './closing.ts'
import { confirm, type Send, send } from './effects.ts'
import type { Keeper } from './keeper.ts'
import { listOf, movedMessage } from './keepers.ts'
import type { Lead } from './lead.ts'
import type { TaskMessage, TaskMessageOf } from './messages.ts'
import type { Orphans } from './orphans.ts'
import type { Succession } from './succession.ts'

export type Kept = Pick<
  Keeper,
  | 'record'
  | 'promised'
  | 'inForce'
  | 'isSettled'
  | 'settledBy'
  | 'outcomes'
  | 'isWhole'
  | 'brief'
  | 'keys'
  | 'eachKey'
  | 'size'
  | 'movedTo'
  | 'isForgotten'
  | 'epitaph'
>

/** What only an owner can act on. */
export type AboutTasks = TaskMessageOf<
  'propose' | 'outcomes' | 'cancel' | 'cancel-tasks' | 'handback' | 'missing' | 'holding' | 'begun'
>

/** Shards whose askers are remembered; the oldest are forgotten, and ask again. */
export const askedMax = 1_024

/** Between two questions of an owner whether its shards went on without it. */
const doubtEveryMs = 30_000

export class Whereabouts {
  #doubtAt: Millis | undefined
  #doubts = 0
  /** Who runs tasks of a shard that has no owner that is known here. */
  readonly #askers = new Map<ShardKey, Set<PeerId>>()
  readonly #keeper: Kept
  readonly #leads: ReadonlyMap<ShardKey, Lead>
  readonly #succession: Succession
  readonly #orphans: Orphans

  constructor(keeper: Kept, leads: ReadonlyMap<ShardKey, Lead>, succession: Succession, orphans: Orphans) {
    this.#orphans = orphans
    this.#keeper = keeper
    this.#leads = leads
    this.#succession = succession
  }

  /** To who wants to know something of a shard. */
  asked(from: PeerId, message: TaskMessageOf<'seek' | 'inquire' | 'count'>): Send[] {
    if (message.kind === 'count') return this.#counted(from, message)
    const { key, kind } = message
    if (kind === 'inquire') return [this.#answer(from, key)]
    // From one who knows no keeper any more.
    if (this.#keeper.isForgotten(key)) return [send(from, this.#keeper.epitaph(key))]
    const at = this.best(key)
    return at === undefined ? [] : [send(from, at)]
  }

  /**
   * Now and then, an owner asks one keeper of each shard what that one knows. Others may have taken it over, and to other nodes,
   * while this one was away: who proposes nothing is told so by nobody.
   */
  doubts(self: PeerId, now: Millis): Send[] {
    this.#doubtAt ??= now + doubtEveryMs
    if (now < this.#doubtAt) return []
    this.#doubtAt = now + doubtEveryMs
    this.#doubts++
    return [...this.#leads].flatMap(([key, { record }]) => {
      const others = record.keepers.filter((peer) => peer !== self)
      const keeper = others[this.#doubts % others.length]
      return keeper === undefined ? [] : [send(keeper, { kind: 'inquire', key })]
    })
  }

  /** To who follows the shard. */
  watched(from: PeerId, message: TaskMessageOf<'watch' | 'await'>): Send[] {
    const { key } = message
    if (this.#keeper.isForgotten(key)) return [send(from, this.#keeper.epitaph(key))]
    const lead = this.#leads.get(key)
    if (lead !== undefined) return lead.audience.heed(from, message)
    if (this.#keeper.isSettled(key))
      return message.kind === 'watch'
        ? this.settled(from, key, message.have)
        : answered(from, message, this.#keeper.outcomes(key)).effects
    const hint = this.hint(key)
    if (hint !== undefined) return [send(from, hint)]
    if (this.#keeper.record(key) === undefined) return [send(from, { kind: 'disowned', key })]
    // An owner is told of the next one, and asks that.
    if (message.kind === 'await') this.#asked(key, from)
    else this.#orphans.add(key, from, message.have)
    return []
  }

  /** To another keeper, who wants to know whether the shard is in good hands. */
  #answer(from: PeerId, key: ShardKey): Send {
    const lead = this.#leads.get(key)
    const record = this.#keeper.record(key)
    if (record !== undefined && this.#keeper.isSettled(key)) {
      const { list, keepers } = record
      if (!keepers.includes(from)) return send(from, movedMessage(key, listOf(record)))
      const [ballot, by] = [this.#keeper.promised(key), this.#keeper.settledBy(key)]
      return send(from, { kind: 'settle', key, list, ballot, by })
    }
    if (this.#keeper.isForgotten(key)) return send(from, this.#keeper.epitaph(key))
    const moved = this.#keeper.movedTo(key)
    if (moved !== undefined) return send(from, movedMessage(key, moved))
    if (lead === undefined) return send(from, this.hint(key) ?? { kind: 'disowned', key })
    if (lead.register.isInForce && !lead.record.keepers.includes(from))
      return send(from, movedMessage(key, listOf(lead.record)))
    return send(from, leadingMessage(lead))
  }

  /** Where to turn instead; nothing if this node does not know better itself. */
  hint(key: ShardKey): TaskMessage | undefined {
    const moved = this.#keeper.movedTo(key)
    // Somebody of that list knows the ballot; the first of them is as good as any.
    if (moved !== undefined) return { kind: 'leading', key, ...moved, ballot: moved.seats[0] ?? 0 }
    const seen = this.#succession.seen(key)
    const isElsewhere = seen !== undefined && this.#succession.owner(key) !== undefined
    return isElsewhere ? { kind: 'leading', key, ...seen } : undefined
  }

  /** The best that this node can say to somebody who knows no keeper any more. */
  best(key: ShardKey): TaskMessage | undefined {
    const lead = this.#leads.get(key)
    if (lead !== undefined) return leadingMessage(lead)
    const hint = this.hint(key)
    if (hint !== undefined) return hint
    const record = this.#keeper.record(key)
    if (record === undefined) return undefined
    return { kind: 'leading', key, ...listOf(record), ballot: this.#succession.seen(key)?.ballot ?? 0 }
  }

  /** Those who turned here for lack of an owner; they are told once. */
  askers(key: ShardKey): Iterable<PeerId> {
    const askers = this.#askers.get(key) ?? []
    this.#askers.delete(key)
    return askers
  }

  /** To who speaks of tasks as if this node owned them. */
  elsewhere(from: PeerId, message: AboutTasks): Send[] {
    const { key, kind } = message
    if (this.#keeper.isForgotten(key) && kind === 'propose') return [send(from, this.#keeper.epitaph(key))]
    if (this.#keeper.isSettled(key) || this.#keeper.isForgotten(key)) {
      if (kind === 'holding') return [send(from, { kind: 'revoke', key, indexes: message.indexes })]
      // Whatever these outcomes are, others were committed before them.
      if (kind === 'outcomes') return [confirm(from, key, [...message.outcomes.indexes])]
      return kind === 'propose' ? this.settled(from, key, new Uint32Array(0)) : []
    }
    const hint = this.hint(key)
    if (hint !== undefined) return [send(from, hint)]
    if (this.#keeper.record(key) === undefined) return [send(from, { kind: 'disowned', key })]
    if (kind === 'holding' || kind === 'outcomes') this.#asked(key, from)
    return []
  }

  /** All outcomes of a settled shard that `to` has not got. */
  settled(to: PeerId, key: ShardKey, have: Uint32Array): Send[] {
    const has = new Set(have)
    const news = [...this.#keeper.outcomes(key)]
      .filter(([index]) => !has.has(index))
      .map(([, value]) => value)
    return told(to, key, news, true)
  }

  /** Of shards that somebody keeps: those that the job's register names count, those instead of which it names others do not. */
  #counted(from: PeerId, { root, keys }: TaskMessageOf<'count'>): Send[] {
    if (this.#keeper.isForgotten(root)) return [send(from, this.#keeper.epitaph(root))]
    const lead = this.#leads.get(root)
    const record = lead?.record ?? this.#keeper.record(root)
    const settled = this.#keeper.isSettled(root) ? this.#keeper.outcomes(root) : undefined
    const committed = lead?.register.committed ?? settled
    if (record === undefined || committed === undefined)
      return [send(from, this.hint(root) ?? { kind: 'disowned', key: root })]
    // In a split, two keepers may have committed different ones, and clients believe in both.
    if (record.keepers.length === 2 || record.before.length === 2) return []
    const counting = keys.filter((key) => isNamed({ record, committed }, key) === true)
    const others = keys.filter((key) => isNamed({ record, committed }, key) === false)
    const forgets = others.map((name) => send(from, { kind: 'forget', name }))
    return counting.length === 0
      ? forgets
      : [...forgets, send(from, { kind: 'counts', root, keys: counting })]
  }

  #asked(key: ShardKey, from: PeerId): void {
    if (this.#askers.size >= askedMax) this.#askers.delete([...this.#askers.keys()][0] as ShardKey)
    this.#askers.set(key, (this.#askers.get(key) ?? new Set()).add(from))
  }
}

export const leadingMessage = ({ key, record, register }: Lead): TaskMessage => ({
  kind: 'leading',
  key,
  ...listOf(record),
  ballot: register.ballot
})
