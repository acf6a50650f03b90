/**
 * What waits for a stream to a member that has none, in a mesh too large to hold one with everybody.
 *
 * Not here: dialling (routing/membership.ts). Nothing depends on one message having arrived, so what waits too long, or is too
 * much, is dropped and said again by whom it matters to. Only grants are taken back at once: others may have the tasks.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import type { Membership } from '../routing/membership.ts'
import { routingKinds } from '../routing/messages.ts'
import type { Lead } from '../tasks/lead.ts'
import type { CoreEffect } from './effects.ts'

type Send = Extract<CoreEffect, { kind: 'send' }>

/** Messages for one member, and for all; further ones are dropped. */
export const waitingForOneMax = 1_024
export const waitingMax = 16_384
/** For a stream that was dialled. */
export const streamWithinMs = 5_000

export class Doorstep {
  readonly #membership: Pick<Membership, 'isLinked' | 'isUp' | 'used'>
  readonly #waiting = new Map<PeerId, { readonly sends: Send[]; readonly since: Millis }>()
  readonly #leads: ReadonlyMap<ShardKey, Lead>
  #count = 0

  /** `leads`: whose grants may wait here. */
  constructor(
    membership: Pick<Membership, 'isLinked' | 'isUp' | 'used'>,
    leads: ReadonlyMap<ShardKey, Lead>
  ) {
    this.#membership = membership
    this.#leads = leads
  }

  /** Appends to `leaving` what can be done now. Returns the members that must be dialled for the rest. */
  sort(effects: readonly CoreEffect[], leaving: CoreEffect[], now: Millis): ReadonlySet<PeerId> {
    const wanted = new Set<PeerId>()
    for (const effect of effects) {
      if (effect.kind !== 'send') leaving.push(effect)
      else if (this.#membership.isLinked(effect.to)) {
        if (!(effect.message.kind in routingKinds)) this.#membership.used(effect.to, now)
        leaving.push(effect)
      } else if (this.#membership.isUp(effect.to)) {
        if (!this.#add(effect, now)) this.#takeBack(effect)
        wanted.add(effect.to)
      } else this.#takeBack(effect)
    }
    return wanted
  }

  /** There is a stream: these messages wait no more. */
  take(to: PeerId): readonly Send[] {
    const sends = this.#waiting.get(to)?.sends ?? []
    this.#waiting.delete(to)
    this.#count -= sends.length
    return sends
  }

  /** There never will be a stream. */
  drop(to: PeerId): void {
    for (const send of this.take(to)) this.#takeBack(send)
  }

  /** Drops what waited too long. */
  wake(now: Millis): void {
    for (const [to, { since }] of this.#waiting) if (now - since > streamWithinMs) this.drop(to)
  }

  check(): void {
    const count = [...this.#waiting.values()].reduce((sum, { sends }) => sum + sends.length, 0)
    assert(
      count === this.#count && count <= waitingMax,
      `${count} messages wait, and ${this.#count} are counted`
    )
  }

  /** False if there is no room for it. */
  #add(send: Send, now: Millis): boolean {
    const waiting = this.#waiting.get(send.to) ?? { sends: [], since: now }
    if (this.#count >= waitingMax || waiting.sends.length >= waitingForOneMax) return false
    waiting.sends.push(send)
    this.#count++
    this.#waiting.set(send.to, waiting)
    return true
  }

  /** What was granted and never left this node cannot have begun, so it is as if it had not been granted: nobody is blamed. */
  #takeBack({ to, message }: Send): void {
    if (message.kind === 'grant')
      this.#leads.get(message.key)?.returned(to, message.inputs.indexes, 'unstarted', message.attempt)
  }
}
