/**
 * What is made of what nodes say of a job that may be there as a whole.
 *
 * Not here: a mesh that says it (test/conformance/gone.test.ts).
 */
import { expect, test } from 'vitest'
import { mergeAcceptance } from '../../src/node/acceptance.ts'

const key = (index: number, epoch: number): string => `jobjobjo/${index}/${epoch}`
const [root, other] = [key(0, 33), key(1, 32)]
const open = { shards: [], started: [] }

test('a job is there as a whole if its newest first shard is closed, and all may start', () => {
  const whole = { root, shards: [root], started: [root] }
  expect(mergeAcceptance([open, whole, open])).toBe(2)
  expect(mergeAcceptance([])).toBe(null)
  expect(mergeAcceptance([open, { root, ...open, started: [root] }])).toBe(null)
  // It is closed as far as one of its keepers knows.
  expect(mergeAcceptance([{ root, ...open, started: [root] }, whole])).toBe(2)
  // Another one has taken its place.
  expect(mergeAcceptance([whole, { root: key(0, 48), ...open }])).toBe(null)
  const parts = { root, shards: [root, other], started: [root] }
  expect(mergeAcceptance([parts])).toBe(null)
  expect(mergeAcceptance([parts, { shards: [], started: [other] }])).toBe(2)
})

test('what is no report is left out', () => {
  const whole = { root, shards: [root], started: [root] }
  const odd = [null, 1, [], { ...whole, root: 'x' }, { ...whole, shards: 'all' }, { root, shards: [root] }]
  expect(mergeAcceptance(odd)).toBe(null)
  expect(mergeAcceptance([...odd, whole])).toBe(2)
})
