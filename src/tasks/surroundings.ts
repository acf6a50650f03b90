/**
 * What a runner sees of its node.
 *
 * Not here: what it makes of it (runner.ts).
 */
import type { PeerId, ShardKey } from '../ids.ts'
import type { Traits } from '../routing/match.ts'
import type { Keeper } from './keeper.ts'

export interface RunnerView {
  readonly self: PeerId
  readonly slots: number
  /** What this node says of itself. */
  readonly me: () => Traits
  readonly isUp: (peer: PeerId) => boolean
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
  readonly keeper: Pick<Keeper, 'isForgotten' | 'epitaph'>
  /** Whom to ask: every node, or those that are known to have work. */
  readonly owners: () => readonly PeerId[]
}
