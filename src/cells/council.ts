/**
 * Who should be in the council: pure functions of a list and of who is there.
 *
 * Not here: how the members agree on it (chair.ts).
 * One, three or five: an even number would need one vote more and bear no further loss.
 */
import type { PeerId } from '../ids.ts'
import { type Council, councilMax } from './messages.ts'

/** Cells, and bytes of them, that a council keeps; beyond them no new ones are made. */
export const cellsMax = 65_536
export const cellsBytesMax = 256 << 20

export const majority = (count: number): number => Math.floor(count / 2) + 1

/** The name by which members are drawn from those that can keep something. */
export const councilName = 'council'

const sizeFor = (nodes: number): number => {
  const size = Math.min(nodes, councilMax)
  return size % 2 === 0 ? Math.max(1, size - 1) : size
}

/** The members of a first list, out of those that can keep something, best first. */
export const firstMembers = (able: readonly PeerId[]): PeerId[] => able.slice(0, sizeFor(able.length))

/**
 * The members of the list after this one; `undefined` if it may stay as it is. Whoever is gone is replaced if there is
 * somebody for it; a list never gets shorter, unless nobody else could take what a member leaves behind.
 */
export function nextMembers(
  { members }: Council,
  able: readonly PeerId[],
  isGone: (peer: PeerId) => boolean
): PeerId[] | undefined {
  const staying = members.filter((peer) => !isGone(peer))
  const others = able.filter((peer) => !members.includes(peer) && !isGone(peer))
  const there = staying.length + others.length
  const size = Math.max(members.length, sizeFor(there))
  const next = [...staying, ...others].slice(0, size)
  const isBetter = next.some((peer) => !members.includes(peer))
  return isBetter && next.length === size ? next : undefined
}

/** In this order members are turned to for one cell, so that as a rule only one of them proposes. */
export function inOrder(members: readonly PeerId[], score: (peer: PeerId) => number): PeerId[] {
  return members.toSorted((a, b) => score(b) - score(a) || (a < b ? -1 : 1))
}

/** Of two lists, the one that counts. Meshes that never met may each have founded one: that of more nodes, by its name. */
export function isNewer(one: Council, other: Council | undefined): boolean {
  if (other === undefined) return true
  return one.mesh === other.mesh ? one.number > other.number : one.mesh < other.mesh
}
