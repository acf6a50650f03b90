/**
 * Dispatch, where it once went wrong: grants that were counted for ever, outcomes sent to the dead.
 *
 * Not here: the whole protocol under faults, which is the simulator's.
 */
import { expect, test } from 'vitest'
import type { JobId, PeerId, ShardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Persist, Run, RunnerEffect, Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import type { TaskMessageOf } from '../../src/tasks/messages.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { Runner } from '../../src/tasks/runner.ts'
import { headerOf } from './header.ts'
import { recordOf } from './record.ts'

const [a, b] = ['peerA', 'peerB'] as [PeerId, PeerId]
const key = 'abcdefgh/0/0' as ShardKey
const header = headerOf()
const inputsOf = (from: number, count: number): Batch =>
  pack(
    '',
    Array.from({ length: count }, (_, i) => from + i),
    new Array(count).fill(new Uint8Array(1))
  )
const grantOf = (from: number, count: number): TaskMessageOf<'grant'> => ({
  kind: 'grant',
  key,
  header,
  list: 0,
  keepers: [a, b],
  first: 0,
  attempt: 1,
  seat: 0,
  waiting: 1_000,
  inputs: inputsOf(from, count)
})
const outcomesOf = ({ inputs }: Run, elapsedMs: number): Batch => {
  const one = encodeOutcome(
    { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs, startedAt: 0 },
    new Uint8Array(1)
  )
  return pack('', inputs.indexes, new Array(inputs.indexes.length).fill(one))
}
const runsIn = (effects: readonly RunnerEffect[]): Run[] => effects.filter((one) => one.kind === 'run')
const sentIn = (effects: readonly RunnerEffect[]): Send[] => effects.filter((one) => one.kind === 'send')

function newRunner(isUp = (_: PeerId) => true, forgotten: readonly JobId[] = [], slots = 1): Runner {
  const keeper = new Keeper(b)
  for (const name of forgotten) keeper.restore({ kind: 'forget', name })
  const me = { peer: b, slots, labels: [], resources: [], sources: [] }
  return new Runner({ self: b, slots, me: () => me, isUp, mayKnow: () => [a], owners: () => [a], keeper })
}

test('outcomes go to the keeper that granted, which after a takeover is not the first', () => {
  const runner = newRunner((peer) => peer !== a)
  const owner = 'peerC' as PeerId
  const grant = { ...grantOf(0, 1), keepers: [a, owner] }
  const [run] = runsIn([...runner.message(owner, grant, 1), ...runner.flush(1)])
  expect(run).toBeDefined()
  const sent = sentIn(run === undefined ? [] : runner.ended(run.run, outcomesOf(run, 1), true, 2))
  expect(sent.filter(({ message }) => message.kind === 'outcomes').map(({ to }) => to)).toEqual([owner])
})

/** A shard of `count` tasks at its only keeper; returns what is granted next. */
function newOwner(count: number): { owner: Owner; granted: (now: number) => TaskMessageOf<'grant'>[] } {
  const record = recordOf(a, count, { key, header, inputs: inputsOf(0, count) })
  const keeper = new Keeper(a)
  const view = {
    isUp: () => true,
    canVote: () => true,
    isGone: () => false,
    holders: () => undefined,
    neighbours: () => [b],
    keepersFor: () => [a, b],
    member: () => undefined,
    mayKnow: () => []
  }
  const owner = new Owner({ self: a, keeper, ...view, situation: () => '' }, seededRandom(1))
  const hear = (effects: readonly (Send | Persist)[], now: number): TaskMessageOf<'grant'>[] =>
    effects.flatMap((effect) => {
      if (effect.kind === 'persist') return hear(effect.then, now)
      const { to, message } = effect
      if (to === a)
        return [...hear(keeper.step(a, message), now), ...hear(owner.message(a, message, now), now)]
      return message.kind === 'grant' ? [message] : []
    })
  const store = { kind: 'store', record, isRepair: false } as const
  keeper.step(a, store)
  owner.kept(a, store, 0)
  owner.message(a, { kind: 'stored', key }, 0)
  return {
    owner,
    granted: (now) => [
      ...hear(owner.flush(now), now),
      ...hear([...owner.wake(now), ...owner.flush(now)], now)
    ]
  }
}

test('an owner that counted grants which never arrived believes its peer, and grants again', () => {
  const { owner, granted } = newOwner(100)
  const claim = (received: number, now: number): number => {
    owner.message(b, { kind: 'claim', tasks: 10, received, room: [], isLast: false, depth: 0 }, now)
    return granted(now).reduce((sum, { inputs }) => sum + inputs.indexes.length, 0)
  }
  expect(claim(0, 200)).toBe(10)
  // Said again while the grant may be on its way: nothing more. Later it can only be lost.
  expect(claim(0, 300)).toBe(0)
  expect(claim(0, 5_000)).toBe(10)
})

test('a grant that comes again gives nothing back of what runs here, although no more work is taken by then', () => {
  const runner = newRunner()
  const once = { ...grantOf(0, 2), header: { ...header, atMostOnce: true } }
  const [run] = runsIn([...runner.message(a, once, 1), ...runner.flush(1)])
  expect(run?.inputs.indexes).toContain(0)
  runner.attend({ availability: 'closed' })
  const again = { ...once, inputs: inputsOf(0, 3) }
  const back = sentIn(runner.message(a, again, 2)).map(({ message }) => message)
  expect(back).toMatchObject([{ kind: 'handback', indexes: Uint32Array.of(2) }])
  // And what was given back does not begin when that grant comes once more.
  runner.attend({ availability: 'open' })
  expect(runsIn([...runner.message(a, again, 3), ...runner.flush(3)])).toEqual([])
})

test("what was given back and came again is its later run's alone: the first one neither gives it back nor ends it", () => {
  const runner = newRunner(undefined, [], 2)
  const first = runsIn([...runner.message(a, grantOf(0, 1), 1), ...runner.flush(1)])[0] as Run
  runner.attend({ availability: 'closed' })
  runner.attend({ availability: 'open' })
  const again = { ...grantOf(0, 1), attempt: 2 }
  const second = runsIn([...runner.message(a, again, 2), ...runner.flush(2)])[0] as Run
  expect([first, second].map(({ attempt, inputs }) => [attempt, ...inputs.indexes])).toEqual([
    [1, 0],
    [2, 0]
  ])

  const late = runner.heard({ kind: 'recalled', run: first.run, indexes: Uint32Array.of(0), done: false }, 3)
  expect(sentIn(late)).toEqual([])
  const ended = outcomesOf(first, 1)
  expect(sentIn(runner.ended(first.run, ended, false, 3))).toEqual([])

  const back = runner.attend({ availability: 'closed' })
  expect(back.filter(({ kind }) => kind === 'cancel-run')).toMatchObject([{ run: second.run }])
  expect(sentIn(back).map(({ message }) => message)).toMatchObject([
    { kind: 'handback', attempt: 2, isStarted: true, indexes: Uint32Array.of(0) }
  ])
  runner.check()
})

test('a task that comes back late, from a grant before the present one, goes on where it runs now', () => {
  const { owner, granted } = newOwner(1)
  const handback = (attempt: number): void =>
    void owner.message(b, { kind: 'handback', key, attempt, isStarted: false, indexes: Uint32Array.of(0) }, 1)
  owner.message(b, { kind: 'claim', tasks: 10, received: 0, room: [], isLast: false, depth: 0 }, 1)
  expect(granted(1).map(({ attempt }) => attempt)).toEqual([1])
  owner.message(b, { kind: 'missing', key, indexes: Uint32Array.of(0) }, 1)
  expect(granted(1).map(({ attempt }) => attempt)).toEqual([2])
  handback(1)
  expect(granted(1)).toEqual([])
  handback(2)
  expect(granted(1).map(({ attempt }) => attempt)).toEqual([2])
})

test('a run that was ended by an owner before this one is no outcome: the task runs again', () => {
  const { owner, granted } = newOwner(1)
  owner.message(b, { kind: 'claim', tasks: 10, received: 0, room: [], isLast: false, depth: 0 }, 1)
  expect(granted(1).map(({ attempt }) => attempt)).toEqual([1])
  const header = { status: STATUS.cancelled, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 }
  const outcomes = pack(b, [0], [encodeOutcome(header, new Uint8Array(0))])
  owner.message(b, { kind: 'outcomes', key, outcomes }, 2)
  expect(granted(2).map(({ attempt }) => attempt)).toEqual([2])
})

test('a new owner is told of what waits and runs here by the attempt of each', () => {
  const runner = newRunner()
  const grants = [grantOf(0, 3), { ...grantOf(3, 2), attempt: 4 }]
  for (const grant of grants) runner.message(a, grant, 1)
  runner.flush(1)
  const leading = { kind: 'leading', key, list: 0, keepers: [a, b], seats: [0, 1], ballot: 65_536 } as const
  const told = sentIn(runner.message(a, leading, 2)).map(({ message }) => message)
  const tasks = told.flatMap((message) =>
    message.kind === 'holding' ? [...message.indexes].map((index) => [index, message.attempt]) : []
  )
  expect(tasks.toSorted()).toEqual([0, 1, 2, 3, 4].map((index) => [index, index < 3 ? 1 : 4]))
})

test('what runs for long is told to a keeper that is there, although a hint had led to one that is not', () => {
  const [c, up] = ['peerC' as PeerId, new Set([a])]
  const runner = newRunner((peer) => up.has(peer))
  runner.message(a, { ...grantOf(0, 1), keepers: [a, c] }, 1)
  runner.flush(1)
  up.delete(a)
  up.add(c)
  const said = [5_100, 10_200].flatMap((now) => sentIn(runner.wake(now)))
  const held = said.filter(({ message }) => message.kind === 'holding')
  expect(new Set(held.map(({ to }) => to))).toEqual(new Set([c]))
})

test('what was queued of a job is not begun once the job is forgotten, and what runs is ended', () => {
  const runner = newRunner()
  const [run] = runsIn([...runner.message(a, grantOf(0, 3), 1), ...runner.flush(1)])
  const effects = [...runner.message(a, { kind: 'forget', name: header.job }, 2), ...runner.flush(2)]
  expect(effects.filter((one) => one.kind === 'cancel-run').map(({ run }) => run)).toEqual([run?.run])
  expect(runsIn(effects)).toEqual([])
  expect(runner.queued + runner.held).toBe(0)
  runner.check()
})

test('a grant of a job that is forgotten here is answered with that', () => {
  const runner = newRunner(() => true, [header.job])
  const effects = [...runner.message(a, grantOf(0, 3), 1), ...runner.flush(1)]
  expect(runsIn(effects)).toEqual([])
  expect(sentIn(effects).map(({ message }) => message)).toContainEqual({ kind: 'forget', name: header.job })
})

test('what is granted by who is no member does not occupy an engine', () => {
  const runner = newRunner((peer) => peer !== 'ghost')
  expect(runsIn([...runner.message('ghost' as PeerId, grantOf(0, 1), 1), ...runner.flush(1)])).toEqual([])
  expect(runsIn([...runner.message(a, grantOf(0, 1), 2), ...runner.flush(2)])).toHaveLength(1)
})
