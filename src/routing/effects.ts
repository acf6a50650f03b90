/**
 * What the machines of this folder ask of the world.
 *
 * Not here: how it is done (src/node), or simulated (test/sim).
 */
import type { PeerId } from '../ids.ts'
import type { Doubt, Member, RoutingMessage } from './messages.ts'

export interface Greeting {
  readonly self: Member
  readonly others: readonly Member[]
  readonly knowsYou: boolean
}

/** The news that may come with any message. */
export interface News {
  readonly members: readonly Member[]
  readonly doubts: readonly Doubt[]
}

export type MembershipEffect =
  | { kind: 'greet'; to: PeerId; others: Member[]; knowsYou: boolean }
  | { kind: 'heartbeat'; to: PeerId }
  | { kind: 'say'; to: PeerId; message: RoutingMessage }
  | { kind: 'dial'; peer: PeerId; addresses: readonly string[] }
  | { kind: 'announce'; members: Member[]; doubts: Doubt[] }
  | { kind: 'peer-up'; peer: PeerId }
  | { kind: 'peer-down'; peer: PeerId }
  /** Idle: both ends agreed, and each will dial again when it has something to say. */
  | { kind: 'drop'; peer: PeerId; because: 'silent' | 'idle' }
