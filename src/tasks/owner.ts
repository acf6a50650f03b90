/**
 * Owns shards: collects their outcomes, takes over those whose owner is lost, and gives them other keepers.
 *
 * Not here: one shard's tasks (lead.ts) and ballots (register.ts), and who is granted what (dealer.ts).
 * Late binding: work stays here until somebody asks. A claim waits, so new work leaves at once.
 */
import type { Ballot, PeerId, ShardKey } from '../ids.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import type { Traits } from '../routing/match.ts'
import { Dealer } from './dealer.ts'
import { Departure } from './departure.ts'
import { Dependencies, type DependenciesView, recalled } from './dependencies.ts'
import { passOn, type Send, send } from './effects.ts'
import { announcementOf, areRivals, type KeeperList, listOf } from './keepers.ts'
import { type Inheritance, Lead } from './lead.ts'
import type { Forgettable, ShardRecord, TaskMessage, TaskMessageOf } from './messages.ts'
import type { HoldersView } from './nearby.ts'
import { Orphans } from './orphans.ts'
import { Register } from './register.ts'
import { Repairs, type RepairView } from './repair.ts'
import { reported } from './reports.ts'
import { ShardMap } from './shard-map.ts'
import { Succession } from './succession.ts'
import { type AboutTasks, type Kept, leadingMessage, Whereabouts } from './whereabouts.ts'

/** Between two looks at what was not answered. */
const tendEveryMs = 500
/** Shards that are complete wait so long for others: nothing depends on it, and a hundred of them share messages and a sync. */
const settleAfterMs = 50

export interface OwnerView extends RepairView, DependenciesView, HoldersView {
  readonly keeper: Kept
  /** Peers that hear of everything at once: all, or in a large mesh some. */
  readonly neighbours: () => readonly PeerId[]
  /** What a node that is up says of itself. */
  readonly member: (peer: PeerId) => Traits | undefined
}

export class Owner {
  readonly #view: OwnerView
  readonly leads = new ShardMap<Lead>()
  readonly repairs: Repairs
  readonly #succession: Succession
  readonly dealer: Dealer
  readonly #whereabouts: Whereabouts
  readonly #orphans = new Orphans()
  readonly #dependencies: Dependencies
  #tendAt: Millis = 0
  #settleAt: Millis | undefined
  #isDirty = false
  readonly departure: Departure
  #isRetired = false

  constructor(view: OwnerView, random: Random) {
    this.#view = view
    this.#succession = new Succession(view.self, random, view.isUp)
    this.repairs = new Repairs(view, this.leads)
    this.departure = new Departure(view, this.leads, this.#succession)
    this.dealer = new Dealer(view)
    this.#dependencies = new Dependencies(view, this.leads)
    this.#whereabouts = new Whereabouts(view.keeper, this.leads, this.#succession, this.#orphans)
  }

  /** Tasks that wait here for somebody to ask. */
  waiting(now: Millis): number {
    return [...this.leads.values()].reduce((sum, lead) => sum + lead.waiting(now), 0)
  }

  /** Tasks of owned shards that are not committed. */
  get unfinished(): number {
    return [...this.leads.values()].reduce((sum, { queue }) => sum + queue.unfinished, 0)
  }

  /** True if `flush` may have something to grant. */
  get hasNews(): boolean {
    return this.#isDirty
  }

  /** Somebody turned out to have some data. */
  look(): void {
    this.#isDirty = true
  }

  /** A shard that this node keeps since now, or in a newer list than before. */
  kept(from: PeerId, { record, isRepair }: TaskMessageOf<'store'>, now: Millis): void {
    this.#isDirty = true
    const [{ self, keeper }, { key }] = [this.#view, record]
    // Who brings a shard to other keepers goes on owning it.
    if (this.leads.has(key)) return
    // A repair may give back what an earlier life had owned, and proposed in: then it begins as after any restart.
    if (record.keepers[0] === self && !isRepair) {
      const lead = new Lead(Register.first(record, self, from === self), this.dealer, now)
      this.leads.set(key, lead)
      this.#dependencies.begin(lead)
    } else this.#succession.follow(keeper.record(key) ?? record, this.#succession.seen(key)?.ballot ?? 0, now)
  }

  /** Gives what it owns to other keepers, now and whatever comes later. */
  leave(now: Millis): Send[] {
    return this.departure.begin(now)
  }

  /** Nothing can be promised here any more, so nothing is taken over. What is owned goes on by the votes of the others. */
  retire(): void {
    this.#isRetired = true
    for (const [key, { register }] of this.leads)
      if (register.phase === 'pledging' || register.phase === 'storing') this.leads.delete(key)
  }

  /** After a restart nothing is owned: what was proposed before is not known any more. */
  restored(now: Millis): void {
    this.#succession.restored(this.#view.keeper, now)
  }

  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    this.repairs.heard(from, message, now)
    switch (message.kind) {
      case 'claim':
        this.dealer.claim(from, message, now)
        this.#isDirty = true
        return []
      case 'stored':
        this.#isDirty = true
        return from === this.#view.self ? (this.leads.get(message.key)?.register.stored(now) ?? []) : []
      case 'promised':
        return this.#promised(from, message, now)
      case 'rejected':
        return this.#rejected(message.key, message.ballot, now)
      case 'accepted':
        return this.#accepted(from, message, now)
      case 'accept':
      case 'prepare':
        this.#succession.saw(message.key, message.list, message.ballot, now)
        return message.kind === 'accept' ? this.#outvoted(message, now) : []
      case 'leading':
        return [...this.#led(message, now), ...this.#dependencies.message(from, message, now)]
      case 'moved':
        return this.#moved(from, message, now)
      case 'forget':
        this.#isDirty = true
        return [...this.#forgotten(message.name), ...this.#dependencies.message(from, message, now)]
      case 'awaited':
        this.#isDirty = true
        return this.#dependencies.message(from, message, now)
      case 'handover':
        return this.#handedOver(message, now)
      case 'settle':
        return this.#settled(from, message, now)
      case 'disowned':
        this.#succession.disowned(message.key, from, now)
        return [...this.#storeAt(from, message.key, now), ...this.#dependencies.message(from, message, now)]
      case 'seek':
      case 'inquire':
      case 'count':
        return this.#whereabouts.asked(from, message)
      case 'say':
        return passOn(this.leads.get(message.key)?.audience.watchers ?? [], message)
      case 'watch':
      case 'await':
        return this.#whereabouts.watched(from, message)
      case 'propose':
      case 'outcomes':
      case 'cancel':
      case 'cancel-tasks':
      case 'handback':
      case 'missing':
      case 'holding':
      case 'begun':
        return this.#dispatch(from, message, now)
      default:
        return []
    }
  }

  peerUp(peer: PeerId, now: Millis): Send[] {
    this.#succession.peerUp(peer, now)
    return [...this.leads.values()].flatMap(({ register }) => register.again(now, this.#view.isUp, peer))
  }

  peerDown(peer: PeerId, now: Millis): Send[] {
    this.dealer.forget(peer)
    this.#succession.peerDown(now)
    this.#isDirty = true
    for (const { audience } of this.leads.values()) audience.gone(peer)
    const lost = [...this.leads.values()].flatMap((lead) => lead.lost(peer, now))
    return [...lost, ...this.#dependencies.peerDown(peer, now)]
  }

  /** Grants what waits to who asks. Called when everything that arrived together has been heard. */
  flush(now: Millis): Send[] {
    if (!this.#isDirty) return []
    this.#isDirty = false
    const marks = [...this.leads.values()].flatMap((lead) => [...lead.giveUp(now), ...lead.mark(now)])
    return [...this.#dependencies.flush(now), ...marks, ...this.dealer.grant(this.leads.values(), now)]
  }

  wake(now: Millis): Send[] {
    // What was taken over may be granted by now.
    this.#isDirty = true
    const { effects, tries } = this.#succession.wake(now)
    for (const { record, ballot } of tries) {
      if (!this.departure.spares(record, ballot, now)) effects.push(...this.#tryToOwn(record, ballot, now))
    }
    effects.push(...this.departure.wake(now))
    effects.push(...this.repairs.wake(now, (record) => this.#tryToOwn(record, 0, now)))
    for (const lead of this.leads.values()) effects.push(...lead.expire(now))
    if (now >= Math.min(this.#tendAt, this.#settleAt ?? this.#tendAt)) {
      this.#settleAt = undefined
      for (const lead of this.leads.values()) effects.push(...this.#settle(lead, now))
    }
    if (now < this.#tendAt) return effects
    this.#tendAt = now + tendEveryMs
    effects.push(...this.#dependencies.wake(now), ...this.#whereabouts.doubts(this.#view.self, now))
    for (const lead of this.leads.values()) {
      effects.push(...this.#watching(lead, () => lead.register.again(now, this.#view.canVote), now))
      effects.push(...lead.probes(now, this.#view.isUp), ...lead.giveUp(now))
    }
    return effects
  }

  wakeAt(now: Millis): Millis | undefined {
    let at = earlier(this.#succession.wakeAt(), this.#settleAt)
    if (this.#view.keeper.size > 0) at = earlier(at, this.repairs.wakeAt())
    if (this.leads.size > 0) at = earlier(at, this.#tendAt)
    for (const lead of this.leads.values()) at = earlier(earlier(at, lead.opensAt(now)), lead.expiresAt)
    return at
  }

  check(): void {
    for (const [key, lead] of this.leads) {
      lead.queue.check()
      if (this.#succession.has(key)) assert(false, `${key} is owned and followed`)
    }
    assert(this.leads.size + this.#succession.size <= this.#view.keeper.size, 'owns more than it keeps')
  }

  #promised(from: PeerId, message: TaskMessageOf<'promised'>, now: Millis): Send[] {
    const lead = this.leads.get(message.key)
    return lead === undefined ? [] : this.#watching(lead, () => lead.promised(from, message, now), now)
  }

  #accepted(from: PeerId, message: TaskMessageOf<'accepted'>, now: Millis): Send[] {
    const lead = this.leads.get(message.key)
    if (lead === undefined) return []
    return this.#watching(
      lead,
      () => {
        const { committed, effects } = lead.register.accepted(from, message, now)
        if (committed !== undefined) effects.push(...lead.committed(committed, now))
        // The mark of an attempt may be what tasks waited for.
        if (committed !== undefined && lead.waiting(now) > 0) this.#isDirty = true
        if (lead.isComplete) this.#settleAt = earlier(this.#settleAt, now + settleAfterMs)
        return effects
      },
      now
    )
  }

  /** An answer to a register may have made this node the owner, or brought the shard to other keepers. */
  #watching(lead: Lead, step: () => Send[], now: Millis): Send[] {
    const { register } = lead
    const wasInForce = register.isInForce
    const effects = step()
    if (lead.open(now)) effects.push(...this.#opened(lead, now))
    if (register.isInForce && !wasInForce && register.record.list > 0)
      effects.push(...announcementOf(lead.record))
    return effects
  }

  #opened(lead: Lead, now: Millis): Send[] {
    this.#isDirty = true
    this.#dependencies.begin(lead)
    // Those who hold outcomes, run tasks or follow the shard learn at once where to turn.
    const told = new Set([this.#view.self, ...this.#view.neighbours(), ...this.#whereabouts.askers(lead.key)])
    const news = [...told].map((to) => send(to, leadingMessage(lead)))
    const orphans = this.#orphans.take(lead.key).flatMap(([to, have]) => lead.audience.watch(to, have))
    return [...news, ...orphans, ...recalled(lead, now), ...this.#settle(lead, now)]
  }

  /** What this node keeps went on to another list, if it is not itself who brought it there. */
  #moved(from: PeerId, moved: TaskMessageOf<'moved'>, now: Millis): Send[] {
    if (this.#isOfRivals(moved)) return []
    const { key, list, keepers, seats } = moved
    const [record, lead] = [this.#view.keeper.record(key), this.leads.get(key)]
    const seen = this.#succession.seen(key)
    const isStale = lead !== undefined && (lead.record.list < list || !lead.register.isInForce)
    if (isStale || (lead !== undefined && record === undefined)) {
      this.leads.delete(key)
      if (record !== undefined) this.#succession.follow(record, lead.register.ballot, now)
    }
    if (record === undefined) this.#succession.unfollow(key)
    else if (seen !== undefined && seen.list < record.list) this.#succession.follow(record, seen.ballot, now)
    // Who knows no newer list than that does not own this one: it began to bring the shard here, and forgot.
    else if (list < record.list) this.#succession.disowned(key, from, now)
    // It never got the list that followed: who owned this one has nothing more to say, those of that list have.
    if (record !== undefined && record.list < list) {
      const others = keepers.filter((peer) => peer !== this.#view.self)
      const next = others.find(this.#view.isUp) ?? others[0]
      const ballot = seats[next === undefined ? 0 : keepers.indexOf(next)] ?? 0
      this.#succession.hinted(key, { list, keepers, seats, ballot }, now)
    }
    const at = this.#whereabouts.best(key)
    if (record !== undefined || at === undefined) return []
    const told = [...(lead?.audience.watchers ?? []), ...this.#orphans.take(key).map(([peer]) => peer)]
    return told.map((to) => send(to, at))
  }

  /** Said of another list than this node's own of the same number: each goes on by itself. */
  #isOfRivals(list: KeeperList & { readonly key: ShardKey }): boolean {
    const record = this.#view.keeper.record(list.key)
    return record !== undefined && areRivals(record, list)
  }

  #led(leading: TaskMessageOf<'leading'>, now: Millis): Send[] {
    if (this.#isOfRivals(leading)) return []
    this.#succession.hinted(leading.key, leading, now)
    return this.#outvoted(leading, now)
  }

  /** Another one owns this list by a higher ballot. No answer says so to who proposes nothing, or is none of its keepers. */
  #outvoted({ key, list, ballot }: TaskMessageOf<'leading' | 'accept'>, now: Millis): Send[] {
    return this.leads.get(key)?.record.list === list ? this.#rejected(key, ballot, now) : []
  }

  #rejected(key: ShardKey, ballot: Ballot, now: Millis): Send[] {
    const lead = this.leads.get(key)
    if (lead === undefined || ballot <= lead.register.ballot) return []
    this.leads.delete(key)
    const record = this.#view.keeper.record(key)
    if (record === undefined) return []
    this.#succession.follow(record, ballot, now)
    const news = { kind: 'leading', key, ...listOf(record), ballot } as const
    return [...lead.audience.watchers].map((to) => send(to, news))
  }

  /** Once every keeper has everything, nobody needs to own the shard. */
  #settle(lead: Lead, now: Millis): Send[] {
    const [{ key, list, keepers }, { ballot }] = [lead.record, lead.register]
    if (!lead.isComplete || this.repairs.isChanging(key)) return []
    // What its own keeper has promised to another cannot be settled by this one: not even when that one gave up.
    const promised = this.#view.keeper.promised(key)
    if (promised > ballot) return this.#rejected(key, promised, now)
    return keepers.map((to) => send(to, { kind: 'settle', key, list, ballot, by: ballot }))
  }

  #settled(from: PeerId, { key, list }: TaskMessageOf<'settle'>, now: Millis): Send[] {
    const [isOver, own] = [this.#view.keeper.isSettled(key), this.#view.keeper.record(key)?.list ?? 0]
    // As in `moved`, from one that has forgotten the newer list.
    if (!isOver || list < own) this.#succession.disowned(key, from, now)
    if (!isOver) return []
    this.leads.delete(key)
    this.#succession.unfollow(key)
    return this.#orphans.take(key).flatMap(([to, have]) => this.#whereabouts.settled(to, key, have))
  }

  /** Nothing of it is owned or followed any more, and what runs of it is ended. */
  #forgotten(name: Forgettable): Send[] {
    this.#succession.forget(name)
    return this.leads.covered(name).flatMap((key) => {
      const lead = this.leads.get(key)
      this.leads.delete(key)
      return lead?.revoke() ?? []
    })
  }

  #dispatch(from: PeerId, message: AboutTasks, now: Millis): Send[] {
    const lead = this.leads.get(message.key)
    if (lead === undefined) return this.#whereabouts.elsewhere(from, message)
    this.#isDirty = true
    return reported(lead, from, message, { dealer: this.dealer, isUp: this.#view.isUp, now })
  }

  /** A keeper that never got the shard, or lost it with the unsynced end of its disk. */
  #storeAt(keeper: PeerId, key: ShardKey, now: Millis): Send[] {
    const lead = this.leads.get(key)
    if (lead !== undefined) return lead.register.supply(keeper)
    const record = this.#view.keeper.record(key)
    const isLacking = record?.keepers.includes(keeper) === true && this.#view.keeper.isSettled(key)
    return record !== undefined && isLacking ? this.#tryToOwn(record, 0, now) : []
  }

  #handedOver({ key, ...told }: TaskMessageOf<'handover'>, now: Millis): Send[] {
    const record = this.#view.keeper.record(key)
    const isWanted = record !== undefined && !this.#view.keeper.isSettled(key) && !this.departure.isBegun
    return isWanted && !this.leads.has(key) ? this.#tryToOwn(record, told.ballot, now, told) : []
  }

  #tryToOwn(record: ShardRecord, ballot: Ballot, now: Millis, inherited?: Inheritance): Send[] {
    const [{ self, keeper }, { key }] = [this.#view, record]
    this.#succession.unfollow(key)
    if (this.#isRetired) return []
    const promised = Math.max(ballot, keeper.promised(key))
    const register = Register.takeOver(record, self, promised, keeper.inForce(key))
    this.leads.set(key, new Lead(register, this.dealer, now, inherited))
    return register.begin(now)
  }
}
