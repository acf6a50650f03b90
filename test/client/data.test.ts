/**
 * Putting and getting data, when it does not go well: what is said, and that a caller is let go.
 *
 * Not here: transfers as such (test/node/data.test.ts, test/integration/data.test.ts).
 */
import { afterEach, expect, test, vi } from 'vitest'
import { ClientData, type DataDoor, type OwnData } from '../../src/client/data.ts'
import { makeRef } from '../../src/data/ref.ts'
import { ShoalError } from '../../src/errors.ts'
import { chunksOfBytes } from '../../src/node/chunks.ts'
import type { Talk } from '../../src/node/talk.ts'

afterEach(() => void vi.useRealTimers())

const dataBy = (door: DataDoor, closing?: AbortSignal): ClientData =>
  new ClientData({ door, attached: async () => {}, ...(closing && { closing }) })
const ref = makeRef(chunksOfBytes(Buffer.from('gone')).id)
const never = new Promise<never>(() => {})

test('what no node has is told as such by an entry that looked for it, and not as a mesh out of reach', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const reason = 'SHOAL_NOT_FOUND: no node has the data'
  const talk = {
    nearness: { isNear: false, misses: 0, folder: undefined, vain: 0, unread: 0 },
    say: () => {},
    word: async () => {
      vi.advanceTimersByTime(40_000)
      return { kind: 'absent', reason, at: [], isNowhere: false }
    },
    close: async () => {},
    abort: () => {}
  } as unknown as Talk
  await expect(dataBy({ talk: async () => talk }).get(ref)).rejects.toMatchObject({
    code: 'SHOAL_NOT_FOUND',
    message: expect.stringContaining(reason)
  })
})

test('what an entry has looked for long enough is not asked for again, and is told in its words', async () => {
  const reason = 'no node that is up has the data'
  const asked: unknown[] = []
  const talk = {
    nearness: { isNear: false, misses: 0, folder: undefined, vain: 0, unread: 0 },
    say: (word: unknown) => asked.push(word),
    word: async () => ({ kind: 'absent', reason, at: [], isNowhere: true }),
    close: async () => {},
    abort: () => {}
  } as unknown as Talk
  await expect(dataBy({ talk: async () => talk }).get(ref)).rejects.toMatchObject({
    code: 'SHOAL_NOT_FOUND',
    message: reason
  })
  expect(asked.length).toBe(1)
})

/** Puts until it is told to stop. */
async function stopped(put: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
  const controller = new AbortController()
  const reason = new Error('enough')
  const putting = put(controller.signal).catch((error: unknown) => error)
  await new Promise(setImmediate)
  controller.abort(reason)
  expect(await putting).toMatchObject({ code: 'SHOAL_CANCELLED', cause: reason })
  return reason
}

/** Who waits for data from either for ever. */
const doors: Record<string, DataDoor> = {
  'a node': {
    own: {
      put: async (pieces: AsyncIterable<Uint8Array>) => {
        for await (const _ of pieces);
        return await never
      },
      chunks: () => never
    } as unknown as OwnData
  },
  'an entry': { talk: () => never }
}

const soon = async (): Promise<IteratorResult<Uint8Array>> => {
  await new Promise(setImmediate)
  return { done: false, value: Buffer.from('more') }
}

/** A source without another piece, or always with one more. */
function source(kind: 'silent' | 'endless') {
  const left = Promise.withResolvers<void>()
  const pieces = {
    [Symbol.asyncIterator]: () => ({
      next: async () => (kind === 'silent' ? await never : await soon()),
      return: async () => {
        left.resolve()
        return await never
      }
    })
  }
  return { pieces, left: left.promise }
}

test.each(Object.entries(doors))(
  'by %s, what is aborted ends at once, whatever it waits for',
  async (_by, door) => {
    const data = dataBy(door)
    const { pieces, left } = source('silent')
    await stopped((signal) => data.put(pieces, { signal }))
    await left
    await stopped((signal) => data.put(Buffer.from('abc'), { signal }))
    await stopped((signal) => data.get(ref, { signal }))
  }
)

test.each(Object.entries(doors))(
  'by %s, what its client waits for ends when that is closed',
  async (_by, door) => {
    for (const kind of ['silent', 'endless'] as const) {
      const closing = new AbortController()
      const data = dataBy(door, closing.signal)
      const { pieces, left } = source(kind)
      const all = [data.put(pieces), data.put(Buffer.from('abc')), data.get(ref)]
      all.push(data.put(Buffer.from('abc'), { signal: new AbortController().signal }))
      const settled = Promise.allSettled(all)
      await new Promise(setImmediate)
      closing.abort(new ShoalError('SHOAL_CLOSED', 'the client was closed'))
      const closed = { status: 'rejected', reason: { code: 'SHOAL_CLOSED' } }
      expect(await settled).toMatchObject(all.map(() => closed))
      await left
      let isPulled = false
      const late = function* () {
        isPulled = true
        yield Buffer.from('late')
      }
      const after = [data.put(late()), data.get(ref), data.free([ref])]
      expect(await Promise.allSettled(after)).toMatchObject(after.map(() => closed))
      expect(isPulled).toBe(false)
    }
  }
)
