/**
 * What leaves at the end of a turn, and whose memory is used again for it.
 *
 * Not here: real sockets (transport.test.ts), where nothing shows that memory was used again too soon unless the socket is full.
 */
import type { MessageStream } from '@libp2p/interface'
import { expect, test } from 'vitest'
import { gather } from '../../src/node/gather.ts'

const size = 40_000
const filled = (value: number): Uint8Array => new Uint8Array(size).fill(value)

/** Keeps what it is given to send, as a socket does that is full. */
function connectionOf(writableLength: number): { connection: MessageStream; sent: Uint8Array[] } {
  const sent: Uint8Array[] = []
  const connection = {
    status: 'open',
    writeBufferLength: 0,
    socket: { writableLength },
    send: (all: Uint8Array) => sent.push(all) > 0,
    close: async () => {},
    abort: (error: Error) => {
      throw error
    }
  } as unknown as MessageStream
  gather(connection)
  return { connection, sent }
}

/** A turn of its own for each pair of pieces. */
async function send({ connection }: { connection: MessageStream }, ...values: number[]): Promise<void> {
  for (const value of values) {
    connection.send(filled(value))
    connection.send(filled(value))
    await Promise.resolve()
  }
}

test('what the socket has still to send stays as it is', async () => {
  const busy = connectionOf(1)
  await send(busy, 1, 2, 3)
  expect(busy.sent.map((all) => [all.byteLength, all.at(0), all.at(-1)])).toEqual(
    [1, 2, 3].map((value) => [2 * size, value, value])
  )
})

test('what the system has is used again', async () => {
  const idle = connectionOf(0)
  await send(idle, 1, 2)
  expect(idle.sent[1]?.buffer).toBe(idle.sent[0]?.buffer)
})

test('pieces that share their memory with others are left to them', async () => {
  const { connection } = connectionOf(0)
  const memory = new Uint8Array(2 * size).fill(7)
  connection.send(memory.subarray(0, size))
  connection.send(memory.subarray(0, size))
  await Promise.resolve()
  expect(memory.byteLength).toBe(2 * size)
  expect(memory.at(-1)).toBe(7)
})
