/**
 * Two keepers compare what is settled at both, and speak of nothing but the differences.
 *
 * Not here: shards that are not settled, whose owner sees to them (owner.ts).
 * Each group of shards has one number, the sum of the fingerprints of its shards; groups whose numbers differ are listed, so
 * the cost grows with the difference and not with the history. Like a hash tree (Merkle, 1987) of two levels.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { hash32, type Random } from '../random.ts'
import { OUTCOME_HEADER_BYTES, valueAt } from './batch.ts'
import { type Send, send } from './effects.ts'
import type { Keeper } from './keeper.ts'
import { digestBuckets, holdingsMax, type TaskMessage, type TaskMessageOf } from './messages.ts'

/** Between two comparisons with some peer. */
const compareEveryMs = 30_000
/** Fingerprints that are remembered; with more shards than that, some are counted again each time. */
const printsMax = 1_000_000

export interface ReconcileView {
  readonly self: PeerId
  readonly peers: () => readonly PeerId[]
  readonly keeper: Pick<
    Keeper,
    'keys' | 'size' | 'record' | 'isSettled' | 'outcomes' | 'isForgotten' | 'epitaph' | 'movedTo'
  >
}

const bucketOf = (key: ShardKey): number => hash32(key) % digestBuckets

export class Reconcile {
  readonly #view: ReconcileView
  readonly #random: Random
  /** Settled shards change only with their list, except in pairs that disagreed. */
  readonly #prints = new Map<ShardKey, { list: number; print: number }>()
  /** When each of the others had its turn, so that nobody waits longer than all of them take. */
  readonly #turns = new Map<PeerId, number>()
  #lastTurn = 0
  #compareAt: Millis

  constructor(view: ReconcileView, random: Random, now: Millis) {
    this.#view = view
    this.#random = random
    this.#compareAt = now + compareEveryMs
  }

  /** Nothing to one with whom nothing is shared; if it sees that otherwise, it says so. */
  peerUp(peer: PeerId): Send[] {
    this.#turns.set(peer, ++this.#lastTurn)
    for (const _ of this.#shared(peer)) return [this.#digest(peer)]
    return []
  }

  wake(now: Millis): Send[] {
    if (now < this.#compareAt) return []
    this.#compareAt = now + compareEveryMs
    const others = this.#partners()
    for (const peer of this.#turns.keys()) if (!others.includes(peer)) this.#turns.delete(peer)
    const longest = Math.min(...others.map((peer) => this.#turn(peer)))
    const peer = this.#random.pick(others.filter((one) => this.#turn(one) === longest))
    return peer === undefined ? [] : this.peerUp(peer)
  }

  wakeAt(): Millis | undefined {
    return this.#view.keeper.size > 0 ? this.#compareAt : undefined
  }

  message(from: PeerId, message: TaskMessage): Send[] {
    if (message.kind === 'digest') this.#turns.set(from, ++this.#lastTurn)
    if (message.kind === 'digest') return this.#compare(from, message.buckets)
    return message.kind === 'holdings' ? this.#holdings(from, message) : []
  }

  #digest(to: PeerId): Send {
    return send(to, { kind: 'digest', buckets: new Uint8Array(this.#sums(to).buffer) })
  }

  /** Lists what is here of the groups that differ. */
  #compare(from: PeerId, theirs: Uint8Array): Send[] {
    if (theirs.byteLength !== 4 * digestBuckets) return []
    const numbers = new Uint32Array(theirs.slice().buffer)
    const own = this.#sums(from)
    const differ = [...own.keys()].filter((bucket) => own[bucket] !== numbers[bucket])
    return differ.length === 0 ? [] : [this.#list(from, differ, false)]
  }

  #holdings(from: PeerId, { buckets, keys, prints, isAnswer }: TaskMessageOf<'holdings'>): Send[] {
    const { keeper } = this.#view
    const effects: Send[] = []
    for (const [at, key] of keys.entries()) {
      if (keeper.isForgotten(key)) effects.push(send(from, keeper.epitaph(key)))
      else if (keeper.record(key) === undefined && keeper.movedTo(key) === undefined)
        effects.push(send(from, { kind: 'disowned', key }))
      else if (!keeper.isSettled(key) || this.#print(key) !== prints[at])
        effects.push(send(from, { kind: 'inquire', key }))
    }
    // What the other side lacks, it finds in the same way.
    if (!isAnswer) effects.push(this.#list(from, [...buckets], true))
    return effects
  }

  #list(to: PeerId, buckets: readonly number[], isAnswer: boolean): Send {
    const wanted = new Set(buckets)
    const keys: ShardKey[] = []
    for (const key of this.#shared(to)) {
      if (keys.length >= holdingsMax) break
      if (wanted.has(bucketOf(key))) keys.push(key)
    }
    const prints = Uint32Array.from(keys, (key) => this.#print(key))
    const message = { kind: 'holdings', buckets: Uint32Array.from(buckets), keys, prints, isAnswer } as const
    return send(to, message)
  }

  #sums(peer: PeerId): Uint32Array {
    const numbers = new Uint32Array(digestBuckets)
    for (const key of this.#shared(peer)) {
      const bucket = bucketOf(key)
      numbers[bucket] = (numbers[bucket] as number) + this.#print(key)
    }
    return numbers
  }

  #turn(peer: PeerId): number {
    return this.#turns.get(peer) ?? 0
  }

  /** Those who are up and with whom something is shared. */
  #partners(): PeerId[] {
    const { keeper, peers } = this.#view
    const keepers = new Set<PeerId>()
    for (const key of keeper.keys())
      if (keeper.isSettled(key)) for (const peer of keeper.record(key)?.keepers ?? []) keepers.add(peer)
    return peers().filter((peer) => keepers.has(peer))
  }

  /** Settled shards that both keep. */
  *#shared(peer: PeerId): Generator<ShardKey> {
    const { keeper } = this.#view
    for (const key of keeper.keys())
      if (keeper.isSettled(key) && keeper.record(key)?.keepers.includes(peer)) yield key
  }

  /** Differs if the list or any outcome does. An outcome is told by its header, which holds when it ran, and its length. */
  #print(key: ShardKey): number {
    const { keeper } = this.#view
    const list = keeper.record(key)?.list ?? 0
    const known = this.#prints.get(key)
    if (known?.list === list) return known.print
    let print = hash32(`${key} ${list}`)
    for (const [index, { batch, at }] of keeper.outcomes(key)) {
      const value = valueAt(batch, at)
      const head = [...value.subarray(0, OUTCOME_HEADER_BYTES)].join()
      print = (print + hash32(`${index} ${value.byteLength} ${head}`)) >>> 0
    }
    if (this.#prints.size >= printsMax) this.#prints.clear()
    this.#prints.set(key, { list, print })
    return print
  }
}
