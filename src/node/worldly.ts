/**
 * What the membership asks of the world, in the words of the core.
 *
 * Not here: who comes and goes, which concerns the other machines of a node (core.ts).
 */
import type { MembershipEffect } from '../routing/effects.ts'
import type { Membership } from '../routing/membership.ts'
import type { CoreEffect } from './effects.ts'

type Arrival = Extract<MembershipEffect, { kind: 'peer-up' | 'peer-down' }>

export function worldly(
  effect: Exclude<MembershipEffect, Arrival>,
  { me }: Membership,
  delayMs: number
): CoreEffect {
  switch (effect.kind) {
    case 'greet': {
      const { to, others, knowsYou } = effect
      return { kind: 'send', to, message: { kind: 'hello', self: me, others, knowsYou } }
    }
    case 'heartbeat':
      return {
        kind: 'send',
        to: effect.to,
        message: { kind: 'heartbeat', boot: me.boot, waiting: 0, delayMs }
      }
    case 'say':
      return { ...effect, kind: 'send' }
    case 'announce':
      return { kind: 'publish', message: { ...effect, kind: 'members' } }
    case 'drop':
      return { ...effect, kind: 'drop-peer' }
    case 'dial':
      return effect
  }
}
