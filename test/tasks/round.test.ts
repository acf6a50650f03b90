/**
 * Who is granted what: tasks that need certain nodes, priorities, and fair share between submitters.
 *
 * Not here: whether a node has what a task requires (routing/match.test.ts), and what the node then begins (fitting.test.ts).
 * The owner and the keeper are real, alone in their world; the nodes that ask for work are played by the test.
 */
import { expect, test } from 'vitest'
import type { JobId, PeerId, ShardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import type { Amount, Traits } from '../../src/routing/match.ts'
import { anywhere, type Requires, requirementOf } from '../../src/routing/requirement.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import type { JobHeader, TaskMessageOf } from '../../src/tasks/messages.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { Shares } from '../../src/tasks/shares.ts'
import { Standings } from '../../src/tasks/standings.ts'
import { headerOf } from './header.ts'
import { recordOf } from './record.ts'

const [self, ann, ben] = ['self', 'ann', 'ben'] as [PeerId, PeerId, PeerId]
const gpu = (amount: number): Amount[] => [{ name: 'gpu', amount }]
const laser = (amount: number): Amount[] => [{ name: 'laser', amount }]

interface Work extends Partial<Omit<JobHeader, 'requires'>> {
  readonly requires?: Requires
  readonly targets?: readonly string[]
}

/** An owner of some shards, and two nodes: ann has two GPUs and a laser, ben has neither. */
class Desk {
  readonly keeper = new Keeper(self)
  readonly owner: Owner
  readonly #received = new Map<PeerId, number>()
  #shards = 0
  #now = 0

  constructor() {
    const base = { slots: 2, labels: [], sources: [] }
    const nodes = new Map<PeerId, Traits>([
      [ann, { ...base, peer: ann, resources: [...gpu(2), ...laser(1)], labels: [['lab', 'optics']] }],
      [ben, { ...base, peer: ben, resources: [] }]
    ])
    const view = {
      isUp: () => true,
      canVote: () => true,
      isGone: () => false,
      holders: () => undefined,
      neighbours: () => [ann, ben],
      keepersFor: () => [self],
      mayKnow: () => []
    }
    const member = (peer: PeerId): Traits | undefined => nodes.get(peer)
    this.owner = new Owner(
      { self, keeper: this.keeper, ...view, member, situation: () => '' },
      seededRandom(1)
    )
  }

  /** One shard; returns the name of its job. */
  submit(count: number, { requires = {}, targets = [], depth = 0, ...more }: Work = {}): string {
    const job = `job-${String(++this.#shards).padStart(6, '0')}` as JobId
    const key = `${job}/0/0` as ShardKey
    const isAnywhere = Object.keys(requires).length + targets.length === 0
    const asked = isAnywhere ? anywhere : requirementOf(requires, targets)
    const header = headerOf({ job, exportName: job, depth, ...more, requires: asked })
    const record = recordOf(self, count, { key, header })
    const store = { kind: 'store', record, isRepair: false } as const
    this.keeper.step(self, store)
    this.owner.kept(self, store, 0)
    this.owner.message(self, { kind: 'stored', key }, 0)
    return job
  }

  /** `from` asks for so many tasks; what it gets, as one letter of its job's last digit for each task. */
  claim(from: PeerId, tasks: number, room: readonly Amount[] = [], depth = 0): string {
    const received = this.#received.get(from) ?? 0
    this.owner.message(
      from,
      { kind: 'claim', tasks, received, room: [...room], isLast: false, depth },
      ++this.#now
    )
    return this.flush().get(from) ?? ''
  }

  flush(): Map<PeerId, string> {
    const got = new Map<PeerId, string>()
    this.news = []
    for (const { to, message } of this.owner.flush(++this.#now)) {
      if (message.kind === 'waits') {
        const { priority, needs, isOver } = message
        this.news.push(
          `${to}: ${isOver ? 'nothing' : priority}${needs.map((name) => `, needs ${name}`).join('')}`
        )
      }
      if (message.kind !== 'grant') continue
      const size = message.inputs.indexes.length
      got.set(to, (got.get(to) ?? '') + (message.header.job.at(-1) ?? '').repeat(size))
      this.#received.set(to, (this.#received.get(to) ?? 0) + size)
      this.last.push(message)
    }
    return got
  }

  readonly last: TaskMessageOf<'grant'>[] = []
  /** What nodes were told of what waits here. */
  news: string[] = []

  /** After so long, without anybody asking. */
  told(after = 1): string[] {
    this.#now += after
    this.owner.wake(this.#now)
    this.flush()
    return this.news
  }

  /** The engine took so long for each of what was granted last. */
  ended(elapsedMs: number): void {
    const grant = this.last.at(-1)
    if (grant === undefined) return
    const { key, attempt, inputs } = grant
    const header = { status: STATUS.ok, slot: 0, attempt, elapsedMs, startedAt: 0 }
    const values = [...inputs.indexes].map(() => encodeOutcome(header, new Uint8Array(0)))
    const outcomes = pack(ann, inputs.indexes, values)
    this.owner.message(ann, { kind: 'outcomes', key, outcomes }, ++this.#now)
  }
}

const countOf = (granted: string, job: string): number => granted.split(job.at(-1) ?? '').length - 1

test('what only some nodes may run goes to them alone, and holds up neither others nor their claims', () => {
  const desk = new Desk()
  expect(desk.claim(ben, 4)).toBe('')
  desk.submit(4, { requires: { labels: { lab: 'optics' } } })
  expect(desk.flush().size).toBe(0)
  expect(desk.owner.dealer.left).toBe(4)
  // ben's claim was not eaten by work that it may not run.
  desk.submit(2)
  expect(desk.flush().get(ben)).toBe('22')
  expect(desk.claim(ann, 10)).toBe('1111')
  desk.submit(1, { targets: ['ann/1'] })
  expect([...desk.flush()]).toEqual([[ann, '3']])
})

test('a claim says how much room there is, and what is on its way to it counts', () => {
  const desk = new Desk()
  desk.submit(10, { requires: { resources: { gpu: 1 } } })
  expect(desk.claim(ben, 8)).toBe('')
  expect(desk.claim(ann, 8, gpu(2))).toBe('11')
  // Said again before the grant came: nothing more fits.
  desk.owner.message(
    ann,
    { kind: 'claim', tasks: 8, received: 0, room: gpu(2), isLast: false, depth: 0 },
    100
  )
  expect(desk.flush().size).toBe(0)
  expect(desk.claim(ann, 8, gpu(1))).toBe('1')
  // One that needs more than is free now may wait at the node, but only one, and only while anything is free.
  desk.submit(3, { requires: { resources: { gpu: 2 } }, priority: 1 })
  expect(desk.claim(ann, 8, gpu(0))).toBe('')
  expect(desk.claim(ann, 8, gpu(1))).toBe('2')
  expect(desk.flush().size).toBe(0)
})

test('of tasks for one engine only a few wait at its node', () => {
  const desk = new Desk()
  desk.submit(100, { targets: ['ann/0'] })
  expect(desk.claim(ann, 100).length).toBeLessThanOrEqual(16)
})

test('first priority, then fair share between submitters, then age', () => {
  const desk = new Desk()
  const many = desk.submit(500, { submitter: 'ann' })
  const few = desk.submit(10, { submitter: 'ben' })
  const urgent = desk.submit(3, { submitter: 'ann', priority: 1 })
  const later = desk.submit(5, { submitter: 'ben' })
  const granted = desk.claim(ann, 30)
  expect(granted.slice(0, 3)).toBe('333')
  expect(countOf(granted, urgent)).toBe(3)
  expect(countOf(granted, few)).toBe(10)
  expect(countOf(granted, many)).toBeGreaterThanOrEqual(12)
  expect(granted.indexOf(later.at(-1) ?? '')).toBeGreaterThan(granted.lastIndexOf(few.at(-1) ?? ''))
})

test('a submitter whose tasks take ten times as long is granted a tenth as many', () => {
  const desk = new Desk()
  const long = desk.submit(400, { submitter: 'ann' })
  const short = desk.submit(400, { submitter: 'ben' })
  let granted = ''
  for (let round = 0; round < 100; round++) {
    granted += desk.claim(ann, 1)
    desk.ended(granted.at(-1) === long.at(-1) ? 100 : 10)
  }
  expect(countOf(granted, short)).toBeGreaterThan(80)
  expect(countOf(granted, long)).toBeGreaterThan(5)
})

test('two who both go on to functions that nobody has measured yet share as before', () => {
  const desk = new Desk()
  const first = desk.submit(1, { submitter: 'ann' })
  expect(desk.claim(ann, 1)).toBe(first.at(-1))
  desk.ended(1_000)
  const more = desk.submit(1, { submitter: 'ann', exportName: first })
  expect(desk.claim(ann, 1)).toBe(more.at(-1))
  const [mine, yours] = [desk.submit(40, { submitter: 'ann' }), desk.submit(40, { submitter: 'ben' })]
  let granted = ''
  for (let round = 0; round < 20; round++) granted += desk.claim(ann, 1)
  expect(Math.abs(countOf(granted, mine) - countOf(granted, yours))).toBeLessThanOrEqual(2)
})

test('nobody saves up time, and nobody pays for having been alone', () => {
  const shares = new Shares()
  for (let i = 0; i < 100; i++) shares.charge('alone', 10)
  const turns: string[] = []
  for (let i = 0; i < 10; i++) {
    const next = shares.next(['alone', 'new']) ?? ''
    shares.charge(next, 10)
    turns.push(next)
  }
  expect(turns.filter((one) => one === 'new').length).toBeLessThanOrEqual(6)
  expect(turns.filter((one) => one === 'alone').length).toBeLessThanOrEqual(6)
  for (let i = 0; i < 3_000; i++) shares.charge(`user${i}`, i)
  shares.check()
})

test('of one submitter the most deeply nested goes first, and of two submitters neither gains by it', () => {
  const desk = new Desk()
  const plain = desk.submit(4, { submitter: 'ann' })
  const nested = desk.submit(4, { submitter: 'ann', depth: 1 })
  expect(desk.claim(ann, 6)).toBe(nested.at(-1)?.repeat(4) + (plain.at(-1) ?? '').repeat(2))
  const other = desk.submit(4, { submitter: 'ben' })
  desk.submit(4, { submitter: 'ann', depth: 1 })
  expect(desk.claim(ben, 4)).toContain(other.at(-1) ?? '')
})

test('who asks only for what is nested gets nothing else', () => {
  const desk = new Desk()
  desk.submit(4)
  expect(desk.claim(ann, 4, [], 1)).toBe('')
  const nested = desk.submit(2, { depth: 1 })
  expect(desk.claim(ann, 4, [], 1)).toBe((nested.at(-1) ?? '').repeat(2))
})

test('a node that asks for nothing hears once that something waits for it, and at once that more urgent things do', () => {
  const desk = new Desk()
  desk.claim(ann, 0)
  desk.claim(ben, 0)
  desk.submit(4, { requires: { labels: { lab: 'optics' } } })
  expect(desk.told()).toEqual(['ann: 0'])
  expect(desk.told()).toEqual([])
  const urgent = desk.submit(1, { priority: 3 })
  expect(desk.told()).toEqual(['ann: 3', 'ben: 3'])
  // It may be lost.
  expect(desk.told(500)).toEqual(['ann: 3', 'ben: 3'])
  // A grant tells as much itself; when all of that is gone, so that nothing is kept for it, whoever asks for it hears so.
  expect(desk.claim(ann, 1)).toBe(urgent.at(-1))
  expect(desk.news).toEqual(['ann: 0'])
  expect(desk.claim(ben, 1)).toBe('')
  expect(desk.news).toEqual(['ben: nothing'])
})

test('who has room for nothing hears what waits that needs some, and what it cannot have is not offered at once again', () => {
  const desk = new Desk()
  desk.claim(ann, 4, gpu(0))
  const job = desk.submit(40, { requires: { resources: { gpu: 1 } }, targets: ['ann/0'] })
  expect(desk.told()).toEqual(['ann: 0, needs gpu'])
  // As many wait there for that engine as may.
  expect(countOf(desk.claim(ann, 17, gpu(40)), job)).toBe(16)
  expect(desk.news).toEqual(['ann: nothing, needs gpu'])
  desk.claim(ann, 4, gpu(0))
  expect(desk.news).toEqual([])
  expect(desk.told(500)).toEqual(['ann: 0, needs gpu'])
})

test('who has room for something else is told once what waits, and asked in vain for nothing', () => {
  const desk = new Desk()
  desk.submit(2, { requires: { resources: { gpu: 1 } } })
  desk.claim(ann, 4, laser(1))
  expect(desk.news).toEqual(['ann: 0, needs gpu'])
  expect(desk.told()).toEqual([])
  // A grant says that more waits, and not what that needs.
  desk.submit(1, { requires: { resources: { laser: 1 } } })
  expect(desk.claim(ann, 4, laser(1))).toBe('2')
  expect(desk.news).toEqual([])
  desk.claim(ann, 4, laser(1))
  expect(desk.news).toEqual(['ann: 0, needs gpu'])
})

test('what is urgent and cannot run at a node gives the owner’s other tasks no precedence there', () => {
  const desk = new Desk()
  const urgent = desk.submit(40, { targets: ['ann/0'], priority: 5 })
  const others = desk.submit(40)
  // As many wait there for that engine as may.
  expect(countOf(desk.claim(ann, 17), urgent)).toBe(16)
  expect(desk.news).toEqual([])
  expect(desk.claim(ann, 1)).toBe(others.at(-1))
  expect(desk.news).toEqual([])
  expect(desk.told(300)).toEqual([])
  desk.submit(1, { priority: 6 })
  expect(desk.told()).toEqual(['ann: 6'])
})

test('of tasks for each node of many, a node is compared in full with those that may be for it', () => {
  let looks = 0
  const traits: Traits = {
    ...{ peer: ann, labels: [], sources: [], resources: [] },
    get slots() {
      looks++
      return 2
    }
  }
  const standings = new Standings({ isUp: () => true, member: () => traits })
  const each = Array.from({ length: 300 }, (_, i) => requirementOf({}, i === 7 ? [ann] : [`peer${i}`]))
  const canRun = (): number => each.filter((requires) => standings.canRun(ann, requires)).length
  expect(canRun()).toBe(1)
  looks = 0
  expect(canRun()).toBe(1)
  // Each was looked at for its target alone, and what is for the node is remembered.
  expect(looks).toBeLessThanOrEqual(300)
})
