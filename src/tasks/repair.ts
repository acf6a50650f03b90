/**
 * Which shards should get other keepers, which ones, and how many of them at a time.
 *
 * Not here: how a list of keepers changes (register.ts), and who is gone (routing/membership.ts).
 * A lab that goes home at six o'clock must not move all its data at once: changes are few at a time, so what is there keeps
 * working, and a list only ever loses a keeper to another one. It grows when it has fewer than it should.
 */
import { type PeerId, type ShardKey, shardName } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Send } from './effects.ts'
import { nextSeating, quorumOf, type Seating } from './keepers.ts'
import type { Lead } from './lead.ts'
import type { ShardRecord, TaskMessage } from './messages.ts'
import { Recipients } from './recipients.ts'
import type { Kept } from './whereabouts.ts'

/** Shards whose keepers one node changes at the same time; further ones wait. */
export const changesAtOnce = 16
/** A change that takes longer gives its place to another one, and goes on as it may. */
const changeMaxMs = 10_000
/** Between two looks at the changes that run. */
const lookEveryMs = 100
/** Between two looks whether anything is to be changed. */
const scanEveryMs = 1_000
/** Shards in one look; the rest has its turn soon after. */
const scanMax = 8_192
/** Until that turn. */
const scanOnMs = 50

export interface RepairView {
  readonly self: PeerId
  /** Leaving, or down for so long that it is replaced. */
  readonly isGone: (peer: PeerId, now: Millis) => boolean
  readonly isUp: (peer: PeerId) => boolean
  /** Up, and with a disk that can be relied on. */
  readonly canVote: (peer: PeerId) => boolean
  /** Nodes that can keep this shard, best first. */
  readonly keepersFor: (shard: string) => readonly PeerId[]
  /** Differs when somebody joined, went, or began to leave. */
  readonly situation: (now: Millis) => string
}

/** The keepers that the shard should have, of `isLast` only if there is no other; `undefined` if it has the best that there are. */
export function improve(
  record: ShardRecord,
  view: RepairView,
  now: Millis,
  isLast: (peer: PeerId) => boolean = () => false
): Seating | undefined {
  const { keepers, key } = record
  const { gone, missing } = lacks(record, view, now)
  if (missing === 0) return undefined
  const { job, index } = shardName(key)
  const others = view
    .keepersFor(`${job}/${index}`)
    .filter((peer) => !keepers.includes(peer) && !view.isGone(peer, now))
  if (others.length === 0) return undefined
  const left = [...others.filter((peer) => !isLast(peer)), ...others.filter(isLast)]
  const replaced = keepers.map((peer) => (gone.includes(peer) ? (left.shift() ?? peer) : peer))
  return nextSeating(record, [...replaced, ...left.slice(0, missing - gone.length)])
}

/** Keepers that are gone, and how many are missing, with these. */
function lacks({ keepers, copies }: Pick<ShardRecord, 'keepers' | 'copies'>, view: RepairView, now: Millis) {
  const gone = keepers.filter((peer) => view.isGone(peer, now))
  return { gone, missing: gone.length + Math.max(0, copies - keepers.length) }
}

/** What is to be changed, and what is being changed. */
export class Repairs {
  readonly #view: RepairView & { readonly keeper: Kept }
  readonly #leads: ReadonlyMap<ShardKey, Lead>
  #waiting: ShardKey[] = []
  /** Since when. */
  readonly #running = new Map<ShardKey, Millis>()
  readonly #recipients = new Recipients()
  #scanAt: Millis = 0
  #lookAt: Millis | undefined
  #situation = ''
  /** A look through all shards that has not ended: the rest of them, the situation when it began, and whether any is to be changed. */
  #walk: { readonly rest: Iterator<ShardKey>; readonly situation: string; isDue: boolean } | undefined

  constructor(view: RepairView & { readonly keeper: Kept }, leads: ReadonlyMap<ShardKey, Lead>) {
    this.#view = view
    this.#leads = leads
  }

  /** Shards whose keepers are being changed, and those that wait for it. */
  get changes(): { now: number; later: number } {
    return { now: this.#running.size, later: this.#waiting.length }
  }

  /** Whoever moves a shard owns it until it has, also if nobody else needs it to. */
  isChanging(key: ShardKey): boolean {
    return this.#running.has(key)
  }

  /**
   * Shards kept here that would be better kept by other nodes. One whose next list is decided, but not there yet, is one of
   * them: if this was its only keeper, nobody else has it. Counted up to `most`.
   */
  movable(now: Millis, most = Number.POSITIVE_INFINITY): number {
    let count = 0
    for (const key of this.#view.keeper.eachKey()) {
      if (this.#isUnderWay(key) || this.#needs(key, now)) count++
      if (count >= most) break
    }
    return count
  }

  /** Begins changes and sees them through. A shard that nobody needs to own any more is owned again for that, by `tryToOwn`. */
  wake(now: Millis, tryToOwn: (record: ShardRecord) => Send[]): Send[] {
    for (const [key, since] of this.#running)
      if (now - since > changeMaxMs || !this.#isAtWork(key, now)) this.#running.delete(key)
    if (now >= this.#scanAt && this.#waiting.length === 0) this.#scan(now)
    const effects: Send[] = []
    for (const key of this.#waiting.splice(0, Math.max(0, changesAtOnce - this.#running.size))) {
      const record = this.#view.keeper.record(key)
      if (record === undefined) continue
      this.#running.set(key, now)
      if (!this.#leads.has(key)) effects.push(...tryToOwn(record))
    }
    for (const key of this.#running.keys()) {
      const lead = this.#leads.get(key)
      if (lead?.register.phase === 'leading') effects.push(...this.#change(lead, now))
    }
    if (this.#running.size === 0) this.#recipients.clear()
    this.#lookAt = this.#running.size > 0 ? now + lookEveryMs : undefined
    return effects
  }

  /** It may be what a change waits for, which gives its place to the next one when it is done. */
  heard(from: PeerId, message: TaskMessage, now: Millis): void {
    const isStep = message.kind === 'accepted' || message.kind === 'promised'
    const isWaitedFor = this.#recipients.heard(from, now) || (isStep && this.#running.has(message.key))
    if (isWaitedFor) this.#lookAt = now
  }

  wakeAt(): Millis {
    // While shards wait for those that are being changed, nothing is looked for.
    if (this.#waiting.length > 0 && this.#lookAt !== undefined) return this.#lookAt
    return earlier(this.#scanAt, this.#lookAt) ?? this.#scanAt
  }

  /** Those who are to have the shard are asked first whether they answer. */
  #change({ key, record, register }: Lead, now: Millis): Send[] {
    const better = improve(record, this.#view, now, (peer) => this.#recipients.isSilent(peer, now))
    if (better === undefined) return []
    const fresh = better.keepers.filter((peer) => !record.keepers.includes(peer))
    const unsure = fresh.filter((peer) => !this.#recipients.answers(peer, now))
    if (unsure.length === 0) return register.changeTo(better, now)
    return unsure.flatMap((peer) => this.#recipients.ask(peer, key, now))
  }

  /** Looks through all shards, some at a time, but only if something happened since it found nothing to do. */
  #scan(now: Millis): void {
    const { keeper } = this.#view
    const situation = this.#view.situation(now)
    this.#scanAt = now + scanEveryMs
    if (this.#walk === undefined && situation === this.#situation) return
    this.#walk ??= { rest: keeper.eachKey(), situation, isDue: false }
    for (let looks = 0; looks < scanMax; looks++) {
      const { done, value: key } = this.#walk.rest.next()
      if (done) {
        if (!this.#walk.isDue) this.#situation = this.#walk.situation
        this.#walk = undefined
        return
      }
      if (!this.#isOurs(key, now) || this.#isHopeless(key) || !this.#needs(key, now)) continue
      this.#walk.isDue = true
      if (!this.#running.has(key)) this.#waiting.push(key)
    }
    this.#scanAt = now + scanOnMs
  }

  /** Owned here, or owned by nobody and this node is the first of its keepers that is there, and stays if one does. */
  #isOurs(key: ShardKey, now: Millis): boolean {
    const { keeper, isUp, isGone, self } = this.#view
    if (this.#leads.has(key)) return true
    if (!keeper.isSettled(key)) return false
    const there = keeper.brief(key)?.keepers.filter(isUp) ?? []
    return (there.find((peer) => !isGone(peer, now)) ?? there[0]) === self
  }

  #needs(key: ShardKey, now: Millis): boolean {
    const { keeper } = this.#view
    const led = this.#leads.get(key)?.record
    const brief = led ?? keeper.brief(key)
    // Most lack nothing, and need not be unpacked for that.
    if (brief === undefined || lacks(brief, this.#view, now).missing === 0) return false
    const record = led ?? keeper.record(key)
    return record !== undefined && improve(record, this.#view, now) !== undefined
  }

  /** Without a majority of its keepers nothing can be changed; it must not stand in the way of others. */
  #isHopeless(key: ShardKey): boolean {
    const keepers = this.#view.keeper.brief(key)?.keepers ?? []
    return keepers.filter(this.#view.isUp).length < quorumOf(keepers.length)
  }

  #isAtWork(key: ShardKey, now: Millis): boolean {
    const lead = this.#leads.get(key)
    return lead !== undefined && (lead.register.phase !== 'leading' || this.#needs(key, now))
  }

  #isUnderWay(key: ShardKey): boolean {
    const lead = this.#leads.get(key)
    return lead !== undefined && lead.register.phase !== 'leading'
  }
}
