/**
 * Whom a node of a large mesh asks for work.
 *
 * Not here: what comes of it in whole meshes, which is the simulator's.
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { Board } from '../../src/routing/board.ts'
import { usualReach } from '../../src/routing/links.ts'

const [stingy, other] = ['stingy', 'other'] as [PeerId, PeerId]

/** Asks one owner at a time; both always say that much waits with them. Returns who was asked, review by review. */
function askedBy(gives: (owner: PeerId) => boolean): PeerId[] {
  const view = {
    peers: () => [stingy, other],
    peerCount: () => 2,
    neighbours: () => [stingy, other],
    isUp: () => true
  }
  const board = new Board(view, { ...usualReach, askAllMax: 0, askMax: 1 }, seededRandom(1))
  return Array.from({ length: 20 }, (_, turn) => {
    const now = turn * 1_000
    for (const owner of [stingy, other]) board.note(owner, 1_000, now)
    const [asked] = board.whomToAsk(now) as [PeerId]
    if (gives(asked)) board.gave(asked)
    return asked
  })
}

test('an owner with work that is for others does not keep a node from asking the next one', () => {
  const asked = askedBy(() => false)
  expect(asked.filter((owner) => owner === other)).toHaveLength(10)
})

test('who gives work is asked again', () => {
  const asked = askedBy((owner) => owner === other)
  expect(asked.slice(1)).toEqual(new Array(19).fill(other))
})
