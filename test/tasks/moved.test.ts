/**
 * A keeper that is told of a newer list, or was given one, where it once stayed with what it had for ever.
 *
 * Not here: how lists change (the simulator judges that).
 */
import { expect, test } from 'vitest'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import { pack } from '../../src/tasks/batch.ts'
import type { Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import { markIndex, type ShardRecord, type TaskMessage } from '../../src/tasks/messages.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { headerOf } from './header.ts'

const [a, b, c, d] = ['peerA', 'peerB', 'peerC', 'peerD'] as [PeerId, PeerId, PeerId, PeerId]
const key = 'abcdefgh/0/0' as ShardKey
const record: ShardRecord = {
  key,
  ...firstSeating([a, b, c]),
  copies: 3,
  header: headerOf(),
  first: 0,
  count: 1,
  shards: 1,
  inputs: pack('', [0], [new Uint8Array(1)]),
  root: [],
  needs: []
}

/** The third keeper of the shard, alone: what it is told, and to whom it turns in the time that follows. */
class Third {
  readonly #keeper = new Keeper(c)
  readonly #owner: Owner

  constructor(given = record) {
    this.#owner = new Owner(
      {
        self: c,
        keeper: this.#keeper,
        isUp: () => true,
        canVote: () => true,
        isGone: () => false,
        holders: () => undefined,
        neighbours: () => [a, b, d],
        member: () => undefined,
        mayKnow: () => [],
        keepersFor: () => [a, b, c, d],
        situation: () => ''
      },
      seededRandom(1)
    )
    this.hear(a, { kind: 'store', record: given, isRepair: false })
  }

  hear(from: PeerId, message: TaskMessage): void {
    this.#keeper.step(from, message)
    if (message.kind === 'store') this.#owner.kept(from, message, 0)
    this.#owner.message(from, message, 0)
  }

  wake(now: number): Send[] {
    return this.#owner.wake(now)
  }

  get keeps(): boolean {
    return this.#keeper.record(key) !== undefined
  }

  said(forMs = 15_000): Send[] {
    const said: Send[] = []
    for (let now = 0; now < forMs; now += 500) said.push(...this.wake(now))
    return said
  }
}

test('a keeper that never got the list that followed, and is in it, turns to those of that list', () => {
  const third = new Third()
  third.hear(a, { kind: 'moved', key, list: 1, keepers: [b, c, d], seats: [1, 2, 3] })
  expect(third.said().map(({ to }) => to)).toContain(b)
})

test('also if it is the first of that list, and has tried to own its own one: it does not turn to itself for ever', () => {
  const third = new Third()
  // Whom it takes for the owner says to be none.
  third.hear(a, { kind: 'disowned', key })
  const asked: PeerId[] = []
  let tries = 0
  for (let now = 0; now < 30_000; now += 500) {
    for (const { to, message } of third.wake(now)) {
      if (message.kind === 'inquire') asked.push(to)
      if (message.kind !== 'prepare') continue
      tries++
      third.hear(b, { kind: 'moved', key, list: 1, keepers: [c, d], seats: [2, 3] })
    }
  }
  expect(tries).toBe(1)
  expect(asked).toContain(d)
})

test('a keeper to whom a settled shard was being brought goes on with it, if who brought it has forgotten that', () => {
  const third = new Third()
  third.hear(a, { kind: 'settle', key, list: 0, ballot: 0, by: 0 })
  const next = { ...record, inputs: pack('', [], []), list: 1, keepers: [a, d, c], seats: [0, 3, 2] }
  const ofNext = { ...next, seatsGiven: 4, before: [a, b, c], beforeSeats: [0, 1, 2] }
  third.hear(a, { kind: 'store', record: ofNext, isRepair: true })
  expect(third.said().map(({ message }) => message.kind)).not.toContain('prepare')
  // Asked whether it owns the shard, it says that it is over, and knows nothing of the list that follows.
  third.hear(a, { kind: 'settle', key, list: 0, ballot: 0, by: 0 })
  expect(third.said().map(({ message }) => message.kind)).toContain('prepare')
})

test('who was to have a settled shard for the first time goes on with that, if who brought it has forgotten it', () => {
  const ofNext = { ...record, list: 1, keepers: [a, c, d], seats: [0, 3, 2], seatsGiven: 4 }
  const third = new Third({ ...ofNext, before: [a, b, d], beforeSeats: [0, 1, 2] })
  expect(third.said().map(({ message }) => message.kind)).not.toContain('prepare')
  // Asked whether it owns the shard, it says that others keep it: those of the list before.
  third.hear(a, { kind: 'moved', key, list: 0, keepers: [a, b, d], seats: [0, 1, 2] })
  expect(third.said().map(({ message }) => message.kind)).toContain('prepare')
})

test('who was taken for one that has the inputs, and had let go of them, takes them from a second message', () => {
  const keeper = new Keeper(d)
  const slim = { ...record, ...firstSeating([a, b, d]), inputs: pack('', [], []) }
  keeper.step(a, { kind: 'store', record: slim, isRepair: true })
  keeper.step(a, { kind: 'store', record: { ...slim, inputs: record.inputs }, isRepair: true })
  expect(keeper.record(key)?.inputs).toEqual(record.inputs)
  keeper.check()
  // And keeps them, whoever else takes it for one that has them.
  keeper.step(b, { kind: 'store', record: slim, isRepair: true })
  expect(keeper.record(key)?.inputs).toEqual(record.inputs)
})

test('of two keepers that lost each other and made lists of one number, neither lets go of what it has for the other list', () => {
  const keeper = new Keeper(c)
  const outcomes = pack(a, [0], [Buffer.from('done')])
  keeper.step(a, { kind: 'store', record: { ...record, ...firstSeating([c, b]) }, isRepair: false })
  keeper.step(c, { kind: 'accept', key, list: 0, ballot: 0, serial: 1, outcomes })
  const mine = {
    ...record,
    ...firstSeating([c, a]),
    list: 1,
    seats: [0, 2],
    before: [c, b],
    beforeSeats: [0, 1]
  }
  keeper.step(c, { kind: 'store', record: mine, isRepair: true })
  keeper.step(b, { kind: 'moved', key, list: 1, keepers: [d, b], seats: [2, 1] })
  expect(keeper.outcomes(key).size).toBe(1)
  // Its own list begins to count, and all of it is here: then the one before does not count any more.
  const marker = pack('', [markIndex], [new Uint8Array(0)])
  keeper.step(c, { kind: 'accept', key, list: 1, ballot: 0, serial: 1, outcomes: marker })
  keeper.step(c, { kind: 'moved', key, list: 1, keepers: [c, a], seats: [0, 2] })
  expect(keeper.outcomes(key).size).toBe(0)
})

test('who is given a later list knows still which ones do not count any more', () => {
  const lists = [
    { ...firstSeating([a, b, c]) },
    { list: 1, keepers: [a, b, d], seats: [0, 1, 3] },
    { list: 2, keepers: [a, b, c], seats: [0, 1, 4] }
  ]
  const keeper = new Keeper(c)
  const disk: TaskMessage[] = []
  const hear = (of: Keeper, message: TaskMessage): string[] =>
    of.step(a, message).flatMap((effect) => {
      const sends = effect.kind === 'persist' ? effect.then : [effect]
      if (of === keeper && effect.kind === 'persist') disk.push(...effect.messages)
      return sends.map(({ message: { kind } }) => kind)
    })
  const storeOf = (list: number): TaskMessage => ({
    kind: 'store',
    record: { ...record, ...lists[list], seatsGiven: 5, before: [], beforeSeats: [] },
    isRepair: true
  })
  hear(keeper, storeOf(0))
  hear(keeper, { kind: 'moved', key, ...lists[1] } as TaskMessage)
  expect(hear(keeper, storeOf(2))).toEqual(['stored'])
  const restarted = new Keeper(c)
  for (const message of disk) restarted.restore(message)
  // An owner of the first list that was away for long asks for its vote, and would give it that list again.
  for (const one of [keeper, restarted]) {
    expect(hear(one, { kind: 'prepare', key, list: 0, ballot: 65_536 })).toEqual(['moved'])
    expect(hear(one, storeOf(0))).toEqual(['moved'])
  }
})

// Seed 1590595: it kept what it had for good, since it had nothing to propose that somebody could have refused.
test('an owner that was away while others took its shard over, and to other nodes, asks them, and lets go', () => {
  const away = new Third({ ...record, ...firstSeating([c, a, b]) })
  const asked = away.said(70_000).filter(({ message }) => message.kind === 'inquire')
  expect(new Set(asked.map(({ to }) => to))).toEqual(new Set([a, b]))
  away.hear(a, { kind: 'moved', key, list: 1, keepers: [a, b, d], seats: [1, 2, 3] })
  expect(away.keeps).toBe(false)
  expect(away.said(70_000)).toEqual([])
})
