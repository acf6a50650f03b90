/**
 * Dispatches the shards that this node owns: takes claims, makes grants, collects outcomes, and takes over.
 *
 * Not here: one shard's tasks (lead.ts) and ballots (register.ts), and what a claim is for (runner.ts).
 * Late binding: work stays here until somebody asks. A claim waits, so new work leaves at once.
 */
import { type Ballot, type PeerId, rankOf, type ShardKey } from '../ids.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'
import { type Claim, nextGrant } from '../routing/match.ts'
import { type Send, send } from './effects.ts'
import { type Keeper, regroup } from './keeper.ts'
import { byUrgency, confirm, Lead } from './lead.ts'
import type { ShardRecord, TaskMessage, TaskMessageOf } from './messages.ts'
import { Register } from './register.ts'
import { Succession } from './succession.ts'

/** Between two looks at what was not answered. */
const tendEveryMs = 500
/** Shards that are complete wait so long for others: nothing depends on it, and a hundred of them share messages and a sync. */
const settleAfterMs = 50

/** `received` is what the peer says it has had from us, so grants on their way count against what it asks for. */
interface Standing {
  credit: number
  granted: number
  grantedAt: Millis
}

/** A grant that was not received by then is lost. */
const grantArrivesMs = 2_000

type Kept = Pick<Keeper, 'record' | 'promised' | 'isSettled' | 'outcomes' | 'keys'>

export interface OwnerView {
  readonly self: PeerId
  readonly keeper: Kept
  readonly isUp: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
}

export class Owner {
  readonly #view: OwnerView
  readonly #leads = new Map<ShardKey, Lead>()
  readonly #succession: Succession
  readonly #claims = new Map<PeerId, Standing>()
  /** Those who follow shards whose owner is not known, to be taken along. */
  readonly #orphans = new Map<ShardKey, Map<PeerId, Uint32Array>>()
  #tendAt: Millis = 0
  #settleAt: Millis | undefined
  #isDirty = false

  constructor(view: OwnerView, random: Random) {
    this.#view = view
    this.#succession = new Succession(view.self, random, view.isUp)
  }

  /** Tasks that wait here for somebody to ask. */
  waiting(now: Millis): number {
    let sum = 0
    for (const lead of this.#leads.values()) sum += lead.waiting(now)
    return sum
  }

  /** Tasks of owned shards that are not committed. */
  get unfinished(): number {
    let sum = 0
    for (const lead of this.#leads.values()) sum += lead.queue.unfinished
    return sum
  }

  get shards(): number {
    return this.#leads.size
  }

  /** True if somebody asks and would be granted at once. */
  get hasClaims(): boolean {
    for (const { credit } of this.#claims.values()) if (credit > 0) return true
    return false
  }

  /** True if `flush` may have something to grant. */
  get hasNews(): boolean {
    return this.#isDirty
  }

  /** A shard that this node keeps since now. */
  kept(from: PeerId, { record, isRepair }: TaskMessageOf<'store'>, now: Millis): void {
    this.#isDirty = true
    const { self } = this.#view
    // A repair may give back what an earlier life had owned, and proposed in: then it begins as after any restart.
    if (record.keepers[0] === self && !isRepair) {
      this.#leads.set(record.key, new Lead(Register.first(record, self, from === self), self))
    } else if (record.keepers.includes(this.#view.self)) this.#succession.follow(record, 0, now)
  }

  /** After a restart nothing is owned: what was proposed before is not known any more. */
  restored(now: Millis): void {
    const { keeper, self } = this.#view
    for (const key of keeper.keys()) {
      const record = keeper.record(key)
      if (record === undefined || keeper.isSettled(key) || !record.keepers.includes(self)) continue
      this.#succession.follow(record, keeper.promised(key), now)
    }
  }

  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    switch (message.kind) {
      case 'claim':
        return this.#claim(from, message, now)
      case 'stored':
        return from === this.#view.self ? (this.#leads.get(message.key)?.register.stored(now) ?? []) : []
      case 'promised':
        return this.#promised(from, message, now)
      case 'rejected':
        return this.#rejected(message.key, message.ballot, now)
      case 'accepted':
        return this.#accepted(from, message, now)
      case 'accept':
      case 'prepare':
      case 'leading':
        this.#succession.saw(message.key, message.ballot)
        return []
      case 'settle':
        return this.#settled(message.key)
      case 'disowned':
        this.#succession.disowned(message.key, from, now)
        return this.#storeAt(from, message.key)
      case 'inquire':
        return [this.#whoLeads(from, message.key)]
      case 'watch':
        return this.#watch(from, message)
      case 'propose':
      case 'outcomes':
      case 'cancel':
      case 'handback':
      case 'missing':
      case 'lost':
      case 'holding':
        return this.#dispatch(from, message, now)
      default:
        return []
    }
  }

  peerUp(peer: PeerId, now: Millis): Send[] {
    return [...this.#leads.values()].flatMap(({ register }) => register.again(now, this.#view.isUp, peer))
  }

  peerDown(peer: PeerId, now: Millis): Send[] {
    this.#claims.delete(peer)
    this.#succession.peerDown(now)
    this.#isDirty = true
    return [...this.#leads.values()].flatMap((lead) => {
      lead.watchers.delete(peer)
      return lead.queue.holds(peer) ? lead.lost(peer, undefined, now) : []
    })
  }

  /** Grants what waits to who asks. Called when everything that arrived together has been heard. */
  flush(now: Millis): Send[] {
    if (!this.#isDirty) return []
    this.#isDirty = false
    const line = [...this.#leads.values()].filter((lead) => lead.waiting(now) > 0)
    if (line.length === 0 || this.#claims.size === 0) return []
    line.sort(byUrgency)
    let waiting = line.reduce((sum, lead) => sum + lead.waiting(now), 0)
    const effects: Send[] = []
    const idle = new Set<PeerId>()
    for (let at = 0; at < line.length; ) {
      const next = nextGrant(waiting, this.#open(idle), this.#view.self)
      if (next === undefined) break
      const lead = line[at] as Lead
      const elsewhere = this.#claims.size > idle.size + 1
      const made = lead.grant(next.peer, next.tasks, elsewhere, now)
      if (made === undefined) {
        // What waits in this shard waits for another node than this one.
        if (lead.waiting(now) > 0 && elsewhere) idle.add(next.peer)
        else at++
        continue
      }
      const standing = this.#claims.get(next.peer) as Standing
      standing.credit -= made.tasks
      standing.granted += made.tasks
      standing.grantedAt = now
      waiting -= made.tasks
      effects.push(send(next.peer, { ...made.grant, waiting }))
      if (lead.waiting(now) === 0) at++
    }
    return effects
  }

  wake(now: Millis): Send[] {
    // What was taken over may be granted by now.
    this.#isDirty = true
    const { effects, tries } = this.#succession.wake(now)
    for (const { record, ballot } of tries) effects.push(...this.#tryToOwn(record, ballot, now))
    if (now >= Math.min(this.#tendAt, this.#settleAt ?? this.#tendAt)) {
      this.#settleAt = undefined
      for (const lead of this.#leads.values()) effects.push(...this.#settle(lead))
    }
    if (now < this.#tendAt) return effects
    this.#tendAt = now + tendEveryMs
    const { isUp } = this.#view
    for (const lead of this.#leads.values())
      effects.push(...lead.register.again(now, isUp), ...lead.probes(now, isUp))
    return effects
  }

  wakeAt(now: Millis): Millis | undefined {
    let at = earlier(this.#succession.wakeAt(), this.#settleAt)
    if (this.#leads.size > 0) at = earlier(at, this.#tendAt)
    for (const lead of this.#leads.values()) at = earlier(at, lead.opensAt(now))
    return at
  }

  check(): void {
    for (const [key, lead] of this.#leads) {
      lead.queue.check()
      assert(!this.#succession.has(key), `${key} is owned and followed`)
    }
    assert(
      this.#leads.size + this.#succession.size <= this.#view.keeper.keys().length,
      'owns more than it keeps'
    )
  }

  #open(idle: ReadonlySet<PeerId>): Claim[] {
    const open: Claim[] = []
    for (const [peer, { credit }] of this.#claims)
      if (credit > 0 && !idle.has(peer)) open.push({ peer, credit })
    return open
  }

  #claim(from: PeerId, { tasks, received }: TaskMessageOf<'claim'>, now: Millis): Send[] {
    const standing = this.#claims.get(from) ?? { credit: 0, granted: 0, grantedAt: now }
    // The two sides differ for good if one forgot, or a grant was lost with a stream: then the peer is right.
    const isLost = received < standing.granted && now - standing.grantedAt > grantArrivesMs
    if (received > standing.granted || isLost) standing.granted = received
    standing.credit = tasks - (standing.granted - received)
    this.#claims.set(from, standing)
    this.#isDirty = true
    return []
  }

  #promised(from: PeerId, message: TaskMessageOf<'promised'>, now: Millis): Send[] {
    const lead = this.#leads.get(message.key)
    if (lead === undefined) return []
    const effects = lead.register.promised(from, message, now)
    if (!lead.open(now)) return effects
    this.#isDirty = true
    const { ballot } = lead.register
    // Those who hold outcomes, run tasks or follow the shard learn at once where to turn.
    const news = this.#view.peers().map((to) => send(to, { kind: 'leading', key: message.key, ballot }))
    const self = send(this.#view.self, { kind: 'leading', key: message.key, ballot })
    for (const watcher of this.#orphans.get(message.key)?.keys() ?? []) lead.watchers.add(watcher)
    const orphans = [...(this.#orphans.get(message.key) ?? [])].flatMap(([to, have]) => lead.watch(to, have))
    this.#orphans.delete(message.key)
    return [...effects, self, ...news, ...orphans, ...this.#settle(lead)]
  }

  #rejected(key: ShardKey, ballot: Ballot, now: Millis): Send[] {
    const lead = this.#leads.get(key)
    if (lead === undefined || ballot <= lead.register.ballot) return []
    this.#leads.delete(key)
    this.#succession.follow(lead.record, ballot, now)
    return [...lead.watchers].map((to) => send(to, { kind: 'leading', key, ballot }))
  }

  #accepted(from: PeerId, message: TaskMessageOf<'accepted'>, now: Millis): Send[] {
    const lead = this.#leads.get(message.key)
    if (lead === undefined) return []
    const { committed, effects } = lead.register.accepted(from, message, now)
    if (committed !== undefined) effects.push(...lead.committed(committed))
    if (lead.isComplete) this.#settleAt = earlier(this.#settleAt, now + settleAfterMs)
    return effects
  }

  /** Once every keeper has everything, nobody needs to own the shard. */
  #settle(lead: Lead): Send[] {
    if (!lead.isComplete) return []
    const { key, keepers } = lead.record
    const { ballot } = lead.register
    return keepers.map((to) => send(to, { kind: 'settle', key, ballot }))
  }

  #settled(key: ShardKey): Send[] {
    if (!this.#view.keeper.isSettled(key)) return []
    this.#leads.delete(key)
    this.#succession.unfollow(key)
    const orphans = [...(this.#orphans.get(key) ?? [])]
    this.#orphans.delete(key)
    return orphans.flatMap(([to, have]) => this.#tellSettled(to, key, have))
  }

  #whoLeads(from: PeerId, key: ShardKey): Send {
    const lead = this.#leads.get(key)
    const { keeper } = this.#view
    if (keeper.isSettled(key)) return send(from, { kind: 'settle', key, ballot: keeper.promised(key) })
    if (lead === undefined) return send(from, this.#hint(key) ?? { kind: 'disowned', key })
    return send(from, { kind: 'leading', key, ballot: lead.register.ballot })
  }

  /** Where to turn instead; nothing if this node does not know better itself. */
  #hint(key: ShardKey): TaskMessage | undefined {
    const ballot = this.#succession.ballot(key)
    const isElsewhere = ballot !== undefined && this.#succession.owner(key) !== undefined
    return isElsewhere ? { kind: 'leading', key, ballot } : undefined
  }

  #watch(from: PeerId, { key, have }: TaskMessageOf<'watch'>): Send[] {
    const lead = this.#leads.get(key)
    if (lead !== undefined) return lead.watch(from, have)
    if (this.#view.keeper.isSettled(key)) return this.#tellSettled(from, key, have)
    if (this.#view.keeper.record(key) === undefined) return [send(from, { kind: 'disowned', key })]
    const hint = this.#hint(key)
    if (hint !== undefined) return [send(from, hint)]
    const waiting = this.#orphans.get(key) ?? new Map<PeerId, Uint32Array>()
    this.#orphans.set(key, waiting.set(from, have))
    return []
  }

  #tellSettled(to: PeerId, key: ShardKey, have: Uint32Array): Send[] {
    const has = new Set(have)
    const news = [...this.#view.keeper.outcomes(key)]
      .filter(([index]) => !has.has(index))
      .map(([, value]) => value)
    return regroup(news).map(({ outcomes }) => send(to, { kind: 'committed', key, outcomes, settled: true }))
  }

  #dispatch(
    from: PeerId,
    message: TaskMessageOf<'propose' | 'outcomes' | 'cancel' | 'handback' | 'missing' | 'lost' | 'holding'>,
    now: Millis
  ): Send[] {
    const { key } = message
    const lead = this.#leads.get(key)
    if (lead === undefined) return this.#elsewhere(from, message)
    this.#isDirty = true
    switch (message.kind) {
      case 'propose':
        return lead.propose(from, message.outcomes, now)
      case 'outcomes':
        return lead.outcomes(from, message.outcomes, now)
      case 'cancel':
        return lead.cancel(now)
      case 'lost':
        return lead.lost(from, message.indexes, now)
      case 'holding':
        lead.holding(from, message.indexes, message.attempt, now)
        return []
      case 'missing': {
        const count = lead.returned(from, message.indexes, 'missing')
        const standing = this.#claims.get(from)
        if (standing !== undefined) standing.granted = Math.max(0, standing.granted - count)
        return []
      }
      default:
        lead.returned(from, message.indexes, 'handed-back')
        return []
    }
  }

  #elsewhere(
    from: PeerId,
    message: TaskMessageOf<'propose' | 'outcomes' | 'cancel' | 'handback' | 'missing' | 'lost' | 'holding'>
  ): Send[] {
    const { key, kind } = message
    if (this.#view.keeper.isSettled(key)) {
      // Whatever these outcomes are, others were committed before them.
      if (kind === 'outcomes') return [confirm(from, key, [...message.outcomes.indexes])]
      return kind === 'propose' ? this.#tellSettled(from, key, new Uint32Array(0)) : []
    }
    const hint = this.#hint(key)
    if (hint !== undefined) return [send(from, hint)]
    return this.#view.keeper.record(key) === undefined ? [send(from, { kind: 'disowned', key })] : []
  }

  /** A keeper that never got the shard, or lost it with the unsynced end of its disk. */
  #storeAt(keeper: PeerId, key: ShardKey): Send[] {
    const lead = this.#leads.get(key)
    return lead?.record.keepers.includes(keeper)
      ? [send(keeper, { kind: 'store', record: lead.record, isRepair: true })]
      : []
  }

  #tryToOwn(record: ShardRecord, ballot: Ballot, now: Millis): Send[] {
    const { self, keeper } = this.#view
    this.#succession.unfollow(record.key)
    const register = Register.takeOver(record, self, Math.max(ballot, keeper.promised(record.key)))
    assert(rankOf(register.ballot) === record.keepers.indexOf(self), 'a ballot of another rank')
    this.#leads.set(record.key, new Lead(register, self))
    return register.begin(now)
  }
}
