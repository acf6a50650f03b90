/**
 * What an owner makes of runs that bring nothing: whom it blames, what it tells of them, and whose waiting it ends.
 *
 * Not here: engines (executor/loss.test.ts) and the protocol under faults, which is the simulator's.
 * The owner and the keeper are real, alone in their world; the nodes that ask for work are played by the test.
 */
import { expect, test } from 'vitest'
import { decodeFailure } from '../../src/client/values.ts'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import {
  encodeOutcome,
  OUTCOME_HEADER_BYTES,
  pack,
  readOutcomeHeader,
  STATUS,
  type Status,
  valueAt
} from '../../src/tasks/batch.ts'
import type { Persist, Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { JobHeader, TaskMessage, TaskMessageOf } from '../../src/tasks/messages.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { splitStory } from '../../src/tasks/story.ts'
import { headerOf } from './header.ts'

const [self, reader] = ['peerA', 'reader'] as [PeerId, PeerId]
const key = 'abcdefgh/0/0' as ShardKey
const plain = headerOf()
const nodes = (count: number): PeerId[] => Array.from({ length: count }, (_, i) => `node${i + 1}` as PeerId)
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

interface Ended {
  readonly code: string
  readonly message: string
  readonly attempt: number
  readonly earlier: readonly string[]
}

/** One shard at its only keeper, which owns it. */
class Solo {
  owner: Owner
  readonly keeper = new Keeper(self)
  readonly ended = new Map<number, Ended>()
  /** What was sent to each node since it was looked at. */
  readonly sent = new Map<PeerId, TaskMessage[]>()
  readonly #down = new Set<PeerId>()

  constructor(count: number, more: Partial<JobHeader> = {}) {
    this.owner = this.#newOwner()
    const inputs = pack('', upTo(count), new Array(count).fill(new Uint8Array(1)))
    const header = { ...plain, ...more }
    const record = {
      key,
      ...firstSeating([self]),
      copies: 1,
      header,
      first: 0,
      count,
      shards: 1,
      inputs,
      root: [],
      needs: []
    }
    const store = { kind: 'store', record, isRepair: false } as const
    this.says(self, store, 0)
    this.says(reader, { kind: 'watch', key, have: new Uint32Array(0) }, 0)
  }

  #newOwner(): Owner {
    const isUp = (peer: PeerId): boolean => !this.#down.has(peer)
    const view = {
      isUp,
      isGone: () => false,
      holders: () => undefined,
      neighbours: () => nodes(6),
      keepersFor: () => [self],
      member: () => undefined,
      mayKnow: () => []
    }
    return new Owner({ self, keeper: this.keeper, ...view, situation: () => '' }, seededRandom(1))
  }

  says(from: PeerId, message: TaskMessage, now: number): void {
    if (message.kind === 'store') this.#perform(this.keeper.step(from, message), now)
    else if (from === self) this.#perform(this.keeper.step(from, message), now)
    if (message.kind === 'store') this.owner.kept(from, message, now)
    this.#perform(this.owner.message(from, message, now), now)
  }

  #perform(effects: readonly (Send | Persist)[], now: number): void {
    for (const effect of effects) {
      if (effect.kind === 'persist') this.#perform(effect.then, now)
      else if (effect.to === self) this.says(self, effect.message, now)
      else if (effect.to === reader) this.#read(effect.message)
      else this.sent.set(effect.to, [...(this.sent.get(effect.to) ?? []), effect.message])
    }
    this.owner.check()
  }

  #read(message: TaskMessage): void {
    if (message.kind !== 'committed') return
    for (const [at, index] of message.outcomes.indexes.entries()) {
      const { outcome, told } = splitStory(valueAt(message.outcomes, at))
      const { status, attempt } = readOutcomeHeader(outcome)
      const isFailed = status === STATUS.error || status === STATUS.timedOut
      const failure = isFailed ? decodeFailure(outcome.subarray(OUTCOME_HEADER_BYTES)) : undefined
      const earlier = told.map((one) => `${one.attempt} ${one.how} on ${one.engine}`)
      const code = failure?.code ?? (status === STATUS.cancelled ? 'cancelled' : 'ok')
      this.ended.set(index, { code, message: failure?.message ?? '', attempt, earlier })
    }
  }

  /** Wakes the owner until nothing is due. */
  at(now: number): void {
    this.#perform(this.owner.wake(now), now)
    while (this.owner.hasNews) this.#perform(this.owner.flush(now), now)
  }

  claim(peer: PeerId, tasks: number, received: number, now: number): void {
    this.says(peer, { kind: 'claim', tasks, received, room: [], isLast: false, depth: 0 }, now)
    this.at(now)
  }

  /** What `peer` was granted since the last look. */
  granted(peer: PeerId): TaskMessageOf<'grant'>[] {
    const grants = (this.sent.get(peer) ?? []).filter((one) => one.kind === 'grant')
    this.sent.delete(peer)
    return grants
  }

  outcome(peer: PeerId, index: number, status: Status, attempt: number, now: number, payload = ''): void {
    const header = { status, slot: 3, attempt, elapsedMs: 5, startedAt: 1_000 }
    const outcome = encodeOutcome(header, Buffer.from(payload))
    this.says(peer, { kind: 'outcomes', key, outcomes: pack(peer, [index], [outcome]) }, now)
    this.at(now)
  }

  lose(peer: PeerId, now: number): void {
    this.#down.add(peer)
    this.#perform(this.owner.peerDown(peer, now), now)
    this.at(now)
  }

  back(peer: PeerId): void {
    this.#down.delete(peer)
  }

  restart(now: number): void {
    this.owner = this.#newOwner()
    this.owner.restored(now)
    this.says(reader, { kind: 'watch', key, have: new Uint32Array(0) }, now)
  }
}

const failure = (code: string): string => JSON.stringify({ code, name: code, message: 'no', stack: '' })

test('a task that ends three engines fails and names them; its neighbours run once', () => {
  const solo = new Solo(10)
  for (const [i, peer] of nodes(3).entries()) {
    solo.claim(peer, 10, 0, i * 10)
    for (const { inputs, attempt } of solo.granted(peer)) {
      for (const index of inputs.indexes) {
        const status = index === 4 ? STATUS.lost : STATUS.ok
        solo.outcome(peer, index, status, attempt, i * 10, index === 4 ? `code ${i}` : '')
      }
    }
  }
  // Grants get smaller towards the end; the rest goes to the last.
  for (let round = 0; solo.ended.size < 10 && round < 20; round++) {
    for (const peer of nodes(6)) {
      solo.claim(peer, 10, 0, 100 + round)
      for (const { inputs, attempt } of solo.granted(peer))
        for (const index of inputs.indexes)
          solo.outcome(peer, index, index === 4 ? STATUS.lost : STATUS.ok, attempt, 100 + round, 'code 9')
    }
  }
  const { code, message, earlier } = solo.ended.get(4) ?? {}
  expect(code).toBe('TASK_POISONED')
  expect(earlier).toHaveLength(3)
  expect(message).toMatch(
    /^abcdefgh:4 ended 3 engines: node\d\/3 \(code \d\), node\d\/3 \(code \d\), node\d\/3 \(code \d\);/
  )
  const others = upTo(10).filter((index) => index !== 4)
  expect(others.map((index) => solo.ended.get(index))).toEqual(
    others.map(() => ({ code: 'ok', message: '', attempt: 1, earlier: [] }))
  )
  expect(solo.owner.dealer.waste).toEqual({ lost: 3, dropped: 0 })
})

test.each([
  [20, 5],
  [200, 77],
  [200, 199]
])(
  'of %i tasks, one takes whole nodes down: it is found, and of those that were there none fails',
  (count, killer) => {
    const solo = new Solo(count)
    const up = new Set(nodes(6))
    const received = new Map<PeerId, number>()
    let now = 0
    for (let round = 0; solo.ended.size < count && round < 300; round++) {
      for (const peer of up) {
        solo.claim(peer, 64, received.get(peer) ?? 0, ++now)
        const grants = solo.granted(peer)
        const indexes = grants.flatMap(({ inputs }) => [...inputs.indexes])
        received.set(peer, (received.get(peer) ?? 0) + indexes.length)
        if (indexes.includes(killer)) {
          up.delete(peer)
          const { attempt } = grants.find(({ inputs }) => inputs.indexes.includes(killer)) ?? { attempt: 1 }
          solo.says(peer, { kind: 'begun', key, attempt, indexes: Uint32Array.of(killer) }, now)
          solo.lose(peer, ++now)
          continue
        }
        for (const { inputs, attempt } of grants)
          for (const index of inputs.indexes) solo.outcome(peer, index, STATUS.ok, attempt, now)
      }
    }
    expect(6 - up.size).toBe(3)
    expect(solo.ended.get(killer)?.code).toBe('TASK_POISONED')
    expect(solo.ended.get(killer)?.message).toMatch(/ended 3 engines: node\d, node\d, node\d;/)
    expect([...solo.ended.values()].filter(({ code }) => code !== 'ok')).toHaveLength(1)
    expect(solo.ended.size).toBe(count)
  }
)

test('who was held by one lost node after another, and never began, is not blamed', () => {
  const solo = new Solo(1)
  const all = nodes(6)
  for (const [i, peer] of all.slice(0, 5).entries()) {
    solo.claim(peer, 1, 0, 2 * i + 1)
    solo.lose(peer, 2 * i + 2)
  }
  expect(solo.ended.size).toBe(0)
  const last = all[5] as PeerId
  solo.claim(last, 1, 0, 20)
  const [grant] = solo.granted(last)
  solo.outcome(last, 0, STATUS.ok, grant?.attempt ?? 0, 21)
  expect(solo.ended.get(0)?.code).toBe('ok')
})

test('an outcome tells of the attempts before it: where, and how each ended', () => {
  const solo = new Solo(1, { retries: 2 })
  const [a, b, c] = nodes(3) as [PeerId, PeerId, PeerId]
  solo.claim(c, 1, 0, 1)
  // Handed on before it began: that was no attempt.
  solo.says(c, { kind: 'handback', key, attempt: 1, isStarted: false, indexes: Uint32Array.of(0) }, 1)
  solo.claim(a, 1, 0, 1)
  solo.says(a, { kind: 'handback', key, attempt: 1, isStarted: true, indexes: Uint32Array.of(0) }, 2)
  solo.claim(b, 1, 0, 3)
  solo.outcome(b, 0, STATUS.timedOut, 2, 4, failure('TASK_TIMEOUT'))
  solo.claim(c, 1, 1, 5)
  solo.outcome(c, 0, STATUS.error, 3, 6, failure('TASK_FAILED'))
  solo.claim(a, 1, 1, 7)
  solo.outcome(a, 0, STATUS.ok, 4, 8)
  expect(solo.ended.get(0)).toEqual({
    code: 'ok',
    message: '',
    attempt: 4,
    earlier: ['1 handed back on node1', '2 timed out on node2/3', '3 failed on node3/3']
  })
})

test('a timeout counts against retries', () => {
  const solo = new Solo(1, { retries: 1 })
  const [a, b] = nodes(2) as [PeerId, PeerId]
  solo.claim(a, 1, 0, 1)
  solo.outcome(a, 0, STATUS.timedOut, 1, 2, failure('TASK_TIMEOUT'))
  expect(solo.ended.size).toBe(0)
  solo.claim(b, 1, 0, 3)
  solo.outcome(b, 0, STATUS.timedOut, 2, 4, failure('TASK_TIMEOUT'))
  expect(solo.ended.get(0)).toMatchObject({ code: 'TASK_TIMEOUT', attempt: 2 })
})

test('a run that comes too late is counted once, and the committed one said again is not', () => {
  const solo = new Solo(1)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  solo.claim(a, 1, 0, 1)
  solo.lose(a, 2)
  solo.claim(b, 1, 0, 3)
  solo.outcome(b, 0, STATUS.ok, 2, 4)
  solo.outcome(b, 0, STATUS.ok, 2, 5)
  expect(solo.owner.dealer.waste).toEqual({ lost: 1, dropped: 0 })
  for (const now of [6, 7]) solo.outcome(a, 0, STATUS.ok, 1, now)
  expect(solo.owner.dealer.waste).toEqual({ lost: 1, dropped: 1 })
})

test('who runs what has ended already is told to stop', () => {
  const solo = new Solo(2)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  solo.claim(a, 1, 0, 1)
  solo.lose(a, 2)
  solo.claim(b, 2, 0, 3)
  solo.outcome(b, 0, STATUS.ok, 2, 4)
  solo.sent.clear()
  solo.back(a)
  solo.says(a, { kind: 'holding', key, attempt: 1, indexes: Uint32Array.of(0) }, 5)
  expect(solo.sent.get(a)).toEqual([{ kind: 'revoke', key, indexes: Uint32Array.of(0) }])
})

test('queueTimeout fails what nobody began, at its time, and says so', () => {
  const solo = new Solo(3, { queueTimeoutMs: 500 })
  solo.claim(nodes(1)[0] as PeerId, 1, 0, 100)
  solo.at(499)
  expect(solo.ended.size).toBe(0)
  expect(solo.owner.wakeAt(499)).toBe(500)
  solo.at(500)
  expect([...solo.ended.keys()]).toEqual([1, 2])
  expect(solo.ended.get(1)).toMatchObject({ code: 'TASK_QUEUE_TIMEOUT', earlier: [] })
  expect(solo.ended.get(1)?.message).toContain('was not begun within its queueTimeout of 500 ms')
})

test('queueTimeout never touches a task that began, also if it has to begin again', () => {
  const solo = new Solo(3, { queueTimeoutMs: 500, retries: 1 })
  const [a, b, c] = nodes(3) as [PeerId, PeerId, PeerId]
  solo.claim(a, 1, 0, 1)
  solo.claim(b, 1, 0, 1)
  solo.claim(c, 1, 0, 1)
  solo.lose(a, 200)
  solo.at(2_000)
  solo.outcome(b, 1, STATUS.error, 1, 2_002, failure('TASK_FAILED'))
  solo.at(9_000)
  expect(solo.ended.size).toBe(0)
  solo.claim(c, 3, 1, 9_001)
  for (const [index, attempt] of [
    [0, 2],
    [1, 2],
    [2, 1]
  ] as const)
    solo.outcome(c, index, STATUS.ok, attempt, 9_002)
  expect([...solo.ended.values()].map(({ code }) => code)).toEqual(['ok', 'ok', 'ok'])
})

test('a task that comes back unbegun after its queueTimeout fails then', () => {
  const solo = new Solo(1, { queueTimeoutMs: 500 })
  const [a] = nodes(1) as [PeerId]
  solo.claim(a, 1, 0, 1)
  solo.at(600)
  expect(solo.ended.size).toBe(0)
  solo.says(a, { kind: 'handback', key, attempt: 1, isStarted: false, indexes: Uint32Array.of(0) }, 700)
  solo.at(solo.owner.wakeAt(700) ?? 0)
  expect(solo.ended.get(0)).toMatchObject({ code: 'TASK_QUEUE_TIMEOUT', earlier: [] })
})

test('a new owner counts queueTimeout anew, and does not touch what it hears to be running', () => {
  const solo = new Solo(2, { queueTimeoutMs: 500 })
  const [a] = nodes(1) as [PeerId]
  solo.claim(a, 1, 0, 1)
  solo.restart(400)
  let now = 400
  while (now < 10_000 && solo.sent.get(a)?.at(-1)?.kind !== 'leading') {
    now = Math.max(now + 1, solo.owner.wakeAt(now) ?? 0)
    solo.at(now)
  }
  const tookOverAt = now
  solo.says(a, { kind: 'holding', key, attempt: 1, indexes: Uint32Array.of(0) }, now)
  solo.at(tookOverAt + 500)
  expect(solo.ended.size).toBe(0)
  // From when it may grant, which is a little later than when it owns.
  solo.at(tookOverAt + 1_000)
  expect([...solo.ended]).toMatchObject([[1, { code: 'TASK_QUEUE_TIMEOUT' }]])
  solo.outcome(a, 0, STATUS.ok, 1, tookOverAt + 5_000)
  expect(solo.ended.get(0)?.code).toBe('ok')
})

test('who is no member is granted nothing, and nothing waits for it', () => {
  const solo = new Solo(4, { retries: 1 })
  const [a, ghost] = nodes(2) as [PeerId, PeerId]
  solo.lose(ghost, 1)
  solo.claim(ghost, 1_000, 0, 2)
  expect(solo.granted(ghost)).toEqual([])
  solo.claim(a, 1, 0, 3)
  const [grant] = solo.granted(a)
  const index = grant?.inputs.indexes[0] ?? -1
  // Tried again elsewhere, if there were an elsewhere.
  solo.outcome(a, index, STATUS.error, 1, 4, failure('TASK_FAILED'))
  solo.claim(a, 4, 1, 5)
  expect(solo.granted(a).flatMap(({ inputs }) => [...inputs.indexes])).toContain(index)
  expect(solo.granted(ghost)).toEqual([])
})
