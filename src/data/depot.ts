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

/** The lease of a node that is up and does not renew it. */
export const leaseMs = 5 * renewEveryMs
/** The lease of a node that is down: its records may come back. */
export const absentLeaseMs = 7 * 86_400_000
/** What was found on the disk at the start stays for so long, whoever needs it. */
export const restoredPinMs = 86_400_000
/** What was fetched for use, and is not used any more. */
export const cacheMs = 600_000
/** Data whose pins were ended, and are not brought back by who was away. */
const unpinnedMax = 10_000
/** Data of jobs that are over, and is not brought back by who did not hear of it. */
const crossedMax = 10_000

export interface PinLeft {
  readonly pinMs: Millis
  readonly bridgeMs: Millis
}

export class Depot {
  readonly #view: DataSurroundings
  readonly #quota: number
  readonly #items = new Map<DataId, Item>()
  readonly #unpinned = new Set<DataId>()
  readonly #crossed = new Set<DataId>()
  #bytes = 0

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
      const item = this.#item(id, now)
      item.isKept = true
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
    if (over.length > 0) effects.push(sendData(from, { kind: 'unpin', ids: over }))
    if (crossed.length > 0) effects.push(sendData(from, { kind: 'crossed', ids: crossed }))
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
  crossed(ids: readonly DataId[], now: Millis): void {
    for (const id of ids) {
      const item = this.#items.get(id)
      if (item === undefined) continue
      cross(item, now)
      // What was only found here is not kept for a user of whom that one would know.
      const isFound = item.isCrossed && !item.isPinned && item.leases.size === 0
      if (isFound) item.pinnedUntil = Math.min(item.pinnedUntil, now + lingerMs)
    }
  }

  /** The sender found these on its disk: of those whose jobs are over, as is known here, it is told. */
  stray(from: PeerId, ids: readonly DataId[], now: Millis): DataEffect[] {
    const over = ids.filter((id) => this.#isOver(id, now))
    return over.length === 0 ? [] : [sendData(from, { kind: 'crossed', ids: over })]
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
      remember(this.#unpinned, id, unpinnedMax)
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
      item.isKept = true
      this.#arrived(item)
    }
  }

  /** It is on disk now. */
  arrived(id: DataId, now: Millis): DataEffect[] {
    const item = this.#item(id, now)
    item.usedAt = now
    this.#arrived(item)
    const told = [...item.askers].map((to) => sendData(to, { kind: 'held', ids: [id] }))
    item.askers.clear()
    return [...told, ...this.#makeRoom(now)]
  }

  /** Nobody who was asked has it; whoever wants it here says so again. */
  failed(id: DataId, now: Millis): void {
    const item = this.#items.get(id)
    if (item?.state !== 'coming') return
    item.state = 'absent'
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
    item.state = 'absent'
    this.#bytes -= item.bytes
    if (item.putters > 0 || this.#isNeeded(item, now)) return [this.#fetch(id, item, [])]
    this.#items.delete(id)
    return []
  }

  wake(now: Millis): DataEffect[] {
    const effects: DataEffect[] = []
    for (const [id, item] of this.#items) effects.push(...this.#expire(id, item, now))
    return [...effects, ...this.#makeRoom(now)]
  }

  /** What must stay takes all that this node may keep. */
  isFull(now: Millis, share: number): boolean {
    if (this.#bytes <= share * this.#quota) return false
    let needed = 0
    for (const { id } of this.kept(now)) needed += dataName(id).size
    return needed > share * this.#quota
  }

  check(): void {
    let bytes = 0
    for (const item of this.#items.values()) if (item.state === 'here') bytes += item.bytes
    assert(bytes === this.#bytes, `${this.#bytes} bytes of data, ${bytes} counted`)
  }

  #item(id: DataId, now: Millis): Item {
    const old = this.#items.get(id)
    if (old !== undefined) return old
    const item = newItem(dataName(id).size, now)
    this.#items.set(id, item)
    return item
  }

  #arrived(item: Item): void {
    if (item.state !== 'here') this.#bytes += item.bytes
    item.state = 'here'
    item.againMs = fetchAgainMs
  }

  #fetch(id: DataId, item: Item, at: readonly PeerId[]): DataEffect {
    item.state = 'coming'
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
    if (item.isCrossed) remember(this.#crossed, id, crossedMax)
    if (item.state !== 'here') return []
    this.#bytes -= item.bytes
    return [{ kind: 'drop-data', id }]
  }

  /** Of what is only here for use, what was not used for longest goes first. What is needed never goes. */
  #makeRoom(now: Millis): DataEffect[] {
    if (this.#bytes <= this.#quota) return []
    const effects: DataEffect[] = []
    const spare = [...this.#items].filter(
      ([, item]) => item.state === 'here' && item.putters === 0 && !this.#isNeeded(item, now)
    )
    for (const [id, item] of spare.sort(([, a], [, b]) => a.usedAt - b.usedAt)) {
      if (this.#bytes <= this.#quota) break
      effects.push(...this.#drop(id, item))
    }
    return effects
  }
}

function remember(ids: Set<DataId>, id: DataId, most: number): void {
  ids.add(id)
  if (ids.size > most) ids.delete(ids.values().next().value as DataId)
}
