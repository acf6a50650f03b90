/**
 * Memory of chunks is used again once it was given back, and no other memory ever is.
 *
 * Not here: what is brought through it (test/node/data.test.ts, test/integration/data.test.ts).
 */
import { expect, test } from 'vitest'
import { giveMemory, takeMemory } from '../../src/node/chunk-memory.ts'
import { chunkBytes } from '../../src/node/chunks.ts'

test('what was given back is taken again, by one', () => {
  const first = takeMemory(chunkBytes)
  giveMemory(first)
  expect(takeMemory(chunkBytes)).toBe(first)
  expect(takeMemory(chunkBytes)).not.toBe(first)
})

test('pieces of other sizes and windows on the memory of others are left alone', () => {
  const small = takeMemory(chunkBytes - 1)
  const window = new Uint8Array(2 * chunkBytes).subarray(0, chunkBytes)
  giveMemory(small)
  giveMemory(window)
  expect(small.byteLength).toBe(chunkBytes - 1)
  const taken = [takeMemory(chunkBytes - 1), takeMemory(chunkBytes)]
  expect(taken).not.toContain(small)
  expect(taken).not.toContain(window)
})

test('what is given back twice is a mistake of ours, and ends the node before two use it', () => {
  const piece = takeMemory(chunkBytes)
  giveMemory(piece)
  expect(() => giveMemory(piece)).toThrow('twice')
})

test('a few pieces are kept, and the rest is let go', () => {
  const many = Array.from({ length: 100 }, () => takeMemory(chunkBytes))
  for (const piece of many) giveMemory(piece)
  const again = Array.from({ length: 100 }, () => takeMemory(chunkBytes))
  expect(again.filter((piece) => many.includes(piece)).length).toBe(8)
})
