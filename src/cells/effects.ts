/**
 * What the machines of this folder know of their node, and what they ask of the world.
 *
 * Not here: how it is done (src/node), or simulated (test/sim).
 */
import type { CellKey, ClientId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { CellAnswer } from './client-messages.ts'
import type { CellMessage, CellRecord } from './messages.ts'

export interface CellSurroundings {
  readonly self: PeerId
  readonly boot: number
  readonly isUp: (peer: PeerId) => boolean
  /** Up, and with a disk that can be relied on. */
  readonly canVote: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  /** Nodes that can keep something, best first for this name. */
  readonly keepersFor: (name: string) => readonly PeerId[]
  /** As a keeper, for good. */
  readonly isGone: (peer: PeerId, now: Millis) => boolean
  /** Every node that this one has heard of and that may be a keeper, up or not, itself included. */
  readonly everybody: () => readonly PeerId[]
  /** From then on this node may be all there is, unless it has met others. */
  readonly aloneAt: Millis
  /** Its disk can be relied on. */
  readonly isSound: () => boolean
}

export interface CellSend {
  readonly kind: 'send'
  readonly to: PeerId
  readonly message: CellMessage
}

/** Takes the place of what was written under this key; `then` is what may be said only once it is on disk. */
export interface CellPersist {
  readonly kind: 'persist'
  readonly key: CellKey
  readonly messages: readonly CellRecord[]
  readonly replaces: true
  readonly then: readonly CellSend[]
}

export interface CellReply {
  readonly kind: 'reply'
  readonly client: ClientId
  readonly message: CellAnswer
}

export type CellEffect = CellSend | CellPersist | CellReply

export const say = (to: PeerId, message: CellMessage): CellSend => ({ kind: 'send', to, message })

export const write = (
  key: CellKey,
  messages: readonly CellRecord[],
  then: readonly CellSend[] = []
): CellPersist => ({ kind: 'persist', key, messages, replaces: true, then })
