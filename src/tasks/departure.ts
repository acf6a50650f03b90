/**
 * A node that leaves gives what it owns to the keepers that follow, with all that they should know, and stays for those
 * shards of which too few other keepers do.
 *
 * Not here: who then keeps the shards (repair.ts), and what runs there (runner.ts).
 * If the word of it is lost, the others take over as if this node had died, and only the count of attempts has a gap.
 */
import type { Ballot, PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'
import { quorumOf } from './keepers.ts'
import type { Lead } from './lead.ts'
import type { ShardRecord } from './messages.ts'
import type { RepairView } from './repair.ts'
import type { Succession } from './succession.ts'
import type { Kept } from './whereabouts.ts'

export class Departure {
  readonly #view: RepairView & { readonly keeper: Kept }
  readonly #leads: Map<ShardKey, Lead>
  readonly #succession: Succession
  #isBegun = false
  /** The shard that was found last, and those behind it: who looks again and again goes on there. */
  #needed: ShardKey | undefined
  #walk: Iterator<ShardKey>

  constructor(
    view: RepairView & { readonly keeper: Kept },
    leads: Map<ShardKey, Lead>,
    succession: Succession
  ) {
    this.#view = view
    this.#leads = leads
    this.#succession = succession
    this.#walk = this.#open()
  }

  get isBegun(): boolean {
    return this.#isBegun
  }

  begin(now: Millis): Send[] {
    this.#isBegun = true
    return this.wake(now)
  }

  /** True if this node need not own the shard, since it leaves and another keeper is there. */
  spares(record: ShardRecord, ballot: Ballot, now: Millis): boolean {
    if (!this.#isBegun || this.#heir(record, now) === undefined) return false
    this.#succession.follow(record, ballot, now)
    return true
  }

  /** Hands over what came after it had begun to leave, too. */
  wake(now: Millis): Send[] {
    if (!this.#isBegun) return []
    const effects: Send[] = []
    for (const [key, lead] of this.#leads) {
      const next = this.#heir(lead.record, now)
      const record = this.#view.keeper.record(key)
      if (next === undefined || record === undefined) continue
      const handover = lead.handover()
      if (handover !== undefined) effects.push(send(next, handover))
      this.#leads.delete(key)
      this.#succession.follow(record, lead.register.ballot, now)
    }
    return effects
  }

  /** Some work goes on only while this node is there to vote. */
  isNeeded(now: Millis): boolean {
    for (let turns = 0; turns < 2; ) {
      if (this.#needed !== undefined && this.#needs(this.#needed, now)) return true
      const { done, value } = this.#walk.next()
      this.#needed = done ? undefined : value
      if (!done) continue
      this.#walk = this.#open()
      turns++
    }
    return false
  }

  /** Shards of such work. Looks at all. */
  needed(now: Millis): number {
    return [...this.#open()].filter((key) => this.#needs(key, now)).length
  }

  /** What is not settled: while a keeper is away nothing is, however long it is over. */
  *#open(): Generator<ShardKey> {
    yield* this.#leads.keys()
    yield* this.#succession.keys()
  }

  /**
   * True if the keepers that stay are no majority without this one, and the one of them that owns the shard has yet to commit
   * some of it: what was committed before, too, or nobody could be told of that any more.
   */
  #needs(key: ShardKey, now: Millis): boolean {
    const { self, isGone, canVote, keeper } = this.#view
    const seen = this.#succession.seen(key)
    const { keepers = [], list = 0 } = seen ?? this.#leads.get(key)?.record ?? {}
    if (!keepers.includes(self) || !canVote(self)) return false
    const staying = keepers.filter((peer) => peer !== self && canVote(peer) && !isGone(peer, now))
    if (staying.length === 0 || staying.length >= quorumOf(keepers.length)) return false
    const owner = this.#succession.owner(key)
    if (seen === undefined || owner === undefined || !staying.includes(owner)) return true
    return !keeper.isWhole(key, list, seen.ballot)
  }

  /** The keeper that follows; `undefined` if none is there. */
  #heir({ keepers }: ShardRecord, now: Millis): PeerId | undefined {
    const { self, isUp, isGone } = this.#view
    return keepers.find((peer) => peer !== self && isUp(peer) && !isGone(peer, now))
  }
}
