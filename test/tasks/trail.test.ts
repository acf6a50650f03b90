/**
 * Whom somebody asks who only knows a list of keepers, and is sent on.
 *
 * Not here: who sends (whereabouts.ts) and what is asked.
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { Trail } from '../../src/tasks/trail.ts'

const [a, b, c, d] = ['peerA', 'peerB', 'peerC', 'peerD'] as [PeerId, PeerId, PeerId, PeerId]
const old = { list: 1, keepers: [d, b, c], seats: [3, 1, 2], ballot: 3 }
const now = { list: 2, keepers: [a, b, c], seats: [4, 1, 2], ballot: 4 }

test('one is sent on by what is newer, and once', () => {
  const trail = new Trail([a, b, c])
  expect(trail.hint(old, a, 0)).toBe(true)
  expect(trail.owner).toBe(d)
  expect(trail.hint(now, d, 10)).toBe(true)
  expect(trail.owner).toBe(a)
  expect(trail.hint(now, d, 20)).toBe(false)
  expect(trail.owner).toBe(a)
})

test('who is asked and only knows what is older is not asked for ever', () => {
  const trail = new Trail([a, b, c])
  trail.hint(now, b, 0)
  // It is in the newest list, and has heard of the one before.
  expect(trail.hint(old, a, 1_000)).toBe(false)
  expect(trail.owner).toBe(b)
})

test('others that know less are not heeded, and the owner itself is not left', () => {
  const trail = new Trail([a, b, c])
  trail.hint(now, b, 0)
  expect(trail.hint(old, c, 1_000)).toBe(false)
  expect(trail.hint(now, a, 1_000)).toBe(false)
  expect(trail.owner).toBe(a)
})
