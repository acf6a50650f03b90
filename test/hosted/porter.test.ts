/**
 * What happens to an app that takes nothing out for long, and to the pieces of its data.
 *
 * Not here: threads (test/integration/hosted.test.ts). Both ends are in this one.
 */
import { expect, test } from 'vitest'
import type { OwnData } from '../../src/client/data.ts'
import { PortData } from '../../src/client/errands.ts'
import type { LineEvents } from '../../src/client/line.ts'
import { clientMessages, entryMessages } from '../../src/client/protocol.ts'
import { Porter } from '../../src/hosted/porter.ts'
import { type FromHost, unheardBytesMax } from '../../src/hosted/words.ts'
import { dataId } from '../../src/ids.ts'
import { chunkBytes, inChunks } from '../../src/node/chunks.ts'
import { Errands } from '../../src/node/errands.ts'

const nothing = async (): Promise<void> => {}
const own = {} as OwnData

test('the line of an app that hears nothing ends at a bound, and what it has heard makes room', async () => {
  const said: FromHost[] = []
  const unheard = new Int32Array(1)
  const line = { data: { own }, open: nothing, send: () => {}, learn: () => {}, close: nothing }
  let left = 0
  let events: LineEvents | undefined
  new Porter({
    openLine: (given) => {
      events = given
      return { ...line, leave: async () => void left++ }
    },
    dataOf: () => own,
    say: (message) => said.push(message),
    attach: nothing,
    unheard
  })
  const tell = (): void => events?.onMessages([{ kind: 'answer', ask: 1, json: 'x'.repeat(1_000) }])
  unheard[0] = unheardBytesMax - 1_500
  tell()
  tell()
  await Promise.resolve()
  expect(said.map(({ kind }) => kind)).toEqual(['told', 'closed'])
  expect(left).toBe(1)
  Atomics.sub(unheard, 0, 1_000)
  tell()
  expect(said.at(-1)?.kind).toBe('told')
})

test('an app that says what cannot be read is told so, and the thread goes on with the rest', () => {
  const said: FromHost[] = []
  const sent: unknown[] = []
  const line = { data: { own }, open: nothing, learn: () => {}, leave: nothing, close: nothing }
  const porter = new Porter({
    openLine: () => ({ ...line, send: (message) => void sent.push(message) }),
    dataOf: () => own,
    say: (message) => said.push(message),
    attach: nothing,
    unheard: new Int32Array(1)
  })
  const good = { kind: 'query', ask: 1, what: 'members', about: '' } as const
  const wrong = { ...good, ask: 2, what: 'x'.repeat(64) }
  porter.heard({ kind: 'says', parts: [wrong, good].map((message) => clientMessages.encode(message)) })
  expect(sent).toEqual([good])
  const told = said.flatMap((one) => (one.kind === 'told' ? one.parts : []))
  expect(told.map((part) => entryMessages.parse(part))).toMatchObject([{ kind: 'misread', about: '2' }])
})

test('a piece is made when the last one was taken and brings no neighbours along; a source that fails frees its place', async () => {
  const id = dataId('x'.repeat(43), 1)
  const bytes = new Uint8Array(6 << 20)
  const taken: number[] = []
  let made = 0
  const data: Partial<OwnData> = {
    put: async (pieces) => {
      for await (const { buffer } of inChunks(pieces)) {
        taken.push(buffer.byteLength)
        expect(made - taken.length).toBeLessThanOrEqual(2)
      }
      return { id }
    }
  }
  const errands = new Errands(
    () => data as OwnData,
    (_, told) => told.kind === 'done' && port.done(told),
    2
  )
  const port = new PortData((errand) => errands.run(0, errand))
  const plan = { pinMs: 0, copies: 0 }
  async function* windows(): AsyncGenerator<Uint8Array> {
    for (; made < 6; made++) yield bytes.subarray(made << 20, (made + 1) << 20)
  }
  expect(await port.put(windows(), plan)).toEqual({ id })
  expect(taken).toEqual(Array.from({ length: 6 }, () => chunkBytes))
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 8)
    throw new Error('torn off')
  }
  for (let i = 0; i < 3; i++) await expect(port.put(broken(), plan)).rejects.toThrow('torn off')
  made = 6
  expect(await port.put([bytes], plan)).toEqual({ id })
})

test('what is opened for an engine that has ended meanwhile is closed', async () => {
  const found = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<string>()
  const chunks = async () => {
    await found.promise
    return { read: async () => new Uint8Array(1), close: async () => closed.resolve('closed') }
  }
  const errands = new Errands(
    () => ({ ...own, chunks }),
    () => closed.resolve('left open')
  )
  errands.run(1, { kind: 'errand', ask: 1, what: 'open', id: dataId('x'.repeat(43), 1) })
  errands.gone(1)
  found.resolve()
  expect(await closed.promise).toBe('closed')
})
