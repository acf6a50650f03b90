/**
 * What a node begins of the work it was granted: never more than it has, and nothing overtakes for ever.
 *
 * Not here: what it is granted (round.test.ts). The runner is real; engines and owners are played by the test.
 */
import { expect, test } from 'vitest'
import type { JobId, PeerId, ShardKey } from '../../src/ids.ts'
import { anywhere, type Requirement, requirementOf } from '../../src/routing/requirement.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Run, RunnerEffect } from '../../src/tasks/effects.ts'
import { waitHereMs } from '../../src/tasks/fitting.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import type { TaskMessageOf } from '../../src/tasks/messages.ts'
import { Runner } from '../../src/tasks/runner.ts'
import { headerOf } from './header.ts'

const [self, ann, ben] = ['self', 'ann', 'ben'] as [PeerId, PeerId, PeerId]
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const gpus = (gpu: number): Requirement => requirementOf({ resources: { gpu } })

/** A node with two GPUs and so many slots. */
class Lab {
  readonly runner: Runner
  readonly running = new Map<number, Run>()
  readonly sent: { to: PeerId; message: TaskMessageOf<'handback' | 'claim'> }[] = []
  #jobs = 0
  now = 0

  constructor(slots: number) {
    const me = {
      peer: self,
      slots,
      labels: [['lab', 'optics']],
      resources: [{ name: 'gpu', amount: 2 }],
      sources: []
    }
    const view = {
      isUp: () => true,
      mayKnow: () => [ann, ben],
      owners: () => [ann, ben],
      keeper: new Keeper(self)
    }
    this.runner = new Runner({ self, slots, me: () => me, ...view })
    this.wake(1)
  }

  /** Returns the last digit of the job. */
  grant(from: PeerId, count: number, requires: Requirement = anywhere, depth = 0): string {
    const job = `job-${String(++this.#jobs).padStart(6, '0')}` as JobId
    const header = headerOf({ job, requires, depth })
    const key = `${job}/0/0` as ShardKey
    const inputs = pack('', upTo(count), new Array(count).fill(new Uint8Array(1)))
    const place = { key, list: 0, keepers: [from], seat: 0, first: 0 }
    const grant = { ...place, header, attempt: 1, waiting: 0, inputs }
    this.#perform(this.runner.message(from, { kind: 'grant', ...grant }, this.now))
    this.#perform(this.runner.flush(this.now))
    return job.at(-1) ?? ''
  }

  wake(after: number): void {
    this.now += after
    this.#perform(this.runner.wake(this.now))
    this.#perform(this.runner.flush(this.now))
  }

  /** A run ends well. */
  end(job: string, after = 10): void {
    this.now += after
    const [run, { inputs, attempt, slot }] = [...this.running].find(([, one]) =>
      one.header.job.endsWith(job)
    ) as [number, Run]
    const header = { status: STATUS.ok, slot, attempt, elapsedMs: after, startedAt: 0 }
    const values = [...inputs.indexes].map(() => encodeOutcome(header, new Uint8Array(0)))
    this.running.delete(run)
    this.#perform(this.runner.ended(run, pack('', inputs.indexes, values), true, this.now))
    this.#perform(this.runner.flush(this.now))
  }

  /** Its task waits for jobs of its own, or needs its slot again. */
  park(job: string, kind: 'parked' | 'resumed' = 'parked'): void {
    const [run] = [...this.running].find(([, one]) => one.header.job.endsWith(job)) as [number, Run]
    this.#perform(this.runner.heard({ kind, run }, this.now))
    this.#perform(this.runner.flush(this.now))
  }

  revoke(job: string): void {
    const key = `job-${job.padStart(6, '0')}/0/0` as ShardKey
    this.#perform(this.runner.message(ann, { kind: 'revoke', key, indexes: Uint32Array.of(0) }, this.now))
    this.#perform(this.runner.flush(this.now))
  }

  /** Jobs of what runs, by slot. */
  get at(): string {
    const runs = [...this.running.values()].toSorted((a, b) => a.slot - b.slot)
    return runs.map(({ header, slot }) => `${header.job.at(-1)}@${slot}`).join(' ')
  }

  /** How many tasks were handed back to each since the last look. */
  back(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { to, message } of this.sent.splice(0))
      if (message.kind === 'handback') counts[to] = (counts[to] ?? 0) + message.indexes.length
    return counts
  }

  #perform(effects: readonly RunnerEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'run') this.running.set(effect.run, effect)
      if (effect.kind !== 'send') continue
      const { to, message } = effect
      if (message.kind === 'handback' || message.kind === 'claim') this.sent.push({ to, message })
    }
    this.runner.check()
  }
}

test('two owners grant at the same time: no more of a resource is in use than there is, and the rest goes back', () => {
  const lab = new Lab(4)
  const one = lab.grant(ann, 2, gpus(1))
  const two = lab.grant(ben, 2, gpus(1))
  expect(lab.at).toBe(`${one}@0 ${one}@1`)
  expect(lab.back()).toEqual({ ben: 2 })
  // What needs none goes on beside it.
  const plain = lab.grant(ben, 2)
  expect(lab.at).toBe(`${one}@0 ${one}@1 ${plain}@2 ${plain}@3`)
  lab.end(one)
  expect(
    lab.sent.filter(({ message }) => message.kind === 'claim').map(({ message }) => message)
  ).toContainEqual(expect.objectContaining({ room: [{ name: 'gpu', amount: expect.any(Number) }] }))
  lab.grant(ben, 1, gpus(1))
  expect(lab.running.size).toBe(4)
  expect(two).not.toBe(one)
})

test('no more runs than there are slots, though engines have short tasks ahead; who waits for a job of its own runs beside them', () => {
  const lab = new Lab(2)
  const { runner } = lab
  const first = lab.grant(ann, 2)
  expect([runner.running, runner.queued]).toEqual([2, 0])
  // They turn out to be short: of such work an engine is given much at a time.
  lab.end(first, 0.1)
  lab.end(first, 0.1)
  const short = lab.grant(ann, 400)
  expect(lab.running.size).toBe(4)
  expect([runner.running, runner.queued]).toEqual([2, 398])
  lab.end(short)
  expect(runner.running).toBe(2)
  while (lab.running.size > 0) lab.end(short)
  expect([runner.running, runner.queued]).toEqual([0, 0])
  const nested = lab.grant(ann, 1)
  lab.park(nested)
  lab.grant(ben, 3)
  expect([runner.running, runner.queued]).toEqual([3, 1])
})

test('a task is cancelled: what it holds is free only when it has really ended', () => {
  const lab = new Lab(2)
  const held = lab.grant(ann, 1, gpus(2))
  lab.revoke(held)
  lab.grant(ben, 1, gpus(1))
  expect(lab.back()).toEqual({ ben: 1 })
  lab.end(held)
  const next = lab.grant(ben, 1, gpus(1))
  expect(lab.at).toBe(`${next}@0`)
})

test('what needs two waits until both are free, and nothing that needs one overtakes it', () => {
  const lab = new Lab(4)
  const [one, more] = [lab.grant(ann, 1, gpus(1)), lab.grant(ann, 1, gpus(1))]
  lab.end(more, 100)
  const two = lab.grant(ben, 1, gpus(2))
  lab.grant(ann, 1, gpus(1))
  expect(lab.at).toBe(`${one}@0`)
  expect(lab.back()).toEqual({ ann: 1 })
  const plain = lab.grant(ann, 1)
  expect(lab.at).toBe(`${one}@0 ${plain}@1`)
  lab.end(one)
  expect(lab.at).toBe(`${two}@0 ${plain}@1`)
})

test('it does not wait for ever at a node that is busy: another one may be free', () => {
  const lab = new Lab(4)
  lab.grant(ann, 1, gpus(1))
  lab.grant(ben, 1, gpus(2))
  lab.back()
  for (let waited = 0; waited < waitHereMs - 1_000; waited += 500) lab.wake(500)
  expect(lab.back()).toEqual({})
  for (let waited = 0; waited < 2_000; waited += 500) lab.wake(500)
  expect(lab.back()).toEqual({ ben: 1 })
})

test('a task for one engine waits for it, and others take the other one', () => {
  const lab = new Lab(2)
  const target = requirementOf({}, [`${self}/1`])
  const first = lab.grant(ann, 1, target)
  const second = lab.grant(ann, 1, target)
  expect(lab.at).toBe(`${first}@1`)
  const plain = lab.grant(ann, 1)
  const waits = lab.grant(ann, 1)
  expect(lab.at).toBe(`${plain}@0 ${first}@1`)
  // Nobody else could run it: it stays, also behind long ones.
  for (let i = 0; i < 10; i++) lab.wake(500)
  expect(lab.back()).toEqual({ ann: 1 })
  lab.end(first)
  expect(lab.at).toBe(`${plain}@0 ${second}@1`)
  expect(waits).not.toBe(second)
})

test('work that does not fit what this node is goes back at once', () => {
  const lab = new Lab(2)
  lab.grant(ann, 3, requirementOf({ labels: { lab: 'acoustics' } }))
  lab.grant(ben, 1, gpus(3))
  expect(lab.back()).toEqual({ ann: 3, ben: 1 })
  expect(lab.running.size).toBe(0)
})

test('a task that waits gives its slot away, and where many wait only what is nested more deeply begins', () => {
  const lab = new Lab(1)
  const waits = [0, 0].map(() => {
    const job = lab.grant(ann, 1)
    lab.park(job)
    return job
  })
  lab.back()
  const [first, second] = waits as [string, string]
  const third = lab.grant(ann, 1)
  expect(lab.back()).toEqual({ ann: 1 })
  expect(lab.at).toBe(`${first}@0 ${second}@0`)
  // What they wait for begins, and may wait as well.
  const child = lab.grant(ben, 1, anywhere, 1)
  expect(lab.at).toBe(`${first}@0 ${second}@0 ${child}@0`)
  lab.park(child)
  lab.grant(ben, 1, anywhere, 1)
  expect(lab.back()).toEqual({ ben: 1 })
  const grandchild = lab.grant(ben, 1, anywhere, 2)
  expect(lab.at).toBe(`${first}@0 ${second}@0 ${child}@0 ${grandchild}@0`)
  lab.end(grandchild)
  lab.park(child, 'resumed')
  lab.end(child)
  lab.park(second, 'resumed')
  lab.end(second)
  // One that waits is no reason to refuse anybody.
  const next = lab.grant(ann, 1)
  expect(lab.at).toBe(`${first}@0 ${next}@0`)
  expect(third).not.toBe(next)
})

test('a node whose slots are given away asks for what is nested more deeply, and says so', () => {
  const lab = new Lab(1)
  for (let i = 0; i < 2; i++) lab.park(lab.grant(ann, 1))
  const claims = lab.sent.filter(({ message }) => message.kind === 'claim')
  expect(claims.at(-1)?.message).toMatchObject({ depth: 1 })
})

test('a node whose only engine others wait for by name asks for what the task waits for that lent it', () => {
  const lab = new Lab(1)
  lab.park(lab.grant(ann, 1))
  lab.grant(ann, 1, requirementOf({}, [`${self}/0`]), 1)
  // Of this nothing can begin before the task goes on, and it keeps nothing out that could.
  lab.grant(ann, 500)
  lab.wake(1_000)
  const claim = lab.sent.filter(({ to, message }) => to === ben && message.kind === 'claim').at(-1)?.message
  expect(claim).toMatchObject({ depth: 1 })
  expect(claim?.kind === 'claim' ? claim.tasks : 0).toBeGreaterThan(0)
})

test('a task for one engine does not begin on its stand-in', () => {
  const lab = new Lab(2)
  const target = requirementOf({}, [`${self}/0`])
  const waits = lab.grant(ann, 1, target)
  lab.park(waits)
  const directed = lab.grant(ann, 1, target)
  const plain = lab.grant(ann, 1)
  expect(lab.at.split(' ').toSorted()).toEqual(
    [`${waits}@0`, expect.stringContaining(`${plain}@`)].toSorted()
  )
  lab.park(waits, 'resumed')
  lab.end(waits)
  expect(lab.at).toContain(`${directed}@0`)
})

test('who wants the engine of a task that waits does not keep its slot from what that task waits for', () => {
  const lab = new Lab(1)
  const outer = lab.grant(ann, 1)
  lab.park(outer)
  const directed = lab.grant(ann, 1, requirementOf({}, [`${self}/0`]), 1)
  const inner = lab.grant(ann, 1, anywhere, 1)
  expect(lab.at).toBe(`${outer}@0 ${inner}@0`)
  lab.end(inner)
  lab.park(outer, 'resumed')
  lab.end(outer)
  expect(lab.at).toBe(`${directed}@0`)
})
