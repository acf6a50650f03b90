/**
 * What an owner makes of runs that bring nothing: whom it blames, what it tells of them, and whose waiting it ends.
 *
 * Not here: engines (executor/loss.test.ts) and the protocol under faults, which is the simulator's.
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { requirementOf } from '../../src/routing/requirement.ts'
import { pack, STATUS } from '../../src/tasks/batch.ts'
import { attemptBase, startIndex } from '../../src/tasks/messages.ts'

import { upTo } from './record.ts'
import { key, nodes, reader, Solo, self } from './solo.ts'

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
    others.map(() => ({ code: 'ok', message: '', attempt: 1, earlier: [], stdout: '' }))
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
    earlier: ['1 handed back on node1', '2 timed out on node2/3', '3 failed on node3/3'],
    stdout: ''
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

test('queueTimeout of a task for certain engines names those that are not there', () => {
  const solo = new Solo(1, { queueTimeoutMs: 500, requires: requirementOf({}, ['gone', 'node1/7']) })
  solo.at(500)
  expect(solo.ended.get(0)).toMatchObject({
    code: 'TASK_QUEUE_TIMEOUT',
    message: expect.stringMatching(/queueTimeout of 500 ms: none of its targets is up: gone, node1\/7$/)
  })
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

test.each([
  { says: 'ends it', code: 'ok' },
  { says: 'has not got it', code: 'TASK_UNKNOWN' },
  { says: 'is lost', code: 'TASK_UNKNOWN' }
])(
  'a new owner leaves what may run once to who had begun it, whatever its queueTimeout: that one $says',
  ({ says, code }) => {
    const solo = new Solo(1, { atMostOnce: true, queueTimeoutMs: 500 })
    const [a, b] = nodes(2) as [PeerId, PeerId]
    solo.says(reader, { kind: 'propose', key, outcomes: pack('', [startIndex], [new Uint8Array(0)]) }, 0)
    solo.claim(a, 1, 0, 1)
    expect(solo.granted(a).length).toBe(1)
    solo.restart(400)
    solo.claim(b, 1, 0, 401)
    for (let now = 450; now < 100_000; now += 500) solo.at(now)
    expect(solo.ended.size).toBe(0)
    if (says === 'ends it') solo.outcome(a, 0, STATUS.ok, 1, 100_000)
    else if (says === 'is lost') solo.lose(a, 100_000)
    else solo.says(a, { kind: 'missing', key, indexes: Uint32Array.of(0) }, 100_000)
    for (let now = 100_001; now < 120_000; now += 500) solo.at(now)
    expect(solo.ended.get(0)).toMatchObject({ code, attempt: 1 })
    // Nobody said where on that node.
    if (code !== 'ok') expect(solo.ended.get(0)?.earlier).toEqual(['1 lost on node1'])
    expect(solo.granted(b)).toEqual([])
  }
)

test.each([
  { how: 'its engine was lost', status: STATUS.lost, reason: 'code 9' },
  { how: 'an owner before had it ended', status: STATUS.cancelled, reason: '' }
])(
  'the engine of what was to run once is named, though nobody knows how it ended: $how',
  ({ status, reason }) => {
    const solo = new Solo(1, { atMostOnce: true })
    const [a] = nodes(1) as [PeerId]
    solo.says(reader, { kind: 'propose', key, outcomes: pack('', [startIndex], [new Uint8Array(0)]) }, 0)
    solo.claim(a, 1, 0, 1)
    solo.outcome(a, 0, status, 1, 2, reason, 'half of it')
    expect(solo.ended.get(0)).toMatchObject({
      code: 'TASK_UNKNOWN',
      attempt: 1,
      earlier: ['1 lost on node1/3'],
      stdout: 'half of it'
    })
    expect(solo.ended.get(0)?.message).toContain(`its engine, node1/3${reason && ` (${reason})`}, was lost`)
  }
)

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

test('a task is tried where it did not fail yet, and where it did only if nobody else is free', () => {
  const solo = new Solo(1, { retries: 9 })
  const [a, b, c] = nodes(3) as [PeerId, PeerId, PeerId]
  /** What each was granted since the last look. */
  const attempts = (): number[][] => [a, b, c].map((peer) => solo.granted(peer).map(({ attempt }) => attempt))
  solo.claim(a, 1, 0, 1)
  solo.claim(b, 1, 0, 1)
  solo.claim(c, 1, 0, 1)
  expect(attempts()).toEqual([[1], [], []])
  const fail = (peer: PeerId, attempt: number, now: number): void =>
    solo.outcome(peer, 0, STATUS.error, attempt, now, failure('TASK_FAILED'))
  // All three are free again when it fails at the second.
  solo.claim(a, 1, 1, 2)
  fail(a, 1, 2)
  expect(attempts()).toEqual([[], [2], []])
  fail(b, 2, 3)
  expect(attempts()).toEqual([[], [], [3]])
  // The third and the second have nothing free, or say nothing.
  fail(c, 3, 4)
  expect(attempts()).toEqual([[4], [], []])
})

test('single tasks are cancelled whether they run or wait, and no others; what has ended stays as it is', () => {
  const solo = new Solo(6)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  solo.claim(a, 2, 0, 1)
  solo.claim(b, 1, 0, 1)
  const [first = 0, second = 0] = solo.granted(a).flatMap(({ inputs }) => [...inputs.indexes])
  const [third = 0] = solo.granted(b).flatMap(({ inputs }) => [...inputs.indexes])
  solo.outcome(a, first, STATUS.ok, 1, 2)
  const indexes = Uint32Array.of(first, second, 5, 77)
  solo.says(reader, { kind: 'cancel-tasks', key, indexes }, 3)
  solo.says(reader, { kind: 'cancel-tasks', key, indexes }, 3)
  solo.at(3)
  const revoked = (peer: PeerId): number[] =>
    (solo.sent.get(peer) ?? []).flatMap((one) => (one.kind === 'revoke' ? [...one.indexes] : []))
  expect([revoked(a), revoked(b)]).toEqual([[second], []])
  expect([...solo.ended].map(([index, { code }]) => [index, code])).toEqual([
    [first, 'ok'],
    [second, 'cancelled'],
    [5, 'cancelled']
  ])
  // What was revoked may have ended before it heard of it.
  solo.outcome(a, second, STATUS.ok, 1, 4)
  solo.outcome(b, third, STATUS.ok, 1, 4)
  solo.claim(a, 9, 2, 5)
  const rest = solo.granted(a).flatMap(({ inputs }) => [...inputs.indexes])
  expect(rest).toEqual(upTo(6).filter((index) => ![first, second, third, 5].includes(index)))
  expect(solo.ended.get(second)?.code).toBe('cancelled')
})

test('an owner that hears who owns the same list by a higher ballot grants nothing any more', () => {
  const solo = new Solo(2)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  const leading = { kind: 'leading', key, list: 0, keepers: [self], seats: [0] } as const
  solo.says(b, { ...leading, ballot: 0 }, 1)
  solo.claim(a, 1, 0, 2)
  expect(solo.granted(a)).toHaveLength(1)
  solo.says(b, { ...leading, ballot: 65_536 }, 3)
  solo.claim(b, 1, 0, 4)
  expect(solo.granted(b)).toEqual([])
})

test('an owner whose own keeper is sent what another one proposes by a higher ballot sends those there that run something', () => {
  const [a, b] = nodes(2) as [PeerId, PeerId]
  const list = { keepers: [self, b], seats: [0, 1] }
  const solo = new Solo(2, {}, list)
  solo.claim(a, 1, 0, 1)
  const [{ inputs: { indexes } = pack('', [], []) } = {}] = solo.granted(a)
  expect(indexes).toHaveLength(1)
  const taken = { key, list: 0, ballot: 65_537 } as const
  // It was out of reach when that one began, and itself proposes nothing as long as its task runs.
  const mark = pack('', [attemptBase + 2], [new Uint8Array(0)])
  solo.says(b, { kind: 'accept', ...taken, serial: 1, outcomes: mark }, 2)
  solo.says(a, { kind: 'holding', key, attempt: 1, indexes }, 3)
  expect(solo.sent.get(a)).toEqual([{ kind: 'leading', ...taken, ...list }])
})

test('an owner whose keeper has promised more to one that gave up settles by a ballot of its own', () => {
  const solo = new Solo(1)
  const [a, b] = nodes(2) as [PeerId, PeerId]
  solo.claim(a, 1, 0, 1)
  solo.outcome(a, 0, STATUS.ok, 1, 2)
  // The task has ended, but the owner has not settled yet: it waits for other shards.
  solo.keeper.step(b, { kind: 'prepare', key, list: 0, ballot: 65_536 })
  for (let now = 0; now < 60_000 && !solo.keeper.isSettled(key); now += 100) solo.at(now)
  expect(solo.keeper.isSettled(key)).toBe(true)
})
