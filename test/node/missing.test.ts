/**
 * Data that nobody has: how long it is looked for, and what is said then.
 *
 * Not here: data that comes (data.test.ts), and what a client makes of it (test/client/data.test.ts).
 */
import { randomBytes } from 'node:crypto'
import { afterEach, expect, test, vi } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { chunksOfBytes } from '../../src/node/chunks.ts'
import { askFor } from '../../src/node/courier.ts'
import type { Data } from '../../src/node/data.ts'
import type { Talk } from '../../src/node/talk.ts'
import { depot } from './depot.ts'
import { stopAll } from './helpers.ts'

afterEach(async () => {
  vi.useRealTimers()
  await stopAll()
})

const bytes = randomBytes(1_000)

/** A depot whose asker's clock goes on by so much with each question that it hears. */
const timed = async (
  everyMs: number,
  answers?: (data: Data, talk: Talk, from: PeerId | undefined) => Promise<void>
) => {
  let asked = 0
  const { node, files } = await depot({
    serve: async (data, talk, _node, from) => {
      const word = talk.word.bind(talk)
      talk.word = async (patience) => {
        const next = await word(patience)
        if (next.kind === 'ask') asked++
        if (next.kind === 'ask') vi.advanceTimersByTime(everyMs)
        return next
      }
      await (answers?.(data, talk, from) ?? data.serve(talk, from))
    }
  })
  return { node, files, asked: () => asked }
}

test.each([
  [true, 2_000, 4, /^no node that is up has the data .{43}\.\d+; it was freed, or its nodes are down$/],
  [false, 14_000, 5, /^no node has the data .{43}\.\d+ \([^ ]+: it does not have it\)$/]
])(
  'what all say that they do not have is looked for as long as somebody may have just got it, or be back (all: %s)',
  async (areAll, everyMs, times, message) => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const other = await timed(everyMs)
    const { data } = await depot({ peers: [other.node], areAll })
    const { id } = chunksOfBytes(bytes)
    await expect(data.chunks(id)).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND', message })
    expect(other.asked()).toBe(times)
    const late = data.chunks(id)
    await other.files.add([bytes])
    await (await late).close()
  }
)

test('a transfer that failed says nothing of what others have', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const other = await timed(14_000, async (_data, talk) => {
    await talk.word(5_000)
    talk.abort('its disk is slow')
  })
  const { data } = await depot({ peers: [other.node], areAll: true })
  await expect(data.chunks(chunksOfBytes(bytes).id)).rejects.toThrow('no node has the data')
  expect(other.asked()).toBe(5)
})

test('a client elsewhere hears sooner that nothing was found, as it asks again by itself', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const other = await timed(2_000)
  const entry = await depot({ peers: [other.node], serve: (data, talk) => data.serve(talk, undefined) })
  const { node } = await depot({ peers: [entry.node] })
  const talk = await node.transport.talkTo(entry.node.transport.self)
  await expect(askFor(talk, chunksOfBytes(bytes).id)).rejects.toMatchObject({ isNowhere: false })
  expect(other.asked()).toBe(6)
})

test('who does not wait any more is not searched for', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const other = await timed(2_000)
  const { data } = await depot({ peers: [other.node] })
  await expect(data.chunks(chunksOfBytes(bytes).id, () => other.asked() > 2)).rejects.toThrow('no node has')
  expect(other.asked()).toBe(3)
})
