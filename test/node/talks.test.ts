/**
 * Streams for transfers are used again, and only if nothing is left on them.
 *
 * Not here: what is said on them (courier.test.ts, data.test.ts).
 */
import { afterEach, expect, test, vi } from 'vitest'
import { createKey } from '../../src/node/key.ts'
import type { Talk } from '../../src/node/talk.ts'
import { connect, startNode, stopAll } from './helpers.ts'

afterEach(async () => {
  vi.useRealTimers()
  await stopAll()
})

const key = createKey()

/** Answers every word, `extra` times more than it should. */
async function pair(extra = 0) {
  const served: Talk[] = []
  const ends: Promise<unknown>[] = []
  const holder = await startNode(key, {
    serveData: async (talk) => {
      served.push(talk)
      const serve = async (): Promise<never> => {
        for (;;) {
          await talk.word(60_000)
          for (let said = 0; said <= extra; said++) talk.say({ kind: 'freed' })
        }
      }
      ends.push(serve().catch((error: unknown) => error))
    }
  })
  const reader = await startNode(key, {})
  await connect(reader, holder)
  const ask = async (): Promise<Talk> => {
    const talk = await reader.transport.talkTo(holder.transport.self)
    talk.say({ kind: 'free', ids: [] })
    await talk.word(5_000)
    return talk
  }
  return { ask, served, ends, reader, holder }
}

test('transfers one after the other share a stream, and those at the same time do not', async () => {
  const { ask, served } = await pair()
  for (let at = 0; at < 5; at++) await (await ask()).rest()
  expect(served.length).toBe(1)
  const both = await Promise.all([ask(), ask()])
  expect(served.length).toBe(2)
  await Promise.all(both.map((talk) => talk.rest()))
  for (let at = 0; at < 5; at++) await (await ask()).rest()
  expect(served.length).toBe(2)
})

test('a few streams rest, and the others are closed', async () => {
  const { ask, served, ends } = await pair()
  const many = await Promise.all(Array.from({ length: 12 }, ask))
  await Promise.all(many.map((talk) => talk.rest()))
  await Promise.all(ends.filter((_, at) => many[at]?.isOver))
  expect(many.filter(({ isOver }) => !isOver).length).toBe(8)
  await Promise.all(Array.from({ length: 8 }, ask))
  expect(served.length).toBe(12)
})

test('a stream on which something is left, or that the other side ended, is not used again', async () => {
  const talkative = await pair(1)
  for (let at = 0; at < 3; at++) await (await talkative.ask()).rest()
  expect(talkative.served.length).toBe(3)
  const { ask, served, ends } = await pair()
  const first = await ask()
  await first.rest()
  const heard = expect(first.word(5_000)).rejects.toThrow('closed')
  await served[0]?.close()
  await Promise.all([heard, ends[0]])
  await (await ask()).rest()
  expect(served.length).toBe(2)
})

test('a stream on which nothing was said for long is not used again, whoever had it meanwhile: the other side ends it soon', async () => {
  const { ask, reader, holder, served } = await pair()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  await (await ask()).rest()
  const open = (): Promise<Talk> => reader.transport.talkTo(holder.transport.self)
  for (let times = 0; times < 3; times++) {
    await vi.advanceTimersByTimeAsync(6_000)
    // Who found what it wanted in a file.
    await (await open()).rest()
  }
  await (await ask()).rest()
  expect(served.length).toBe(2)
})

test('a stream that rests for long is closed by who opened it', async () => {
  const { ask, ends } = await pair()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const talk = await ask()
  await talk.rest()
  await vi.advanceTimersByTimeAsync(9_999)
  expect(talk.isOver).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  vi.useRealTimers()
  expect(String(await ends[0])).toContain('closed')
})
