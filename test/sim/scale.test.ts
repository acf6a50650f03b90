/**
 * A mesh that is too large for everybody to hear everybody: what it costs at rest, how fast it works, and how fast a death is known.
 *
 * Not here: faults (the seeds, of which half behave as if they were large meshes), and larger ones (`--scale`, ARCHITECTURE.md).
 */
import { expect, test } from 'vitest'
import { usualReach } from '../../src/routing/links.ts'
import { measureScale } from './scale.ts'

test('sixty-four nodes: rest is cheap, work spreads, and a silent death is known to all within ten seconds', () => {
  expect(usualReach.closeMax).toBeLessThan(64)
  const found = measureScale(64, 640, () => {})
  expect(found.tasks).toBe(640)
  expect(found.knownMs).toBeLessThan(10_000)
  // Of a small mesh of that size it would be 65.
  expect(found.restMessages).toBeLessThan(10)
  expect(found.restBytes).toBeLessThan(2_000)
  expect(found.workMessages).toBeLessThan(400)
  expect(found.makespanMs).toBeLessThan(1.3 * found.idealMs)
  expect(found.deathMs).toBeLessThan(10_000)
  expect(found.misjudged).toBe(0)
}, 60_000)
