/**
 * Putting and getting data, when it does not go well: what is said, and that a caller is let go.
 *
 * Not here: transfers as such (test/node/data.test.ts, test/integration/data.test.ts).
 */
import { afterEach, expect, test, vi } from 'vitest'
import { ClientData, type DataDoor, type OwnData } from '../../src/client/data.ts'
import { makeRef } from '../../src/data/ref.ts'
import { chunksOfBytes } from '../../src/node/chunks.ts'
import type { Talk } from '../../src/node/talk.ts'

afterEach(() => void vi.useRealTimers())

const dataBy = (door: DataDoor): ClientData => new ClientData({ door, attached: async () => {} })
const ref = makeRef(chunksOfBytes(Buffer.from('gone')).id)
const never = new Promise<never>(() => {})

test('what no node has is told as such by an entry that looked for it, and not as a mesh out of reach', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const reason = 'SHOAL_NOT_FOUND: no node has the data'
  const talk = {
    nearness: { isNear: false, misses: 0 },
    say: () => {},
    word: async () => {
      vi.advanceTimersByTime(40_000)
      return { kind: 'absent', reason, at: [] }
    },
    close: async () => {},
    abort: () => {}
  } as unknown as Talk
  await expect(dataBy({ talk: async () => talk }).get(ref)).rejects.toMatchObject({
    code: 'SHOAL_NOT_FOUND',
    message: expect.stringContaining(reason)
  })
})

/** Puts until it is told to stop. */
async function stopped(put: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
  const controller = new AbortController()
  const reason = new Error('enough')
  const putting = put(controller.signal).catch((error: unknown) => error)
  await new Promise(setImmediate)
  controller.abort(reason)
  expect(await putting).toBe(reason)
  return reason
}

test.each(['a node', 'an entry'])(
  'by %s, what is aborted ends at once, whatever it waits for',
  async (by) => {
    const node = {
      put: async (pieces: AsyncIterable<Uint8Array>) => {
        for await (const _ of pieces);
        return await never
      },
      chunks: () => never
    } as unknown as OwnData
    const data = dataBy(by === 'a node' ? { own: node } : { talk: () => never })
    let isLeft = false
    const silent = {
      [Symbol.asyncIterator]: () => ({
        next: () => never,
        return: () => {
          isLeft = true
          return never
        }
      })
    }
    await stopped((signal) => data.put(silent, { signal }))
    expect(isLeft).toBe(true)
    await stopped((signal) => data.put(Buffer.from('abc'), { signal }))
    await stopped((signal) => data.get(ref, { signal }))
  }
)
