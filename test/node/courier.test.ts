/**
 * Who sends chunks uses their memory again once the other side has them, and not before.
 *
 * Not here: transfers between nodes (data.test.ts).
 */
import { expect, test } from 'vitest'
import {
  type Chunks,
  chunksIn,
  chunksOfBytes,
  dataBytesMax,
  hashBytes,
  nameOf
} from '../../src/node/chunks.ts'
import { give } from '../../src/node/courier.ts'
import { dataWords, type Talk, type Word } from '../../src/node/talk.ts'

/** What was freed when each chunk was sent, and at the end, if the other side says these words. */
async function freedBy(words: readonly Word[], place?: Chunks['place']): Promise<number[][]> {
  const bytes = new Uint8Array(1)
  const freed: number[] = []
  const seen: number[][] = []
  const left = [...words, { kind: 'kept', copies: 1 } as const]
  const talk = {
    nearness: { isNear: true, misses: 0, folder: undefined, vain: 0, unread: 0 },
    say: () => {},
    sendPlace: () => false,
    word: async () => left.shift(),
    sendChunk: async () => void seen.push([...freed])
  } as unknown as Talk
  const read = async (index: number): Promise<Uint8Array> => Uint8Array.of(index)
  const free = ([index]: Uint8Array): void => void freed.push(index as number)
  await give(talk, { ...chunksOfBytes(bytes), read, free, ...(place && { place }) })
  return [...seen, freed]
}

const want = (index: number, taken: number): Word => ({ kind: 'want', index, taken, near: 0 })

test('a chunk is free when the other side has taken it, and each of them once', async () => {
  const words = [want(5, 0), want(6, 0), want(7, 1), want(8, 1), want(9, 3)]
  expect(await freedBy(words)).toEqual([[], [], [5], [5], [5, 6, 7], [5, 6, 7, 8, 9]])
})

test('what a node of an earlier version has taken is free only once it says that it has all', async () => {
  const words = Array.from({ length: 10 }, (_, index) => want(index, 0))
  const freed = await freedBy(words)
  expect(freed.slice(0, -1).flat()).toEqual([])
  expect(freed.at(-1)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('of many chunks that nobody says are taken the first are forgotten, and never freed later', async () => {
  const words = [...Array.from({ length: 40 }, (_, index) => want(index, 0)), want(40, 30)]
  const freed = (await freedBy(words)).at(-2) as number[]
  expect(freed).toEqual([24, 25, 26, 27, 28, 29])
})

test('what lies too deep in folders to say where is sent, and free as soon as all else', async () => {
  let freed = 0
  const place = async () => ({ path: '', offset: 0, free: () => freed++ })
  const words = [want(5, 0), want(6, 1), want(7, 2)].map((word) => ({ ...word, near: 1 }))
  expect(await freedBy(words, place)).toEqual([[], [5], [5, 6], [5, 6, 7]])
  expect(freed).toBe(3)
})

test('the largest data has a list that can be said', () => {
  const hashes = new Uint8Array(chunksIn(nameOf(new Uint8Array(1), dataBytesMax)) * hashBytes)
  expect(dataWords.parse(dataWords.encode({ kind: 'list', hashes }))).toEqual({ kind: 'list', hashes })
})

test('a refusal with a code of another version is an error of ours all the same', async () => {
  const refused = freedBy([{ kind: 'refused', code: 'SHOAL_NEWER', message: 'no' }])
  await expect(refused).rejects.toMatchObject({
    name: 'ShoalError',
    code: 'SHOAL_BAD_MESSAGE',
    message: 'no'
  })
})
