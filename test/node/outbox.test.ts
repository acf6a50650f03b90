/**
 * What one turn has to say: in order, together, and no longer held than it may be.
 *
 * Not here: streams. Frames are caught where they would be handed to one.
 */
import { expect, test } from 'vitest'
import { entryMessages } from '../../src/client/protocol.ts'
import type { ClientId, PeerId, ShardKey } from '../../src/ids.ts'
import { type PeerMessage, peerMessages, splitFrame } from '../../src/node/messages.ts'
import { bulkQueueBytesMax, Outbox } from '../../src/node/outbox.ts'
import { messagePatience, recordPatience } from '../../src/node/patience.ts'
import { pack } from '../../src/tasks/batch.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'

const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]
const client = 'c#1' as ClientId
const inquire = (n: number): PeerMessage => ({ kind: 'inquire', key: `abcdefgh/${n}/0` as ShardKey })
const absent = { kind: 'absent', job: 'abcdefgh' as never } as const

class Caught {
  readonly peers: [PeerId, string[]][] = []
  readonly clients: [ClientId, string[]][] = []

  sendPeer(peer: PeerId, frame: Uint8Array): void {
    const keys = splitFrame(frame).map((part) => (peerMessages.parse(part) as { key?: string }).key ?? '?')
    this.peers.push([peer, keys])
  }

  /** Bytes that wait at each of them already. */
  queued = 0
  queuedFor(): number {
    return this.queued
  }

  leftOut = 0
  heldBack(messages: number): void {
    this.leftOut += messages
  }

  sendClient(to: ClientId, frame: Uint8Array): void {
    this.clients.push([to, splitFrame(frame).map((part) => entryMessages.parse(part).kind)])
  }
}

test('each peer and each client gets one frame of all that was said, in order', () => {
  const [outbox, caught] = [new Outbox(), new Caught()]
  for (const n of [1, 2]) outbox.toPeer(a, inquire(n), 0)
  outbox.toPeer(b, inquire(3), 0)
  outbox.toClient(client, absent)
  expect(outbox.flush(caught, 10)).toBe(Number.POSITIVE_INFINITY)
  expect(caught.peers).toEqual([
    [a, ['abcdefgh/1/0', 'abcdefgh/2/0']],
    [b, ['abcdefgh/3/0']]
  ])
  expect(caught.clients).toEqual([[client, ['absent']]])
  outbox.flush(caught, 11)
  expect(caught.peers).toHaveLength(2)
})

test('what may wait leaves when it is due, or before with what may not, and never out of order', () => {
  const [outbox, caught] = [new Outbox(), new Caught()]
  outbox.toPeer(a, inquire(1), 30)
  outbox.toPeer(b, inquire(2), 20)
  expect(outbox.flush(caught, 10)).toBe(20)
  expect(caught.peers).toEqual([])
  outbox.toPeer(a, inquire(3), 11)
  expect(outbox.flush(caught, 11)).toBe(20)
  expect(caught.peers).toEqual([[a, ['abcdefgh/1/0', 'abcdefgh/3/0']]])
  outbox.flush(caught, 20)
  expect(caught.peers.at(-1)).toEqual([b, ['abcdefgh/2/0']])
})

test('a frame is cut before it grows too large', () => {
  const [outbox, caught] = [new Outbox(), new Caught()]
  const outcomes = pack(a, [0], [new Uint8Array(3 << 20)])
  for (let n = 0; n < 3; n++)
    outbox.toPeer(a, { kind: 'outcomes', key: `abcdefgh/${n}/0` as ShardKey, outcomes }, 0)
  outbox.flush(caught, 1)
  expect(caught.peers.map(([, keys]) => keys.length)).toEqual([1, 1, 1])
})

test('only the storing of small jobs waits', () => {
  const header = { job: 'abcdefgh', name: '', code: '', exportName: '' } as never
  const record = (shards: number, count: number) => ({
    kind: 'store' as const,
    isRepair: false,
    record: {
      key: 'abcdefgh/0/0' as ShardKey,
      ...firstSeating([a, b]),
      copies: 3,
      header,
      first: 0,
      count,
      shards,
      inputs: pack('', [], []),
      root: [],
      needs: []
    }
  })
  expect(messagePatience(record(1, 1))).toBeGreaterThan(0)
  for (const large of [record(2, 1), record(1, 512), record(0, 1)]) expect(messagePatience(large)).toBe(0)
  expect(recordPatience(record(1, 1))).toBeGreaterThan(0)
  expect(recordPatience(record(1, 5))).toBe(0)
  expect(
    messagePatience({ kind: 'outcomes', key: 'abcdefgh/0/0' as ShardKey, outcomes: pack(a, [], []) })
  ).toBe(0)
})

test('while a peer has much to read, large messages are left out, and small ones leave', () => {
  const [outbox, caught] = [new Outbox(), new Caught()]
  const large = (n: number): PeerMessage => {
    const outcomes = pack(a, [0], [new Uint8Array(10 << 20)])
    return { kind: 'outcomes', key: `abcdefgh/${n}/0` as ShardKey, outcomes }
  }
  for (const n of [1, 2, 3, 4, 5, 6]) outbox.toPeer(a, large(n), 0)
  outbox.toPeer(a, inquire(7), 0)
  outbox.flush(caught, 1)
  expect(caught.peers.flatMap(([, keys]) => keys)).toEqual([1, 2, 3, 4, 5, 7].map((n) => `abcdefgh/${n}/0`))
  expect(caught.leftOut).toBe(1)
  caught.queued = bulkQueueBytesMax + 1
  outbox.toPeer(a, large(8), 0)
  outbox.toPeer(a, inquire(9), 0)
  outbox.flush(caught, 2)
  expect(caught.peers.at(-1)).toEqual([a, ['abcdefgh/9/0']])
})

test('a client has room for what it can read, and one in this process for anything', () => {
  const [outbox, caught] = [new Outbox(), new Caught()]
  const before = outbox.room(client, caught)
  outbox.toClient(client, absent)
  caught.queued = 1_000
  expect(outbox.room(client, caught)).toBeLessThan(before - 1_000)
  caught.queued = before
  expect(outbox.room(client, caught)).toBeLessThan(0)
  expect(outbox.room(client, undefined)).toBe(Number.POSITIVE_INFINITY)
})
