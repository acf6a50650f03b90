/**
 * A node that leaves gives what it owns to the keepers that follow, with all that they should know.
 *
 * Not here: who then keeps the shards (repair.ts), and what runs there (runner.ts).
 * If the word of it is lost, the others take over as if this node had died, and only the count of attempts has a gap.
 */
import type { Ballot, PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'
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

  constructor(
    view: RepairView & { readonly keeper: Kept },
    leads: Map<ShardKey, Lead>,
    succession: Succession
  ) {
    this.#view = view
    this.#leads = leads
    this.#succession = succession
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

  /** The keeper that follows; `undefined` if none is there. */
  #heir({ keepers }: ShardRecord, now: Millis): PeerId | undefined {
    const { self, isUp, isGone } = this.#view
    return keepers.find((peer) => peer !== self && isUp(peer) && !isGone(peer, now))
  }
}
