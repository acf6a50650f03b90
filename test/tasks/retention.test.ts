/**
 * When the time of a job's results is over: counted from its last task, and not anew with every restart.
 *
 * Not here: real disks (test/integration/forgetting.test.ts), and whole meshes (the simulator, `no-lost`).
 */
import { expect, test } from 'vitest'
import { type Digest, type JobId, type PeerId, type ShardKey, shardKey } from '../../src/ids.ts'
import { anywhere } from '../../src/routing/requirement.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Persist, Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import { encodePlacement, placementBase, type TaskMessage } from '../../src/tasks/messages.ts'
import { Retention } from '../../src/tasks/retention.ts'

const self = 'peerA' as PeerId
const job = 'job-0001' as JobId
const [first, second] = [shardKey(job, 0, 0), shardKey(job, 1, 0)]
const hour = 3_600_000

/** A node with a disk on which everything is at once. */
class Node {
  readonly keeper = new Keeper(self)
  readonly retention: Retention
  readonly disk: TaskMessage[]

  constructor(now: number, disk: readonly TaskMessage[] = []) {
    this.disk = [...disk]
    this.keeper.uptime.pass(now)
    for (const message of disk) this.keeper.restore(message)
    const { keeper } = this
    this.retention = new Retention({ self, keeper, isUp: () => true, peers: () => [] })
  }

  /** A shard of one task, of a job with two shards, is stored and settled. */
  settle(key: ShardKey, retentionMs: number): void {
    const of = {
      name: '',
      code: 'c'.repeat(43) as Digest,
      exportName: '',
      retries: 0,
      timeoutMs: 0,
      priority: 0
    }
    const limits = {
      queueTimeoutMs: 0,
      retentionMs,
      atMostOnce: false,
      submitter: '',
      requires: anywhere,
      depth: 0,
      around: [],
      parent: []
    }
    const header = { job, submittedAt: 0, ...of, ...limits }
    const inputs = pack('', [0], [new Uint8Array(0)])
    const size = { copies: 1, header, first: 0, count: 1, shards: 2, inputs, root: [], needs: [] }
    const values: [number, Uint8Array][] = [
      [
        0,
        encodeOutcome(
          { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 },
          new Uint8Array(0)
        )
      ]
    ]
    if (key === first)
      values.push([placementBase + 1, encodePlacement({ key: second, keepers: [self], first: 1, count: 1 })])
    const outcomes = pack(
      '',
      values.map(([index]) => index),
      values.map(([, value]) => value)
    )
    this.#hear({ kind: 'store', record: { key, ...firstSeating([self]), ...size }, isRepair: false })
    this.#hear({ kind: 'accept', key, list: 0, ballot: 0, serial: 1, outcomes })
    this.#hear({ kind: 'settle', key, list: 0, ballot: 0, by: 0 })
  }

  /** Lets time pass; whatever it asks itself is answered. True if the job's time is over. */
  wake(now: number): boolean {
    this.keeper.uptime.pass(now)
    const { over, effects } = this.retention.wake(now)
    const queue: (Send | Persist)[] = [...effects]
    for (const effect of queue) {
      if (effect.kind === 'persist') this.disk.push(...effect.messages)
      else queue.push(...this.retention.message(self, effect.message, now))
    }
    return over.includes(job)
  }

  #hear(message: TaskMessage): void {
    for (const effect of this.keeper.step(self, message))
      if (effect.kind === 'persist') this.disk.push(...effect.messages)
  }
}

test('the time of a job begins with the end of its last task', () => {
  const node = new Node(0)
  node.settle(first, hour)
  expect(node.wake(2 * hour)).toBe(false)
  node.settle(second, hour)
  expect(node.wake(2 * hour + 10_000)).toBe(false)
  expect(node.wake(3 * hour - 10_000)).toBe(false)
  node.wake(3 * hour)
  expect(node.wake(3 * hour + 10_000)).toBe(true)
})

test('a restart does not make it longer by more than a minute, nor shorter at all', () => {
  let node = new Node(0)
  node.settle(first, hour)
  node.settle(second, hour)
  let ran = 0
  // Lives of ten minutes, each by a clock of its own.
  for (let life = 0; life < 6; life++) {
    for (let now = 0; now < 600_000; now += 5_000) expect(node.wake(1e6 * life + now)).toBe(false)
    ran += 595_000
    node = new Node(1e6 * (life + 1), node.disk)
    expect(node.keeper.settledFor(first)).toBeLessThanOrEqual(ran)
    expect(node.keeper.settledFor(first)).toBeGreaterThan(ran - 60_000 * (life + 1))
  }
  const began = 1e7
  node = new Node(began, node.disk)
  const left = hour - node.keeper.settledFor(first)
  node.wake(began + left)
  expect(node.wake(began + left + 10_000)).toBe(true)
})
