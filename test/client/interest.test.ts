/**
 * Handles by an id: from when on they are told of their job, what their readers end, and what each has for itself.
 *
 * Not here: the mesh (conformance/readers.test.ts), and what the session makes of it (readers.test.ts).
 */
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import type { JobSummary } from '../../src/client/answers.ts'
import { heed } from '../../src/client/heed.ts'
import { Job } from '../../src/client/job.ts'
import { Single } from '../../src/client/single.ts'
import { Task } from '../../src/client/task.ts'
import { encodeValue } from '../../src/client/values.ts'
import type { JobId } from '../../src/ids.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'

const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 0 }
const outcomes = (...values: number[]): Batch =>
  pack(
    '',
    values.map((_, index) => index),
    values.map((value) => encodeOutcome(header, encodeValue(value)))
  )
const summary = { tasks: 2, done: 1, failed: 0, cancelled: 0, isClosed: true } as JobSummary

function byId({ standing = [summary] as (JobSummary | undefined)[], goes = false } = {}) {
  const said: string[] = []
  const host = {
    cancel: () => void said.push('cancel'),
    forget: () => void said.push('forget'),
    tell: (one: unknown, wanted: string) => {
      said.push(wanted)
      if (wanted !== 'place') return
      if (goes && said.length > 2) (one as Job<number>).absent()
      else (one as Job<number>).found(0)
    },
    release: async () => {},
    explain: () => Promise.reject(new Error('nobody asks')),
    standing: async () => standing.shift(),
    locate: async () => [],
    makerOf: () => undefined
  }
  const inFlightMax = Number.POSITIVE_INFINITY
  const plan = { id: 'job' as JobId, host, isFound: true, returnErrors: false, inFlightMax }
  return { job: new Job<number>({ ...plan, gate: (one) => one }), said }
}

test('a handle that is only asked how its job stands is told where that is, and no more', async () => {
  const { job, said } = byId({ standing: [summary, summary] })
  expect(inspect(job)).toContain("state: 'open'")
  expect(said).toEqual([])
  const status = { id: 'job', state: 'running', done: 1, total: 2, failed: 0 }
  expect(await job.status()).toEqual(status)
  expect(await job.status()).toEqual(status)
  expect(await job.task(1).status()).toMatchObject({ id: 'job:1', state: 'running' })
  // It was found once; an answer of nobody could mean that the job is gone.
  expect(said).toEqual(['place', 'nothing', 'place', 'nothing'])
})

test('that its job is gone by now it hears at the next question', async () => {
  const { job, said } = byId({ goes: true })
  expect(await job.status()).toMatchObject({ state: 'running' })
  await expect(job.status()).rejects.toMatchObject({ code: 'SHOAL_NOT_FOUND' })
  expect(said).toEqual(['place', 'nothing', 'place', 'forget'])
})

test('whoever waits for something of a job, looks at it or ends it is told everything', async () => {
  const ways: ((job: Job<number>) => unknown)[] = [
    (job) => void job.then(),
    (job) => job[Symbol.asyncIterator](),
    (job) => job.asCompleted(),
    (job) => void job.wait(),
    (job) => void job.accepted,
    (job) => job.ready,
    (job) => job.successful,
    (job) => new Task(job).ready,
    (job) => new Task(job).progress,
    (job) => job.progress,
    (job) => job.metadata(0),
    (job) => job.stdout,
    (job) => job.onProgress(() => {}),
    (job) => job.onOutput(() => {}),
    (job) => void job.task(0).wait(),
    (job) => job.cancelTask(0),
    (job) => void job.cancel()
  ]
  for (const way of ways) {
    const { job, said } = byId()
    way(job)
    expect([way.toString(), said[0]]).toEqual([way.toString(), 'everything'])
    expect(job.ready).toBe(false)
    expect(said.filter((word) => word === 'everything')).toHaveLength(1)
  }
})

test('a reader who leaves its loop cancels nothing and is told no more; what is asked of the handle then begins anew', async () => {
  const { job, said } = byId()
  const loop = (async (): Promise<void> => {
    for await (const value of job) {
      expect(value).toBe(5)
      break
    }
  })()
  job.ended(0, outcomes(5, 6))
  await loop
  expect(said).toEqual(['everything', 'nothing'])
  expect(() => job[Symbol.asyncIterator]()).toThrow('read already')
  const ended = job.wait()
  expect(said).toEqual(['everything', 'nothing', 'everything'])
  job.ended(0, outcomes(5, 6))
  expect(job.progress.done).toBe(2)
  // Nobody reads what it was told, so nothing of it is kept.
  expect(job.metadata(0)).toBeUndefined()
  job.completed(2)
  expect(await ended).toBe(true)
  expect(said.slice(3)).toEqual(['forget'])
})

test('a loop that is left while it waits for its next result ends; who still listens is told on', async () => {
  const { job, said } = byId()
  let told = 0
  job.onProgress(() => told++)
  const loop = job.asCompleted()[Symbol.asyncIterator]()
  const next = loop.next()
  await loop.return?.()
  expect(await next).toEqual({ done: true, value: undefined })
  job.ended(0, outcomes(5))
  expect([told, said]).toEqual([1, ['everything']])
})

test('a signal of one who asked for a single task ends that handle alone', async () => {
  const { job } = byId()
  const [early, late] = [AbortSignal.abort('before'), new AbortController()]
  const of = (signal?: AbortSignal): Single<number> =>
    new Single({ job: job.id, index: 0, gate: (one) => one, find: () => job as Job<unknown>, signal })
  const [first, second, third] = [of(early), of(late.signal), of()]
  const ends = [first, second, third].map((one) => one.then(undefined, (error) => error))
  const accepted = second.accepted.catch((error) => error)
  late.abort('after')
  expect(await ends[0]).toMatchObject({ code: 'SHOAL_CANCELLED', cause: 'before' })
  expect(await ends[1]).toMatchObject({ code: 'SHOAL_CANCELLED', cause: 'after' })
  expect([second.ready, third.ready, job.isWanted]).toEqual([true, false, true])
  expect(await accepted).toMatchObject({ code: 'SHOAL_CANCELLED' })
  job.ended(0, outcomes(5))
  expect(await ends[2]).toBe(5)
})

test('a signal of a reader ends its handle and cancels nothing', async () => {
  const { job, said } = byId()
  const controller = new AbortController()
  heed(controller.signal, job, false)
  const end = job.then(undefined, (error) => error)
  controller.abort()
  expect(await end).toMatchObject({ code: 'SHOAL_CANCELLED' })
  expect(said).toEqual(['everything', 'forget'])
})
