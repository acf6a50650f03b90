/**
 * Two keepers that meet again: they find what differs, and the cost of that does not grow with what they have in common.
 *
 * Not here: whole meshes (the simulator), and real disks (test/integration/forgetting.test.ts).
 */
import { expect, test } from 'vitest'
import { type JobId, type PeerId, type ShardKey, shardKey } from '../../src/ids.ts'
import { peerMessages } from '../../src/node/messages.ts'
import { seededRandom } from '../../src/random.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Persist, Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { TaskMessage } from '../../src/tasks/messages.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { Reconcile } from '../../src/tasks/reconcile.ts'
import { headerOf } from './header.ts'
import { recordOf } from './record.ts'

const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]

/** A node with nothing but what keepers need. */
class Half {
  readonly keeper: Keeper
  readonly owner: Owner
  readonly reconcile: Reconcile

  constructor(self: PeerId, other: PeerId) {
    this.keeper = new Keeper(self)
    const { keeper } = this
    const view = {
      self,
      keeper,
      peers: () => [other],
      neighbours: () => [other],
      isUp: () => true,
      canVote: () => true,
      isGone: () => false,
      holders: () => undefined,
      member: () => undefined,
      mayKnow: () => []
    }
    this.owner = new Owner({ ...view, keepersFor: () => [a, b], situation: () => '' }, seededRandom(1))
    this.reconcile = new Reconcile(view, seededRandom(2), 0)
  }

  receive(from: PeerId, message: TaskMessage, now: number): (Send | Persist)[] {
    return [
      ...this.keeper.step(from, message),
      ...this.owner.message(from, message, now),
      ...this.reconcile.message(from, message)
    ]
  }
}

class Pair {
  readonly halves = new Map([
    [a, new Half(a, b)],
    [b, new Half(b, a)]
  ])
  bytes = 0
  #now = 0

  at(peer: PeerId): Half {
    return this.halves.get(peer) as Half
  }

  /** Writes a shard of one task with its outcome into a keeper; with `isSettled`, as one that is over. */
  keep(at: PeerId, key: ShardKey, isSettled: boolean, value = 1): void {
    const { keeper } = this.at(at)
    const header = { ...plain, job: key.split('/')[0] as JobId }
    const inputs = pack('', [0], [new Uint8Array(8)])
    const record = {
      key,
      ...firstSeating([a, b]),
      copies: 2,
      header,
      first: 0,
      count: 1,
      shards: 1,
      inputs,
      root: [],
      needs: []
    }
    const outcome = encodeOutcome(
      { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: value, startedAt: 5 },
      Uint8Array.of(value)
    )
    keeper.step(a, { kind: 'store', record, isRepair: true })
    keeper.step(a, {
      kind: 'accept',
      key,
      list: 0,
      ballot: 0,
      serial: 1,
      outcomes: pack(a, [0], [outcome])
    })
    if (isSettled) keeper.step(a, { kind: 'settle', key, list: 0, ballot: 0, by: 0 })
  }

  /** They meet, and talk until there is nothing more to say. */
  meet(): void {
    this.#deliver(
      [a, b].flatMap((from) =>
        this.at(from)
          .reconcile.peerUp(from === a ? b : a)
          .map((effect) => [from, effect] as const)
      )
    )
    // What one of them owns for a moment, it lets go a little later.
    this.#now += 1_000
    this.#deliver(
      [a, b].flatMap((from) =>
        this.at(from)
          .owner.wake(this.#now)
          .map((effect) => [from, effect] as const)
      )
    )
  }

  #deliver(first: (readonly [PeerId, Send])[]): void {
    let mail = first
    for (let round = 0; mail.length > 0 && round < 20; round++) {
      mail = mail.flatMap(([from, { to, message }]) => {
        if (to !== from) this.bytes += peerMessages.encode(message).byteLength
        const effects = this.at(to).receive(from, message, this.#now)
        const sends = effects.flatMap((effect) => (effect.kind === 'send' ? [effect] : [...effect.then]))
        return sends.map((effect) => [to, effect] as const)
      })
    }
    expect(mail).toEqual([])
  }
}

const plain = headerOf()
const keyOf = (i: number): ShardKey => shardKey(`job-${String(i).padStart(8, '0')}` as JobId, 0, 0)

test('of 10,000 finished shards three differ: they are found with less than 64 KiB', () => {
  const pair = new Pair()
  const odd = [17, 4_242, 9_999]
  for (let i = 0; i < 10_000; i++) {
    pair.keep(a, keyOf(i), true)
    // One that a node does not know to be over, one that it has never heard of, one that it forgot.
    if (i !== odd[1]) pair.keep(b, keyOf(i), i !== odd[0])
  }
  pair.at(b).keeper.step(a, { kind: 'forget', name: keyOf(9_999).split('/')[0] as JobId })
  pair.meet()
  expect(pair.bytes).toBeLessThan(64 << 10)
  const [first, second, third] = odd.map(keyOf) as [ShardKey, ShardKey, ShardKey]
  expect(pair.at(b).keeper.isSettled(first)).toBe(true)
  expect(pair.at(b).keeper.isSettled(second)).toBe(true)
  expect(pair.at(a).keeper.isForgotten(third)).toBe(true)
  expect(pair.at(a).keeper.keys()).toHaveLength(9_999)
  // And once they agree, a meeting costs one number for each group.
  pair.bytes = 0
  for (const peer of [a, b])
    expect(
      pair
        .at(peer)
        .keeper.keys()
        .filter((key) => pair.at(peer).keeper.isSettled(key)).length
    ).toBeGreaterThan(9_997)
  pair.meet()
  expect(pair.bytes).toBeLessThan(3 << 10)
})

test('a history ten times as long does not cost more', () => {
  const bytesFor = (shards: number): number => {
    const pair = new Pair()
    for (let i = 0; i < shards; i++) {
      pair.keep(a, keyOf(i), true)
      pair.keep(b, keyOf(i), i !== 3)
    }
    pair.meet()
    return pair.bytes
  }
  const [short, long] = [bytesFor(400), bytesFor(4_000)]
  expect(long).toBeLessThan(2 * short)
})

test('with whom a keeper shares one shard of many, it compares as soon as with the others', () => {
  const [c, d] = ['peerC', 'peerD'] as [PeerId, PeerId]
  const keeper = new Keeper(a)
  for (let i = 0; i < 300; i++) {
    const key = keyOf(i)
    const record = recordOf(a, 1, { key, ...firstSeating([a, i === 0 ? c : i === 1 ? d : b]) })
    const outcomes = pack(a, [0], [new Uint8Array(1)])
    keeper.step(a, { kind: 'store', record, isRepair: true })
    keeper.step(a, { kind: 'accept', key, list: 0, ballot: 0, serial: 1, outcomes })
    keeper.step(a, { kind: 'settle', key, list: 0, ballot: 0, by: 0 })
  }
  const reconcile = new Reconcile({ self: a, keeper, peers: () => [b, c, d] }, seededRandom(3), 0)
  const turns = [1, 2, 3, 4].map((turn) => reconcile.wake(turn * 30_000).map(({ to }) => to))
  expect(turns.slice(0, 3).flat().toSorted()).toEqual([b, c, d])
  expect(turns[3]).toEqual(turns[0])
})

test('with a job, a keeper also forgets where its shards went that it kept once', () => {
  const pair = new Pair()
  const key = keyOf(1)
  pair.keep(a, key, false)
  const { keeper } = pair.at(a)
  keeper.step(b, { kind: 'moved', key, list: 1, keepers: [b], seats: [1] })
  expect(keeper.movedTo(key)).toBeDefined()
  const effects = keeper.step(b, { kind: 'forget', name: key.split('/')[0] as JobId })
  expect(keeper.movedTo(key)).toBeUndefined()
  // Its record on disk goes too.
  const gone = effects.filter((effect) => effect.kind === 'persist' && effect.key === key)
  expect(gone).toMatchObject([{ messages: [], replaces: true }])
})
