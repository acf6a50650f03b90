/**
 * What data lies on this node, for whom, and what may go.
 *
 * Not here: who asks others to hold what (guard.ts), files (node/datafiles.ts), bytes on their way (node/courier.ts).
 * A cloakroom: what is here has a ticket of somebody whose records name it (a lease, renewed now and then), or is to stay
 * until a certain time (a pin), or was fetched for use and goes when it is not used any more. Nothing is counted that could
 * be counted wrongly: who does not renew has no ticket, unless it is down.
 */
import { type DataId, dataName, type PeerId } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { type DataEffect, type DataSurroundings, sendData } from './effects.ts'
import {
  bridge,
  cross,
  fetchAgainMs,
  type Item,
  isGoing,
  lingerMs,
  newItem,
  pin,
  renewEveryMs,
  unnamed
} from './item.ts'
import type { DataMessageOf } from './messages.ts'
import { crossedMax, Remembered, unpinnedMax } from './remembered.ts'
import { Round } from './round.ts'

/** The lease of a node that is up and does not renew it. */
export const leaseMs = 5 * renewEveryMs
/** The lease of a node that is down: its records may come back. */
export const absentLeaseMs = 7 * 86_400_000
/** What was found on the disk at the start stays for so long, whoever needs it. */
export const restoredPinMs = 86_400_000
/** What was fetched for use, and is not used any more. */
export const cacheMs = 600_000
/** What is looked at each time, of which some may go. */
const looksMax = 2_000
/** A node that has no more than this part of its quota left, and had to refuse what does not fit there, counts as full. */
const shortShare = 1 / 10
/** All pieces are gone through again after a millisecond for so many of them. */
const countedPerMs = 50

export interface PinLeft {
  readonly pinMs: Millis
  readonly bridgeMs: Millis
}

export class Depot {
  readonly #view: DataSurroundings
  readonly #quota: number
  readonly #items = new Map<DataId, Item>()
  readonly #round = new Round(this.#items)
  readonly #unpinned = new Remembered(unpinnedMax)
  /** With who had put it. */
  readonly #crossed = new Remembered(crossedMax)
  #bytes = 0
  /** Of what is to stay, and is here or comes: never more than the quota by what is taken in. */
  #kept = 0
  /** For so much there was no room, since little was left. */
  #lacked = 0
  /** Here only for use. */
  readonly #fetched = new Set<DataId>()
  /** When all may be searched again for what need not be here. */
  #searchAt: Millis = 0

  constructor(view: DataSurroundings, quota: number) {
    this.#view = view
    this.#quota = quota
  }

  get size(): number {
    return this.#items.size
  }

  /** On this node's disk. */
  get bytes(): number {
    return this.#bytes
  }

  has(id: DataId): boolean {
    return this.#items.get(id)?.state === 'here'
  }

  /** Needed by somebody, as far as is known here. */
  isNeeded(id: DataId, now: Millis): boolean {
    const item = this.#items.get(id)
    return item !== undefined && this.#isNeeded(item, now)
  }

  /** All that is here and needed. */
  *kept(now: Millis): Generator<{ id: DataId; copies: number }> {
    for (const [id, item] of this.#items)
      if (item.state === 'here' && this.#isNeeded(item, now)) yield { id, copies: item.copies }
  }

  /** For how long it is to stay by a pin that somebody gave, and by a bridge; 0 if by none. */
  pinLeft(id: DataId, now: Millis): PinLeft {
    const item = this.#items.get(id)
    if (item === undefined) return { pinMs: 0, bridgeMs: 0 }
    const left = (until: Millis): Millis => Math.max(0, Math.floor(until - now))
    return { pinMs: item.isPinned ? left(item.pinnedUntil) : 0, bridgeMs: left(item.bridgedUntil) }
  }

  hold(from: PeerId, message: DataMessageOf<'hold'>, now: Millis): DataEffect[] {
    const { ids, isNamed, pinMs, bridgeMs, isNew, put, copies, at } = message
    const here: DataId[] = []
    const full: DataId[] = []
    const over: DataId[] = []
    const crossed: DataId[] = []
    const effects: DataEffect[] = []
    for (const id of ids) {
      if (isNew && pinMs > 0) this.#unpinned.delete(id)
      if (!isNamed && bridgeMs === 0 && this.#unpinned.has(id)) {
        over.push(id)
        continue
      }
      if (isNew || isNamed) this.#crossed.delete(id)
      else if (pinMs === 0 && this.#isOver(id, now)) {
        crossed.push(id)
        continue
      }
      if (!this.#hasRoom(id, isNamed)) {
        full.push(id)
        continue
      }
      const item = this.#item(id, now)
      this.#become(item, item.state, true)
      this.#fetched.delete(id)
      item.copies = Math.max(item.copies, copies)
      if (isNamed && !item.leases.has(from)) item.namedAt = now
      if (isNamed) item.leases.set(from, now)
      if (pinMs > 0 && !this.#unpinned.has(id)) pin(item, now + pinMs, isNew)
      // Who names it says so: what it said before comes late.
      const isPut = isNew && (isNamed || !item.leases.has(from))
      if (bridgeMs > 0) bridge(item, now, bridgeMs, isPut ? `${from} ${put}` : '')
      if (item.state === 'here') here.push(id)
      else {
        item.askers.add(from)
        const isNews = isNew || at.length > 0
        if (item.state === 'absent' && (isNews || now >= item.fetchAt))
          effects.push(this.#fetch(id, item, at))
      }
    }
    if (here.length > 0) effects.push(sendData(from, { kind: 'held', ids: here }))
    if (full.length > 0) effects.push(sendData(from, { kind: 'full', ids: full }))
    if (over.length > 0) effects.push(sendData(from, { kind: 'unpin', ids: over }))
    if (crossed.length > 0) effects.push(this.#crossing(from, crossed))
    return effects
  }

  /** `isOver`: as jobs are; else they may be submitted once more. */
  unhold(from: PeerId, ids: readonly DataId[], isOver: boolean, now: Millis): DataEffect[] {
    return ids.flatMap((id) => {
      const item = this.#items.get(id)
      if (item === undefined || !item.leases.delete(from)) return []
      unnamed(item, isOver, now)
      return this.#expire(id, item, now)
    })
  }

  /** Said by one where records of others were that named these. */
  crossed({ ids, puts }: Omit<DataMessageOf<'crossed'>, 'kind'>, now: Millis): void {
    for (const [at, id] of ids.entries()) {
      const item = this.#items.get(id)
      if (item === undefined) continue
      // Those records were for what was put here, though this node did not hear of them.
      if (item.putBy !== '' && item.putBy === puts[at]) item.namedAt = Math.max(item.namedAt, item.bridgedAt)
      cross(item, now)
      // What was only found here is not kept for a user of whom that one would know.
      const isFound = item.isCrossed && !item.isPinned && item.leases.size === 0
      if (isFound) item.pinnedUntil = Math.min(item.pinnedUntil, now + lingerMs)
    }
  }

  /** The sender found these on its disk: of those whose jobs are over, as is known here, it is told. */
  stray(from: PeerId, ids: readonly DataId[], now: Millis): DataEffect[] {
    const over = ids.filter((id) => this.#isOver(id, now))
    return over.length === 0 ? [] : [this.#crossing(from, over)]
  }

  /** What was found on the disk, and is here for nobody who is known. */
  *found(now: Millis): Generator<DataId> {
    for (const [id, item] of this.#items)
      if (item.pinnedUntil > now && !item.isPinned && item.leases.size === 0 && !isGoing(item, now)) yield id
  }

  /** It stays here for a moment only. */
  isGoing(id: DataId, now: Millis): boolean {
    const item = this.#items.get(id)
    return item !== undefined && isGoing(item, now)
  }

  unpin(ids: readonly DataId[], now: Millis): DataEffect[] {
    return ids.flatMap((id) => {
      this.#unpinned.add(id)
      const item = this.#items.get(id)
      return item === undefined ? [] : this.#unpinItem(id, item, now)
    })
  }

  /** This node need not keep it any more, because others do. */
  unpinHere(id: DataId, now: Millis): DataEffect[] {
    const item = this.#items.get(id)
    if (item === undefined) return []
    item.bridgedUntil = 0
    return this.#unpinItem(id, item, now)
  }

  /** One more who puts it here, which comes now. Until `settled` it stays, however little room there is. */
  putting(id: DataId, now: Millis): void {
    this.#item(id, now).putters++
  }

  /** So many of those wait no longer. */
  settled(id: DataId, putters: number): void {
    const item = this.#items.get(id)
    if (item !== undefined) item.putters -= putters
  }

  /** On disk at the start. */
  restored(ids: readonly DataId[], now: Millis): void {
    for (const id of ids) {
      const item = this.#item(id, now)
      item.pinnedUntil = now + restoredPinMs
      this.#fetched.delete(id)
      this.#arrived(item, true)
    }
  }

  /** It is on disk now. */
  arrived(id: DataId, now: Millis): DataEffect[] {
    const item = this.#item(id, now)
    item.usedAt = now
    this.#arrived(item, item.isKept)
    if (!item.isKept) this.#fetched.add(id)
    const told = [...item.askers].map((to) => sendData(to, { kind: 'held', ids: [id] }))
    item.askers.clear()
    return [...told, ...this.#makeRoom(now)]
  }

  /** Nobody who was asked has it; whoever wants it here says so again. */
  failed(id: DataId, now: Millis): void {
    const item = this.#items.get(id)
    if (item?.state !== 'coming') return
    this.#become(item, 'absent')
    item.fetchAt = now + item.againMs
    item.againMs = Math.min(renewEveryMs, 2 * item.againMs)
  }

  used(id: DataId, now: Millis): void {
    const item = this.#items.get(id)
    if (item !== undefined) item.usedAt = now
  }

  /** It is not on the disk any more, or not as it was: what is needed is fetched again. */
  lost(id: DataId, now: Millis): DataEffect[] {
    const item = this.#items.get(id)
    if (item?.state !== 'here') return []
    this.#become(item, 'absent')
    if (item.putters > 0 || this.#isNeeded(item, now)) return [this.#fetch(id, item, [])]
    this.#items.delete(id)
    this.#fetched.delete(id)
    return []
  }

  wake(now: Millis): DataEffect[] {
    const effects: DataEffect[] = []
    for (const [id, item] of this.#round.next(looksMax)) effects.push(...this.#expire(id, item, now))
    return [...effects, ...this.#makeRoom(now)]
  }

  /** What must stay takes all that this node may keep, or so much that something small had to be refused. */
  isFull(share: number): boolean {
    if (this.#kept < (1 - shortShare) * this.#quota) this.#lacked = 0
    return this.#kept + this.#lacked >= share * this.#quota
  }

  check(): void {
    let bytes = 0
    let kept = 0
    for (const [id, item] of this.#items) {
      if (item.isKept && item.state !== 'absent') kept += item.bytes
      if (item.state !== 'here') continue
      bytes += item.bytes
      assert(
        this.#fetched.has(id) !== item.isKept,
        `${id} is here ${item.isKept ? 'for somebody' : 'for use'}`
      )
    }
    for (const id of this.#fetched) assert(this.#items.has(id), `${id} went`)
    assert(bytes === this.#bytes, `${this.#bytes} bytes of data, ${bytes} counted`)
    assert(kept === this.#kept, `${this.#kept} bytes of data to keep, ${kept} counted`)
  }

  #item(id: DataId, now: Millis): Item {
    const old = this.#items.get(id)
    if (old !== undefined) return old
    const item = newItem(dataName(id).size, now)
    this.#items.set(id, item)
    return item
  }

  /** So much may be taken in. What is here, and named by records, stays in any case: it may be the last copy. */
  #hasRoom(id: DataId, isNamed: boolean): boolean {
    const item = this.#items.get(id)
    if (item?.state === 'here' ? item.isKept || isNamed : item?.state === 'coming' && item.isKept) return true
    const { size } = dataName(id)
    if (this.#kept + size <= this.#quota) return true
    this.#lacked = Math.min(size, shortShare * this.#quota)
    return false
  }

  #arrived(item: Item, isKept: boolean): void {
    this.#become(item, 'here', isKept)
    item.againMs = fetchAgainMs
  }

  #become(item: Item, state: Item['state'], isKept = item.isKept): void {
    this.#count(item, -1)
    item.state = state
    item.isKept = isKept
    this.#count(item, 1)
  }

  #count({ state, isKept, bytes }: Item, sign: 1 | -1): void {
    if (state === 'here') this.#bytes += sign * bytes
    if (isKept && state !== 'absent') this.#kept += sign * bytes
  }

  #fetch(id: DataId, item: Item, at: readonly PeerId[]): DataEffect {
    this.#become(item, 'coming')
    return { kind: 'fetch-data', id, at }
  }

  #isNeeded(item: Item, now: Millis): boolean {
    for (const [peer, at] of item.leases) {
      if (now - at < (this.#view.isUp(peer) ? leaseMs : absentLeaseMs)) return true
      item.leases.delete(peer)
      unnamed(item, false, now)
    }
    return item.pinnedUntil > now || item.bridgedUntil > now
  }

  /** Jobs that it was put for came and went, and nobody else needs it. */
  #isOver(id: DataId, now: Millis): boolean {
    const item = this.#items.get(id)
    if (item === undefined) return this.#crossed.has(id)
    return (item.isCrossed || this.#crossed.has(id)) && item.leases.size === 0 && item.pinnedUntil <= now
  }

  #crossing(to: PeerId, ids: DataId[]): DataEffect {
    const puts = ids.map((id) => this.#items.get(id)?.crossedPut ?? this.#crossed.get(id) ?? '')
    return sendData(to, { kind: 'crossed', ids, puts })
  }

  #unpinItem(id: DataId, item: Item, now: Millis): DataEffect[] {
    item.pinnedUntil = 0
    item.isPinned = false
    return this.#expire(id, item, now)
  }

  #expire(id: DataId, item: Item, now: Millis): DataEffect[] {
    if (item.putters > 0 || this.#isNeeded(item, now)) return []
    if (item.state === 'here' && !item.isKept && now - item.usedAt < cacheMs) return []
    return this.#drop(id, item)
  }

  #drop(id: DataId, item: Item): DataEffect[] {
    this.#items.delete(id)
    this.#fetched.delete(id)
    this.#count(item, -1)
    if (item.isCrossed) this.#crossed.add(id, item.crossedPut)
    if (item.state !== 'here') return []
    return [{ kind: 'drop-data', id }]
  }

  /** Of what is only here for use, what was not used for longest goes first. What is needed never goes. */
  #makeRoom(now: Millis): DataEffect[] {
    if (this.#bytes <= this.#quota) return []
    // What is over is gone through all the time (`wake`); what was fetched is known, and is most of what can go.
    if (now < this.#searchAt) return this.#evict(this.#fetched, now)
    this.#searchAt = now + this.#items.size / countedPerMs
    return this.#evict(this.#items.keys(), now)
  }

  #evict(ids: Iterable<DataId>, now: Millis): DataEffect[] {
    const spare: [DataId, Item][] = []
    for (const id of ids) {
      const item = this.#items.get(id)
      if (item?.state === 'here' && item.putters === 0 && !this.#isNeeded(item, now)) spare.push([id, item])
    }
    const effects: DataEffect[] = []
    for (const [id, item] of spare.sort(([, a], [, b]) => a.usedAt - b.usedAt)) {
      if (this.#bytes <= this.#quota) break
      effects.push(...this.#drop(id, item))
    }
    return effects
  }
}
