/**
 * Which nodes keep a shard.
 *
 * Not here: who is alive (membership), and storing (tasks/keeper.ts). The answer is written into the shard, so views may differ.
 * Rendezvous hashing (Thaler and Ravishankar, 1996): every node scores every pair of shard and peer alike, the best win,
 * those of a zone not yet taken first.
 */
import type { PeerId } from '../ids.ts'
import { hash32, type Random } from '../random.ts'

export interface Candidate {
  readonly peer: PeerId
  readonly zone: string
}

/** Best first. Deterministic in its arguments, whatever their order. O(n log n). */
export function rankKeepers(shard: string, candidates: readonly Candidate[]): PeerId[] {
  const scored = candidates.map(({ peer, zone }) => ({ peer, zone, score: hash32(`${shard}|${peer}`) }))
  scored.sort((a, b) => b.score - a.score || (a.peer < b.peer ? -1 : 1))
  const zones = new Set<string>()
  const firsts: PeerId[] = []
  const others: PeerId[] = []
  for (const { peer, zone } of scored) {
    if (zone !== '' && zones.has(zone)) others.push(peer)
    else firsts.push(peer)
    zones.add(zone)
  }
  return [...firsts, ...others]
}

/** Peers that are asked, of those that would keep a shard if it were placed now, and of all. */
export const seekMax = 8

/** Who may know where a shard is: who would keep it now, and others by chance, so that each is asked sooner or later. */
export function whoMayKnow(ranked: readonly PeerId[], peers: readonly PeerId[], random: Random): PeerId[] {
  const chosen = new Set(ranked.slice(0, seekMax))
  for (let i = 0; i < seekMax && peers.length > 0; i++) chosen.add(random.pick(peers) as PeerId)
  return [...chosen]
}

/** Copies that must be durable before work is acknowledged, and before an outcome is committed: a majority. */
export function majorityOf(keepers: number): number {
  return Math.floor(keepers / 2) + 1
}
