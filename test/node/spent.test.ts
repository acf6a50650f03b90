/**
 * Memory of chunks is used again once it was given back, and no other memory ever is.
 *
 * Not here: what is brought through it (test/node/data.test.ts, test/integration/data.test.ts).
 */
import { expect, test } from 'vitest'
import { chunkBytes, giveMemory, takeMemory } from '../../src/spent.ts'

test('what was given back is taken again, by one, also for somewhat fewer bytes', () => {
  const first = takeMemory(chunkBytes)
  giveMemory(first)
  const second = takeMemory(chunkBytes - 1)
  expect([second.buffer, second.byteLength]).toEqual([first.buffer, chunkBytes - 1])
  expect(second.buffer).toBe(first.buffer)
  expect(takeMemory(chunkBytes).buffer).not.toBe(first.buffer)
  giveMemory(second)
  expect(takeMemory(chunkBytes).buffer).toBe(first.buffer)
})

test('small pieces and windows on the memory of others are left alone', () => {
  const small = takeMemory(chunkBytes / 4)
  const windows = [new Uint8Array(2 * chunkBytes), new Uint8Array(chunkBytes)].map((all) => all.subarray(7))
  for (const one of [small, ...windows]) giveMemory(one)
  const taken = [takeMemory(chunkBytes / 4), takeMemory(chunkBytes - 7), takeMemory(chunkBytes)]
  for (const { buffer } of [small, ...windows]) expect(taken.some((one) => one.buffer === buffer)).toBe(false)
})

test('what is given back twice is a mistake of ours, and ends the node before two use it', () => {
  const piece = takeMemory(chunkBytes)
  giveMemory(piece)
  expect(() => giveMemory(piece)).toThrow('twice')
})

test('a few pieces are kept, and the rest is let go', () => {
  const many = Array.from({ length: 100 }, () => takeMemory(chunkBytes))
  for (const piece of many) giveMemory(piece)
  const before = new Set(many.map(({ buffer }) => buffer))
  const again = Array.from({ length: 100 }, () => takeMemory(chunkBytes))
  expect(again.filter(({ buffer }) => before.has(buffer)).length).toBe(8)
})
