/**
 * A client that says what its node cannot read, over a real stream: that call fails, and all others are served.
 *
 * Not here: which call it is (test/client/misread.test.ts). The client here spoils what it says of some calls as it leaves.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MeshClient } from '../../src/client/client.ts'
import { misreadMax } from '../../src/client/misread.ts'
import {
  type ClientMessage,
  clientMessages,
  type EntryMessage,
  entryMessages
} from '../../src/client/protocol.ts'
import { RemoteLine } from '../../src/client/remote.ts'
import type { ClientId } from '../../src/ids.ts'
import { createKey, createNode, type Node } from '../../src/index.ts'
import { Guests } from '../../src/node/guests.ts'
import type { Told } from '../../src/tasks/executor/guest.ts'

const key = createKey()
let node: Node
beforeAll(async () => {
  node = await createNode({ key, slots: 1, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false })
})
afterAll(() => node.stop())

/** Jobs called `wrong` are submitted with a name that no node takes. */
class SpoilingLine extends RemoteLine {
  static submitted = 0
  static unfollows = false

  override send(message: ClientMessage): void {
    if (SpoilingLine.unfollows && message.kind === 'unfollow')
      return super.send({ ...message, key: 'x' as never })
    if (message.kind !== 'submit' || message.header.name !== 'wrong') return super.send(message)
    SpoilingLine.submitted++
    super.send({ ...message, header: { ...message.header, name: 'x'.repeat(200) } })
  }
}

class SpoilingClient extends MeshClient {
  ask64(): Promise<unknown> {
    return this.ask('x'.repeat(64))
  }
}

async function attached(): Promise<SpoilingClient> {
  const open = (events: ConstructorParameters<typeof RemoteLine>[2]): RemoteLine =>
    new SpoilingLine(key, { peers: node.addresses, isWide: false, mdns: false }, events)
  const client = new SpoilingClient(open, 'spoiler')
  await client.open(AbortSignal.timeout(10_000))
  return client
}

const twice = (n: number): number => 2 * n
const isBad = { code: 'SHOAL_BAD_MESSAGE', message: expect.stringContaining('expected a string of at most') }

test('wrong words among good ones: their calls fail, all others are served by the same entry', async () => {
  const client = await attached()
  const { 'clients-dropped': dropped = 0, 'messages-misread': before = 0 } = node.counters
  const good = Array.from({ length: 20 }, (_, i) => client.map(twice, [i, i + 1]))
  const wrong = [client.map(twice, [1], { name: 'wrong' }), client.submit(twice, [1], { name: 'wrong' })]
  const asked = client.ask64()
  const late = client.submit(twice, [21])
  const failed = await Promise.allSettled([...wrong, asked])
  expect(failed.map((one) => one.status === 'rejected' && one.reason)).toMatchObject([isBad, isBad, isBad])
  expect(await Promise.all(good)).toEqual(good.map((_, i) => [2 * i, 2 * i + 2]))
  expect(await late).toBe(42)
  expect((await client.status()).nodes).toHaveLength(1)
  expect(node.counters['messages-misread']).toBe(before + 3)
  expect(node.counters['clients-dropped'] ?? 0).toBe(dropped)
  expect(SpoilingLine.submitted).toBe(2)
  await client.close()
})

test('beyond the limit the stream is closed after its answers; no call hangs, none is lost', async () => {
  const client = await attached()
  const { 'clients-dropped': dropped = 0 } = node.counters
  const asked = Array.from({ length: 2 * misreadMax + 50 }, () => client.ask64())
  const job = client.map(twice, [1, 2, 3])
  const failed = await Promise.allSettled(asked)
  expect(failed.every((one) => one.status === 'rejected')).toBe(true)
  for (const one of failed) expect(one).toMatchObject({ reason: isBad })
  expect(await job).toEqual([2, 4, 6])
  expect(node.counters['clients-dropped']).toBe(dropped + 2)
  await client.close()
})

test('wrong words that belong to no call end none, and are warned of once', async () => {
  const client = await attached()
  const warnings: Error[] = []
  const note = (warning: Error): void => void warnings.push(warning)
  process.on('warning', note)
  SpoilingLine.unfollows = true
  const { 'messages-misread': before = 0 } = node.counters
  for (let i = 0; i < 3; i++) expect(await client.map(twice, [i])).toEqual([2 * i])
  // Whatever was said before is read before this.
  await client.status()
  SpoilingLine.unfollows = false
  expect(node.counters['messages-misread']).toBe(before + 3)
  expect(warnings).toMatchObject([{ code: 'SHOAL_BAD_MESSAGE' }])
  process.off('warning', note)
  await client.close()
})

test('an engine whose task says wrong words is told so, and its other words are heard', () => {
  const heard: ClientMessage[] = []
  const told: EntryMessage[] = []
  const view = {
    data: {} as never,
    joinClient: () => 'x#1' as ClientId,
    leaveClient: () => {},
    clientSaid: (_: ClientId, messages: readonly ClientMessage[]) => void heard.push(...messages)
  }
  const tell = (_: number, { kind, ...rest }: Told): void => {
    if (kind === 'told' && 'parts' in rest) told.push(...rest.parts.map((part) => entryMessages.parse(part)))
  }
  const notes: string[] = []
  const guests = new Guests(view, tell, (text) => notes.push(text))
  const good = { kind: 'query', ask: 1, what: 'members', about: '' } as const
  const wrong = { kind: 'query', ask: 2, what: 'x'.repeat(64), about: '' } as const
  const parts = [wrong, good].map((message) => clientMessages.encode(message))
  for (let times = 0; times < 3 * misreadMax; times++) guests.heard(0, { kind: 'says', parts })
  expect(heard).toEqual(Array.from({ length: 3 * misreadMax }, () => good))
  expect(told[0]).toMatchObject({ kind: 'misread', of: 'query', about: '2' })
  expect(told.length).toBe(notes.length)
  expect(told.length).toBeLessThanOrEqual(misreadMax + 1)
})
