/**
 * Who gets how many of the tasks that wait.
 *
 * Not here: who may run them (match.ts), which tasks (tasks/round.ts) and how much a node asks for (tasks/runner.ts).
 * Late binding: only nodes that asked are considered, so a slow node gets less by asking less.
 * Guided self-scheduling (Polychronopoulos and Kuck, 1987): each grant is a fixed part of what remains, large while much
 * waits and single at the end, so that all finish together.
 */
import type { PeerId } from '../ids.ts'

/** Tasks in one grant at most: what one message may carry away if its receiver is lost. */
export const grantTasksMax = 256

export interface Claim {
  readonly peer: PeerId
  /** Tasks that the peer still asks for. */
  readonly credit: number
}

/**
 * The next grant, or `undefined` if nothing waits or nobody asks. To a node that `prefers` says is near to what the tasks
 * need, if there is one; then the own node (no hop), then who asks for most.
 */
export function nextGrant(
  waiting: number,
  claims: Iterable<Claim>,
  self: PeerId,
  prefers: (peer: PeerId) => boolean = () => false
): { peer: PeerId; tasks: number } | undefined {
  if (waiting === 0) return undefined
  let best: Claim | undefined
  let bestRank = 0
  let claimers = 0
  for (const claim of claims) {
    if (claim.credit <= 0) continue
    claimers++
    const rank = (prefers(claim.peer) ? 2 : 0) + (claim.peer === self ? 1 : 0)
    const isBetter =
      best === undefined || rank > bestRank || (rank === bestRank && claim.credit > best.credit)
    if (!isBetter) continue
    best = claim
    bestRank = rank
  }
  if (best === undefined) return undefined
  const part = Math.ceil(waiting / (2 * claimers))
  return { peer: best.peer, tasks: Math.min(best.credit, part, grantTasksMax) }
}
