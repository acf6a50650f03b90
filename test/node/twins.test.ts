/**
 * Who is let in of processes with one node id.
 *
 * Not here: real nodes on a copied data folder (test/integration/copies.test.ts).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { Twins } from '../../src/node/twins.ts'

const peer = 'peerA' as PeerId
const [first, second, third] = ['first', 'second', 'third'].map((instance, at) => ({ instance, since: at }))
const arrivals = (...lives: (typeof first | undefined)[]): { admitted: boolean[]; told: number } => {
  let told = 0
  const twins = new Twins(() => told++)
  const admitted = lives.map((life) => twins.admits(peer, life as NonNullable<typeof life>))
  return { admitted, told }
}

test('a node that is started again takes the place of the process before it, however often', () => {
  expect(arrivals(first, first, second, second, third)).toEqual({
    admitted: [true, true, true, true, true],
    told: 0
  })
})

test('a process that comes again after another one took its place shows that both run: the younger is turned away for good', () => {
  expect(arrivals(first, second, first, second, first, second)).toEqual({
    admitted: [true, true, true, false, true, false],
    told: 1
  })
  expect(arrivals(second, first, second, first, second)).toEqual({
    admitted: [true, true, false, true, false],
    told: 1
  })
})

test('of three, the eldest stays, and it may be started again', () => {
  const fourth = { instance: 'fourth', since: 9 }
  expect(arrivals(third, second, third, first, second, first, fourth)).toEqual({
    admitted: [true, true, false, true, false, true, true],
    told: 2
  })
})

test('ids of other nodes are another matter', () => {
  const twins = new Twins(() => {})
  const other = 'peerB' as PeerId
  for (const one of [peer, other, peer]) expect(twins.admits(one, first as never)).toBe(true)
})
