/**
 * Two keepers compare what is settled at both, and speak of nothing but the differences.
 *
 * Not here: shards that are not settled, whose owner sees to them (owner.ts).
 * Each group of shards has one number, the sum of the fingerprints of its shards; groups whose numbers differ are listed, so
 * the cost grows with the difference and not with the history. Like a hash tree (Merkle, 1987) of two levels. The sums are kept
 * up, since a node that adds up a million shards now and then is deaf meanwhile.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { hash32, type Random } from '../random.ts'
import { type Send, send } from './effects.ts'
import type { Keeper } from './keeper.ts'
import { digestBuckets, holdingsMax, type TaskMessage, type TaskMessageOf } from './messages.ts'

/** Between two comparisons with some peer. */
const compareEveryMs = 30_000

export interface ReconcileView {
  readonly self: PeerId
  readonly peers: () => readonly PeerId[]
  readonly keeper: Pick<
    Keeper,
    'takeNews' | 'size' | 'brief' | 'print' | 'isSettled' | 'isForgotten' | 'epitaph' | 'movedTo'
  >
}

const bucketOf = (key: ShardKey): number => hash32(key) % digestBuckets

/** A settled shard, as it is counted. */
interface Counted {
  readonly print: number
  readonly keepers: readonly PeerId[]
}

/** Of what is shared with one peer: a number for each group, and how many shards there are. */
interface Sums {
  readonly numbers: Uint32Array
  shards: number
}

export class Reconcile {
  readonly #view: ReconcileView
  readonly #random: Random
  /** Of each group. */
  readonly #counted: readonly Map<ShardKey, Counted>[] = Array.from(
    { length: digestBuckets },
    () => new Map()
  )
  readonly #sums = new Map<PeerId, Sums>()
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
    this.#count()
    return this.#sums.has(peer) ? [this.#digest(peer)] : []
  }

  wake(now: Millis): Send[] {
    if (now < this.#compareAt) return []
    this.#compareAt = now + compareEveryMs
    this.#count()
    const others = this.#view.peers().filter((peer) => this.#sums.has(peer))
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
    return send(to, { kind: 'digest', buckets: new Uint8Array(this.#numbers(to).slice().buffer) })
  }

  /** Lists what is here of the groups that differ. */
  #compare(from: PeerId, theirs: Uint8Array): Send[] {
    if (theirs.byteLength !== 4 * digestBuckets) return []
    const numbers = new Uint32Array(theirs.slice().buffer)
    this.#count()
    const own = this.#numbers(from)
    const differ = [...own.keys()].filter((bucket) => own[bucket] !== numbers[bucket])
    return differ.length === 0 ? [] : [this.#list(from, differ, false)]
  }

  #holdings(from: PeerId, { buckets, keys, prints, isAnswer }: TaskMessageOf<'holdings'>): Send[] {
    const { keeper } = this.#view
    const effects: Send[] = []
    for (const [at, key] of keys.entries()) {
      if (keeper.isForgotten(key)) effects.push(send(from, keeper.epitaph(key)))
      else if (keeper.brief(key) === undefined && keeper.movedTo(key) === undefined)
        effects.push(send(from, { kind: 'disowned', key }))
      else if (!keeper.isSettled(key) || keeper.print(key) !== prints[at])
        effects.push(send(from, { kind: 'inquire', key }))
    }
    // What the other side lacks, it finds in the same way.
    if (!isAnswer) effects.push(this.#list(from, [...buckets], true))
    return effects
  }

  #list(to: PeerId, buckets: readonly number[], isAnswer: boolean): Send {
    this.#count()
    const found: [ShardKey, number][] = []
    for (const bucket of buckets)
      for (const [key, { print, keepers }] of this.#counted[bucket] ?? [])
        if (keepers.includes(to)) found.push([key, print])
    const listed = found.slice(0, holdingsMax)
    const keys = listed.map(([key]) => key)
    const prints = Uint32Array.from(listed, ([, print]) => print)
    const message = { kind: 'holdings', buckets: Uint32Array.from(buckets), keys, prints, isAnswer } as const
    return send(to, message)
  }

  #numbers(peer: PeerId): Uint32Array {
    return this.#sums.get(peer)?.numbers ?? new Uint32Array(digestBuckets)
  }

  /** Brings the sums up to date with what has changed. */
  #count(): void {
    const { keeper } = this.#view
    for (const key of keeper.takeNews()) {
      const bucket = bucketOf(key)
      const group = this.#counted[bucket] as Map<ShardKey, Counted>
      const before = group.get(key)
      if (before !== undefined) this.#add(bucket, before, -1)
      const brief = keeper.isSettled(key) ? keeper.brief(key) : undefined
      if (brief === undefined) group.delete(key)
      else {
        const now = { print: keeper.print(key), keepers: brief.keepers }
        group.set(key, now)
        this.#add(bucket, now, 1)
      }
    }
  }

  #add(bucket: number, { print, keepers }: Counted, sign: 1 | -1): void {
    for (const peer of keepers) {
      const sums = this.#sums.get(peer) ?? { numbers: new Uint32Array(digestBuckets), shards: 0 }
      sums.numbers[bucket] = (sums.numbers[bucket] as number) + sign * print
      sums.shards += sign
      if (sums.shards === 0) this.#sums.delete(peer)
      else this.#sums.set(peer, sums)
    }
  }

  #turn(peer: PeerId): number {
    return this.#turns.get(peer) ?? 0
  }
}
