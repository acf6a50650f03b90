/**
 * What the machines of this folder know of their node, and what they ask of the world.
 *
 * Not here: how it is done (src/node), or simulated (test/sim).
 */
import type { DataId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { DataMessage } from './messages.ts'

export interface DataSurroundings {
  readonly self: PeerId
  readonly isUp: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  /** Nodes that can keep this, best first: those that are up and willing, and `also`. */
  readonly keepersFor: (id: string, also?: readonly PeerId[]) => readonly PeerId[]
  /** Some that would keep are full. */
  readonly isAnyFull: () => boolean
  /** As a keeper, for good. */
  readonly isGone: (peer: PeerId, now: Millis) => boolean
  /** Changes when `keepersFor` or `isGone` may say something else. */
  readonly situation: (now: Millis) => string
}

export type DataEffect =
  | { readonly kind: 'send'; readonly to: PeerId; readonly message: DataMessage }
  /** To be brought here, from one of these or from whoever else has it. Answered by `data-here` or `data-failed`. */
  | { readonly kind: 'fetch-data'; readonly id: DataId; readonly at: readonly PeerId[] }
  | { readonly kind: 'drop-data'; readonly id: DataId }
  /** So many nodes have what was to be kept, which is a majority of those that shall. */
  | { readonly kind: 'data-kept'; readonly ask: number; readonly copies: number }
  /** No node has room for it. */
  | { readonly kind: 'data-refused'; readonly ask: number }

export const sendData = (to: PeerId, message: DataMessage): DataEffect => ({ kind: 'send', to, message })
