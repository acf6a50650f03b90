/**
 * The driver at the edges of its world: disks that fail, frames that are rubbish, code that comes late.
 *
 * Not here: libp2p and threads. Three drivers talk through plain function calls, with stores and executors made for the case.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createLocalClient } from '../../src/client/local.ts'
import type { Client } from '../../src/client/types.ts'
import { ShoalError } from '../../src/errors.ts'
import { type ClientId, type Digest, type JobId, type PeerId, shardKey } from '../../src/ids.ts'
import { type Blobs, openBlobs } from '../../src/node/blobs.ts'
import { NodeCore } from '../../src/node/core.ts'
import { DataFiles } from '../../src/node/datafiles.ts'
import { Driver } from '../../src/node/driver.ts'
import { joinFrame, peerMessages } from '../../src/node/messages.ts'
import { openStore, type Store } from '../../src/node/store.ts'
import { codeLookMs } from '../../src/node/supply.ts'
import { openTemporary } from '../../src/node/temporary.ts'
import type { Transport } from '../../src/node/transport.ts'
import { seededRandom } from '../../src/random.ts'
import { encodeOutcome, pack, STATUS, valueAt } from '../../src/tasks/batch.ts'
import type { Executor, ExecutorEvent, RunBatch } from '../../src/tasks/executor/executor.ts'
import { recordOf } from '../tasks/record.ts'

class Peer {
  readonly id: PeerId
  readonly notes: string[] = []
  readonly dropped: string[] = []
  readonly misread: string[] = []
  readonly ran: string[] = []
  readonly driver: Driver
  readonly blobs: Blobs
  readonly client: Client

  constructor(id: string, store: Store, { blobs, files }: { blobs: Blobs; files: DataFiles }, slots: number) {
    this.id = id as PeerId
    this.blobs = blobs
    const executor = new Echo(this, (event) => this.driver.onExecutor(event))
    const me = {
      peer: this.id,
      addresses: [],
      boot: 1,
      storeId: id,
      slots,
      isKeeper: true,
      isLeaving: false,
      isFull: false
    }
    this.driver = new Driver({
      me: { ...me, zone: '', labels: [], resources: [], sources: [], version: '0', incarnation: 0 },
      random: seededRandom(1),
      store,
      blobs,
      files,
      executor,
      onNote: (text) => this.notes.push(text)
    })
    this.client = createLocalClient(this.driver, 'tester')
  }
}

/** Runs nothing: the outcome of a task is its input. It insists that the code be there. */
class Echo implements Executor {
  readonly #peer: Peer
  readonly #onEvent: (event: ExecutorEvent) => void

  constructor(peer: Peer, onEvent: (event: ExecutorEvent) => void) {
    this.#peer = peer
    this.#onEvent = onEvent
  }

  run({ run, slot, attempt, inputs, code }: RunBatch): void {
    expect(this.#peer.blobs.has(code)).toBe(true)
    this.#peer.ran.push(code)
    const values = [...inputs.indexes.keys()].map((at) =>
      encodeOutcome({ status: STATUS.ok, slot, attempt, elapsedMs: 0.01, startedAt: 0 }, valueAt(inputs, at))
    )
    const outcomes = pack('', inputs.indexes, values)
    queueMicrotask(() => this.#onEvent({ kind: 'ended', run, slot, outcomes, done: true }))
  }

  cancel(): void {}
  recall(): void {}

  async close(): Promise<void> {}
}

class Net {
  readonly folders: (() => Promise<void>)[] = []
  readonly peers = new Map<PeerId, Peer>()

  transport(self: Peer): Transport {
    return {
      self: self.id,
      addresses: () => [`/memory/${self.id}`],
      queuedFor: () => 0,
      heldBack: () => {},
      sendPeer: (to, frame) => {
        setImmediate(() =>
          this.peers.get(to)?.driver.onTransport({ kind: 'peer-frame', peer: self.id, frame })
        )
      },
      sendClient: () => {},
      endPeer: () => {},
      dropPeer: (peer, reason) => void self.dropped.push(`${peer}: ${reason}`),
      dropClient: (client, reason) => void self.dropped.push(`${client}: ${reason}`),
      misread: (client, count) => void self.misread.push(`${client}: ${count}`),
      dial: () => {},
      publish: () => {},
      talkTo: () => Promise.reject(new Error('there is no network')),
      isNear: () => false,
      fetchBlob: async (digest, from) => {
        for (const peer of from) {
          const bytes = await this.peers.get(peer)?.blobs.read(digest)
          if (bytes !== undefined) return bytes
        }
        throw new ShoalError('SHOAL_NOT_FOUND', 'nobody has it')
      },
      counters: () => ({}),
      stop: async () => {}
    }
  }

  async add(id: string, store: Store, slots = 1): Promise<Peer> {
    const { folder, close } = await openTemporary()
    this.folders.push(close)
    const disk = {
      blobs: await openBlobs(folder),
      files: await DataFiles.open(folder, { isTemporary: true })
    }
    const peer = new Peer(id, store, disk, slots)
    await peer.driver.restore()
    peer.driver.connect(this.transport(peer))
    for (const other of this.peers.values()) {
      peer.driver.onTransport({ kind: 'peer-connected', peer: other.id, addresses: [] })
      other.driver.onTransport({ kind: 'peer-connected', peer: peer.id, addresses: [] })
    }
    this.peers.set(peer.id, peer)
    return peer
  }
}

let net: Net
beforeEach(() => {
  net = new Net()
})
afterEach(async () => {
  for (const { driver, client, blobs } of net.peers.values()) {
    await client.close()
    driver.stop()
    await blobs.close()
  }
  for (const close of net.folders) await close()
})

/** A disk that is full. */
const full: Store = {
  read: async function* () {},
  write: () => Promise.reject(new ShoalError('SHOAL_DISK', 'the store cannot be written (ENOSPC)')),
  close: async () => {}
}

const echo = (x: number): number => x

test('a node with a full disk keeps nothing, says so, and the mesh goes on', async () => {
  const broken = await net.add('peerA', full)
  const sound = await net.add('peerB', await openStore(undefined))
  await net.add('peerC', await openStore(undefined))
  expect(await sound.client.map(echo, [1, 2, 3])).toEqual([1, 2, 3])
  expect(broken.notes.join('\n')).toMatch(
    /stops keeping shards: .*ENOSPC.*; restart this node once its disk is in order/
  )
  // It still is a way into the mesh, and runs tasks.
  expect(await broken.client.map(echo, [4, 5])).toEqual([4, 5])
  const { nodes } = await sound.client.status()
  expect(nodes.map(({ id, disk }) => [id, disk === 'sound'])).toContainEqual(['peerA', false])
  expect((await sound.client.members()).find(({ id }) => id === 'peerA')?.isKeeper).toBe(false)
})

test('code that nobody needs goes from the disk, and that of what is kept stays', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  try {
    const store = await openStore(undefined)
    const before = await net.add('peerA', store)
    expect(await before.client.map(echo, [1, 2, 3])).toEqual([1, 2, 3])
    const [code] = before.blobs.all() as [Digest]
    const bytes = (await before.blobs.read(code)) as Uint8Array
    await before.client.close()
    before.driver.stop()
    // After a start nobody has asked for it yet.
    const { blobs } = await net.add('peerA', store)
    await blobs.put(bytes)
    const unneeded = await blobs.put(Buffer.from('export default 1'))
    vi.advanceTimersByTime(codeLookMs)
    await vi.waitUntil(() => !blobs.has(unneeded), { interval: 0 })
    expect(blobs.all()).toEqual([code])
  } finally {
    vi.useRealTimers()
  }
})

test('a lone node with a full disk refuses work instead of losing it', async () => {
  const { client } = await net.add('peerA', full)
  await expect(client.submit(echo, [1]).then()).rejects.toMatchObject({ code: 'SHOAL_NO_KEEPERS' })
})

test('frames that are no messages end their stream, and nothing else; one of a client that can be taken apart does not', async () => {
  const a = await net.add('peerA', await openStore(undefined))
  const b = await net.add('peerB', await openStore(undefined))
  const rubbish = [Uint8Array.of(1, 2, 3), Uint8Array.of(1, 0, 0, 0, 255), new Uint8Array(4096).fill(7)]
  for (const frame of rubbish) a.driver.onTransport({ kind: 'peer-frame', peer: b.id, frame })
  const client = 'x#1' as ClientId
  a.driver.onTransport({ kind: 'client-connected', client, peer: 'x' as PeerId })
  for (const frame of rubbish) a.driver.onTransport({ kind: 'client-frame', client, frame })
  a.driver.onTransport({ kind: 'gossip', topic: 'members', from: b.id, body: Uint8Array.of(9) })
  expect(a.dropped).toHaveLength(5)
  expect(a.misread).toEqual(['x#1: 1'])
  expect(a.dropped.every((text) => text.includes('SHOAL_BAD_MESSAGE'))).toBe(true)
  expect(await a.client.map(echo, [1])).toEqual([1])
})

test('a keeper has the code on its disk before it keeps the shard', async () => {
  const a = await net.add('peerA', await openStore(undefined), 0)
  const b = await net.add('peerB', await openStore(undefined))
  const c = await net.add('peerC', await openStore(undefined), 0)
  expect(await a.client.map(echo, [1])).toEqual([1])
  const [code] = b.ran
  const keeping = [a, b, c].filter(({ driver }) => driver.core.keeper.keys().length > 0)
  expect(keeping.length).toBeGreaterThanOrEqual(2)
  for (const { blobs } of keeping) expect(await blobs.read(code as never)).toBeDefined()
})

test('short tasks travel by the hundred, however many there are', async () => {
  const peers = [
    await net.add('peerA', await openStore(undefined)),
    await net.add('peerB', await openStore(undefined)),
    await net.add('peerC', await openStore(undefined))
  ] as const
  const count = 30_000
  const inputs = Array.from({ length: count }, (_, i) => i)
  expect(await peers[0].client.map(echo, inputs)).toEqual(inputs)
  const runs = peers.reduce((sum, { ran }) => sum + ran.length, 0)
  expect(count / runs).toBeGreaterThan(32)
})

test('however long the disk takes, a node does nothing of itself before it has read back all of it', async () => {
  const seconds = async (): Promise<void> => {
    await new Promise(setImmediate)
    await vi.advanceTimersByTimeAsync(10_000)
    await new Promise(setImmediate)
  }
  const store: Store = {
    ...full,
    read: async function* () {
      for (let at = 0; at < 5_000; at++) {
        const key = shardKey(`job-${at + 10_000}` as JobId, 0, 0)
        const record = recordOf('peerA' as PeerId, 1, { key })
        const stored = peerMessages.encode({ kind: 'store', record, isRepair: false })
        yield { key: `s/${key}/0000000000000001`, value: joinFrame([stored]) }
      }
      await seconds()
    }
  }
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const steps = vi.spyOn(NodeCore.prototype, 'step')
  try {
    await net.add('peerA', store)
    await seconds()
    const heard = steps.mock.calls.map(([{ kind }]) => kind)
    expect(heard.slice(0, 4)).toEqual(['data-here', 'restoring', 'restoring', 'restored'])
    expect(heard).toContain('wake')
  } finally {
    steps.mockRestore()
    vi.useRealTimers()
  }
})

test('a node that comes back from its disk knows what it kept', async () => {
  const store = await openStore(undefined)
  const before = await net.add('peerA', store)
  const job = before.client.map(echo, [1, 2, 3])
  expect(await job).toEqual([1, 2, 3])
  before.driver.stop()
  net.peers.clear()
  const after = await net.add('peerA', store)
  expect(await after.client.job(job.id)).toEqual([1, 2, 3])
})
