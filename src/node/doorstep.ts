/**
 * What waits for a stream to a member that has none, in a mesh too large to hold one with everybody.
 *
 * Not here: dialling (routing/membership.ts). Nothing depends on one message having arrived, so what waits too long, or is too
 * much, is dropped and said again by whom it matters to.
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

/** What was granted and never left this node cannot have begun, so it is as if it had not been granted: nobody is blamed. */
export function takeBack(unsent: readonly Send[], leads: ReadonlyMap<ShardKey, Lead>): void {
  for (const { to, message } of unsent)
    if (message.kind === 'grant')
      leads.get(message.key)?.returned(to, message.inputs.indexes, 'unstarted', message.attempt)
}

export class Doorstep {
  readonly #membership: Pick<Membership, 'isLinked' | 'isUp' | 'used'>
  readonly #waiting = new Map<PeerId, { readonly sends: Send[]; readonly since: Millis }>()
  #count = 0

  constructor(membership: Pick<Membership, 'isLinked' | 'isUp' | 'used'>) {
    this.#membership = membership
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
        this.#add(effect, now)
        wanted.add(effect.to)
      }
    }
    return wanted
  }

  /** There is a stream, or never will be: these messages wait no more. */
  take(to: PeerId): readonly Send[] {
    const sends = this.#waiting.get(to)?.sends ?? []
    this.#waiting.delete(to)
    this.#count -= sends.length
    return sends
  }

  /** These messages waited too long, and wait no more. */
  wake(now: Millis): readonly Send[] {
    const late = [...this.#waiting].filter(([, { since }]) => now - since > streamWithinMs)
    return late.flatMap(([to]) => this.take(to))
  }

  check(): void {
    const count = [...this.#waiting.values()].reduce((sum, { sends }) => sum + sends.length, 0)
    assert(
      count === this.#count && count <= waitingMax,
      `${count} messages wait, and ${this.#count} are counted`
    )
  }

  #add(send: Send, now: Millis): void {
    const waiting = this.#waiting.get(send.to) ?? { sends: [], since: now }
    if (this.#count >= waitingMax || waiting.sends.length >= waitingForOneMax) return
    waiting.sends.push(send)
    this.#count++
    this.#waiting.set(send.to, waiting)
  }
}
