/**
 * Signals of callers: what they end, and that nothing stays behind on one that lives for long.
 *
 * Not here: jobs as such (job.test.ts). Outcomes and items are handed in as the session and the line would.
 */
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { heed } from '../../src/client/heed.ts'
import { Job } from '../../src/client/job.ts'
import { Streams } from '../../src/client/stream.ts'
import type { JobId } from '../../src/ids.ts'

const nobody = (): Promise<never> => Promise.reject(new Error('nobody asks'))
const host = {
  cancel: () => {},
  forget: () => {},
  tell: () => {},
  makerOf: () => undefined,
  release: async () => {},
  explain: nobody,
  standing: nobody,
  locate: async () => []
}
function heeding(signal: AbortSignal): Job<unknown> {
  const job = new Job<unknown>({
    id: 'job' as JobId,
    host,
    isFound: false,
    returnErrors: false,
    inFlightMax: Number.POSITIVE_INFINITY,
    gate: (one) => one
  })
  heed(signal, job, true)
  return job
}
const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length
const error = new Error('no more of it')

test('a job that has ended, however it did, is let go by the signal that it was given', async () => {
  const { signal } = new AbortController()
  const ends: ((job: Job<unknown>) => void)[] = [
    (job) => job.completed(0),
    (job) => job.fail(error),
    (job) => job.abandon(error)
  ]
  for (const end of ends) {
    const job = heeding(signal)
    expect(listeners(signal)).toBe(1)
    end(job)
    expect(listeners(signal)).toBe(0)
  }
})

test('a signal that aborts ends the job with SHOAL_CANCELLED, also one that had aborted before', async () => {
  const late = new AbortController()
  const jobs = [heeding(AbortSignal.abort('first')), heeding(late.signal)]
  late.abort('second')
  const ends = await Promise.allSettled(jobs)
  expect(ends).toMatchObject([
    { reason: { code: 'SHOAL_CANCELLED', cause: 'first' } },
    { reason: { code: 'SHOAL_CANCELLED', cause: 'second' } }
  ])
  expect(listeners(late.signal)).toBe(0)
})

test('so is a live source, whether it ends or its reader leaves', async () => {
  const { signal } = new AbortController()
  const streams = new Streams(() => {})
  const ended = streams.open('ended', 1, signal)
  const left = streams.open('left', 1, signal)
  void ended.next()
  expect(listeners(signal)).toBe(2)
  streams.message({ kind: 'source-ended', ask: 1, code: '', message: 'the end' })
  expect(listeners(signal)).toBe(1)
  await left.return()
  expect(listeners(signal)).toBe(0)
  const aborted = new Streams(() => {}).open('aborted', 1, AbortSignal.abort())
  await expect(aborted.next()).rejects.toMatchObject({ code: 'SHOAL_CANCELLED' })
})
