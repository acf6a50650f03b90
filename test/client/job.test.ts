/**
 * Handles and feeds: order, failures, bounds, and what is pulled when.
 *
 * Not here: the mesh. Outcomes are handed in as the session would.
 */
import { inspect } from 'node:util'
import { expect, test, vi } from 'vitest'
import { feed, mayBeEndless, shardTasks } from '../../src/client/feed.ts'
import { Job } from '../../src/client/job.ts'
import { Task } from '../../src/client/task.ts'
import { encodeFailure, encodeValue } from '../../src/client/values.ts'
import { CompositeError, ShoalError, TaskError } from '../../src/errors.ts'
import type { JobId, PeerId, ShardKey } from '../../src/ids.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'

const engine = 'peerA' as PeerId
const header = { slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 }
const ok = (value: unknown): Uint8Array => encodeOutcome({ ...header, status: STATUS.ok }, encodeValue(value))
const bad = (message: string): Uint8Array => {
  const failure = encodeFailure({ code: 'TASK_FAILED', name: 'Error', message, stack: '' })
  return encodeOutcome({ ...header, status: STATUS.error }, failure)
}

function newJob(options: { returnErrors?: boolean; inFlightMax?: number } = {}) {
  const said: string[] = []
  const host = {
    cancel: () => void said.push('cancel'),
    forget: () => void said.push('forget'),
    tell: () => {},
    makerOf: () => undefined,
    release: async () => {},
    explain: () => Promise.reject(new Error('nobody asks')),
    standing: () => Promise.reject(new Error('nobody asks')),
    locate: async () => []
  }
  const { returnErrors = false, inFlightMax = Number.POSITIVE_INFINITY } = options
  return {
    job: new Job<unknown>({
      id: 'job' as JobId,
      host,
      isFound: false,
      returnErrors,
      inFlightMax,
      gate: (one) => one
    }),
    said
  }
}

const place = { key: 'jobjobjo/0/0' as ShardKey, keepers: [engine], first: 0, count: 2 }
const outcomes = (...pairs: [number, Uint8Array][]): Batch =>
  pack(
    engine,
    pairs.map(([index]) => index),
    pairs.map(([, outcome]) => outcome)
  )

test('results come in input order, whatever the order in which they arrive', async () => {
  const { job } = newJob()
  job.ended(2, outcomes([1, ok('d')], [0, ok('c')]))
  job.ended(0, outcomes([1, ok('b')]))
  job.ended(0, outcomes([0, ok('a')]))
  job.completed(4)
  expect(await job).toEqual(['a', 'b', 'c', 'd'])
  expect(job.metadata(3)).toEqual({
    submitted: 0,
    stdout: '',
    stderr: '',
    started: 0,
    completed: 1,
    engine: 'peerA/0',
    attempt: 1,
    earlier: []
  })
  expect(() => job.asCompleted()).toThrow('read already')
})

test('as completed, they come as they arrive, failures among them', async () => {
  const { job } = newJob()
  job.ended(0, outcomes([1, ok('b')], [0, bad('no')]))
  job.completed(2)
  const seen: unknown[] = []
  for await (const one of job.asCompleted())
    seen.push(one.error !== undefined ? [one.index, one.error.message] : one)
  expect(seen).toEqual([{ index: 1, value: 'b' }, [0, 'no']])
})

test('one failure rejects as itself, several together, none if they are asked for', async () => {
  const [one, several, asked] = [newJob().job, newJob().job, newJob({ returnErrors: true }).job]
  one.ended(0, outcomes([0, ok(1)], [1, bad('x')]))
  for (const job of [several, asked]) job.ended(0, outcomes([0, bad('y')], [1, bad('x')]))
  for (const job of [one, several, asked]) job.completed(2)
  await expect(one.then()).rejects.toBeInstanceOf(TaskError)
  await expect(one.then()).rejects.toMatchObject({ taskId: 'job:1', message: 'x' })
  const together = await several.catch((error) => error)
  expect(together).toBeInstanceOf(CompositeError)
  expect((together as CompositeError).errors.map(({ taskId }) => taskId)).toEqual(['job:0', 'job:1'])
  expect((await asked).map((error) => (error as Error).message)).toEqual(['y', 'x'])
})

test('a loop that ends early cancels the rest, one that ends well does not', async () => {
  const [early, whole] = [newJob(), newJob()]
  for (const { job } of [early, whole]) job.ended(0, outcomes([0, ok(0)], [1, ok(1)]))
  for await (const _ of early.job) break
  expect(early.said).toEqual(['cancel'])
  whole.job.completed(2)
  const seen: unknown[] = []
  for await (const result of whole.job) seen.push(result)
  expect([seen, whole.said]).toEqual([[0, 1], ['forget']])
})

test('accepted means all inputs, also of a source that is pulled with a bound and read by nobody', async () => {
  const { job } = newJob({ inFlightMax: 2 })
  expect(await job.room()).toBe(2)
  job.submitted(2)
  job.shardAccepted(place, 3)
  const more = job.room()
  let isAccepted = false
  const accepted = job.accepted.then(() => {
    isAccepted = true
  })
  // Both tasks end: there is room again, though nobody takes the results out, and more is to come.
  job.ended(0, outcomes([0, ok(0)], [1, ok(1)]))
  expect([await more, isAccepted]).toEqual([2, false])
  job.submitted(1)
  job.shardAccepted({ ...place, first: 2 }, 2)
  job.fed()
  // Of a client that left now, the mesh would wait for more.
  await new Promise((resolve) => setImmediate(resolve))
  expect(isAccepted).toBe(false)
  job.closed()
  await accepted
  // That part which is on the fewest disks is what could be lost first.
  expect(await job.accepted).toEqual({ copies: 2 })
})

test('a failed job ends all waiting, and is cancelled once', async () => {
  const { job, said } = newJob()
  const waiting = [job.then(), job.accepted]
  job.abandon(new ShoalError('SHOAL_BAD_VALUE', 'no'))
  job.abandon(new ShoalError('SHOAL_BAD_VALUE', 'again'))
  for (const promise of waiting) await expect(promise).rejects.toThrow('no')
  job.completed(0)
  expect(said).toEqual(['cancel', 'forget'])
})

function sinkOf(rooms: readonly number[]) {
  const shards: { count: number; isLast: boolean }[] = []
  let at = 0
  return {
    shards,
    closed: 0,
    shardsAhead: 0,
    shrink: async (value: Uint8Array) => value,
    room: async () => rooms[Math.min(at++, rooms.length - 1)] ?? 0,
    submit: (inputs: Batch, isLast: boolean) => void shards.push({ count: inputs.indexes.length, isLast }),
    close() {
      this.closed++
    }
  }
}

test('inputs are cut into full shards, and the last one is marked', async () => {
  const sink = sinkOf([Number.POSITIVE_INFINITY])
  await feed(new Array(2 * shardTasks + 1).fill(0), sink)
  expect(sink.shards).toEqual([
    { count: shardTasks, isLast: false },
    { count: shardTasks, isLast: false },
    { count: 1, isLast: true }
  ])
  const empty = sinkOf([10])
  await feed([], empty)
  expect([empty.shards, empty.closed]).toEqual([[], 1])
})

test('large inputs make small shards', async () => {
  const sink = sinkOf([Number.POSITIVE_INFINITY])
  await feed(new Array(50).fill(new Uint8Array(50_000)), sink)
  expect(sink.shards.map(({ count }) => count)).toEqual([21, 21, 8])
})

test('larger ones are put as data, a few at a time, and make small shards too', async () => {
  let [now, most] = [0, 0]
  const sink = {
    ...sinkOf([Number.POSITIVE_INFINITY]),
    shrink: async () => {
      most = Math.max(most, ++now)
      await new Promise(setImmediate)
      now--
      return Uint8Array.of(1)
    }
  }
  await feed(new Array(50).fill(new Uint8Array(800_000)), sink)
  expect(sink.shards.map(({ count }) => count)).toEqual([21, 21, 8])
  expect(most).toBe(8)
})

test('no more is pulled than there is room for, and the source is told when it is left', async () => {
  let pulled = 0
  let isClosed = false
  function* source(): Generator<number> {
    try {
      for (;;) yield pulled++
    } finally {
      isClosed = true
    }
  }
  const sink = sinkOf([3, 2, 0])
  await feed(source(), sink)
  expect(sink.shards.map(({ count }) => count)).toEqual([3, 2])
  expect([pulled, isClosed]).toEqual([5, true])
  expect([mayBeEndless(source()), mayBeEndless([1]), mayBeEndless(new Set())]).toEqual([true, false, false])
})

test('an input that cannot travel is named, and nothing from there on is submitted', async () => {
  const sink = sinkOf([Number.POSITIVE_INFINITY])
  const inputs = [...new Array(shardTasks).fill(1), 2, { deep: [Symbol('x')] }, 3]
  await expect(feed(inputs, sink)).rejects.toThrow(new RegExp(`input ${shardTasks + 1} .*deep\\[0\\]`))
  expect(sink.shards).toEqual([{ count: shardTasks, isLast: false }])
})

test('at a prompt a job and a task of it say how far they are, and that no result was taken out', async () => {
  const { job } = newJob()
  job.ended(0, outcomes([0, ok('a')], [1, bad('no')]))
  expect(inspect(job)).toBe("Job { id: 'job', done: 2, total: undefined, failed: 1, state: 'open' }")
  job.completed(2)
  expect(inspect(job)).toBe("Job { id: 'job', done: 2, total: 2, failed: 1, state: 'failed' }")
  expect(inspect(job.task(0))).toBe("Task { id: 'job:0', state: 'done' }")
  await expect(job.then()).rejects.toThrow('no')
})

test('what a listener throws ends nothing of the job, and keeps no other one from hearing', async () => {
  const thrown: (() => void)[] = []
  const later = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((act) => void thrown.push(act))
  const { job } = newJob()
  const heard: (number | undefined)[] = []
  const stop = job.onProgress(() => {
    throw new Error('not mine to end')
  })
  job.onProgress(({ done }) => heard.push(done))
  job.ended(0, outcomes([0, ok('a')]))
  stop()
  job.ended(0, outcomes([1, ok('b')]))
  job.completed(2)
  later.mockRestore()
  expect(await job).toEqual(['a', 'b'])
  expect(heard).toEqual([1, 2])
  expect(thrown.length).toBe(1)
  expect(thrown[0]).toThrow('not mine to end')
})

test('who asks for all of a job that is read one by one is refused, and the job is read as before', async () => {
  const { job } = newJob()
  job.ended(0, outcomes([0, ok('a')], [1, ok('b')]))
  job.completed(2)
  const reader = job[Symbol.asyncIterator]()
  expect(await reader.next()).toEqual({ done: false, value: 'a' })
  const refused = expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
  for (let times = 0; times < 2; times++) await expect(job).rejects.toEqual(refused)
  expect(() => job[Symbol.asyncIterator]()).toThrow(refused)
  expect(await reader.next()).toEqual({ done: false, value: 'b' })
})

test('what is no listener is refused at the call, and an acceptance that nobody awaits ends no process', async () => {
  const { job } = newJob()
  const handles = [job, new Task(job), job.task(0)]
  const refused = expect.objectContaining({ code: 'SHOAL_BAD_OPTION' })
  for (const handle of handles)
    for (const how of ['onProgress', 'onOutput'] as const)
      expect(() => handle[how](undefined as never)).toThrow(refused)
  const unheard: unknown[] = []
  const hear = (error: unknown): void => void unheard.push(error)
  process.on('unhandledRejection', hear)
  const accepted = handles.map((handle) => handle.accepted)
  job.abandon(new ShoalError('SHOAL_BAD_FUNCTION', 'no'))
  await expect(job).rejects.toThrow('no')
  await new Promise(setImmediate)
  process.off('unhandledRejection', hear)
  expect(unheard).toEqual([])
  for (const one of accepted) await expect(one).rejects.toThrow()
})
