/**
 * Large results reach a job one by one as they come, and before its end.
 *
 * Not here: from where they come (data.test.ts).
 */
import { expect, test } from 'vitest'
import { Arrivals, type Hearer } from '../../src/client/arrivals.ts'
import { MeshClient } from '../../src/client/client.ts'
import type { OwnData } from '../../src/client/data.ts'
import type { EntryMessage } from '../../src/client/protocol.ts'
import { settledOf } from '../../src/client/settled.ts'
import { encodeValue } from '../../src/client/values.ts'
import { closeEnvelope } from '../../src/data/envelope.ts'
import { ShoalError } from '../../src/errors.ts'
import { type DataId, dataId, type JobId, type PeerId, shardKey } from '../../src/ids.ts'
import type { Reading } from '../../src/node/reading.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { withOutput } from '../../src/tasks/output.ts'
import { headerOf } from '../tasks/header.ts'

const job = 'job' as JobId
const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 1, startedAt: 1 }
const idOf = (index: number): DataId => dataId(Buffer.alloc(32, index).toString('base64url'), 100_000)

function outcomes(from: number, kinds: readonly ('near' | 'far')[]): Batch {
  const values = kinds.map((kind, at) => {
    const inner = new Uint8Array(0)
    const value =
      kind === 'near' ? encodeValue(from + at) : closeEnvelope({ kind, ids: [idOf(from + at)], inner })
    return withOutput(encodeOutcome(header, value), { stdout: `printed ${from + at}`, stderr: '' })
  })
  return pack(
    'node' as PeerId,
    Uint32Array.from(kinds, (_, at) => from + at),
    values
  )
}

function begin() {
  const coming = new Map<DataId, PromiseWithResolvers<unknown>>()
  const told: string[] = []
  const hearerOf = (id: JobId): Hearer => ({
    ended: (first, outcomes, value) => {
      for (const [at, index] of outcomes.indexes.entries()) {
        const settled = settledOf(id, index, { outcomes, at, value, submitted: 0 })
        const { value: result, error, run } = settled
        told.push(`${first + index}: ${error?.message ?? result}, ${run.stdout}`)
      }
    },
    completed: () => told.push(`end of ${id}`)
  })
  const hearers = { job: hearerOf(job), another: hearerOf('another' as JobId) }
  const arrivals = new Arrivals(
    async (id, make) => {
      coming.set(id, Promise.withResolvers())
      const bytes = encodeValue(await coming.get(id)?.promise)
      const made = make(bytes)
      bytes.fill(0xff)
      return made
    },
    (id) => hearers[id as keyof typeof hearers]
  )
  const take = (outcomes: Batch): void => arrivals.take({ job, first: 0, outcomes })
  const end = (id: string): void => arrivals.end({ job: id as JobId, tasks: 1 })
  const come = async (index: number, value: unknown = `far ${index}`): Promise<void> => {
    if (value instanceof Error) coming.get(idOf(index))?.reject(value)
    else coming.get(idOf(index))?.resolve(value)
    await new Promise(setImmediate)
  }
  return { take, end, told, come }
}

test('what is here is told at once, the rest as it comes, the end last', async () => {
  const { take, end, told, come } = begin()
  take(outcomes(0, ['near', 'far', 'far', 'near']))
  take(outcomes(4, ['near']))
  end('job')
  end('another')
  expect(told).toEqual(['0: 0, printed 0', '3: 3, printed 3', '4: 4, printed 4', 'end of another'])
  await come(2)
  expect(told.slice(4)).toEqual(['2: far 2, printed 2'])
  await come(1)
  expect(told.slice(5)).toEqual(['1: far 1, printed 1', 'end of job'])
})

test('a result that cannot be had is a failure of its task alone, with what it printed', async () => {
  const { take, end, told, come } = begin()
  take(outcomes(0, ['far', 'far']))
  end('job')
  await come(0, new ShoalError('SHOAL_NOT_FOUND', 'nobody has it'))
  await come(1)
  expect(told).toEqual([
    '0: the result cannot be had: SHOAL_NOT_FOUND: nobody has it, printed 0',
    '1: far 1, printed 1',
    'end of job'
  ])
})

test('a job that is opened again hears only what is brought for it', async () => {
  const jobId = 'job-0001' as JobId
  const placement = { key: shardKey(jobId, 0, 0), keepers: ['node' as PeerId], first: 0, count: 2 }
  const coming: PromiseWithResolvers<Reading>[] = []
  const chunks = (): Promise<Reading> => {
    coming.push(Promise.withResolvers())
    return (coming.at(-1) as PromiseWithResolvers<Reading>).promise
  }
  const turn = (): Promise<void> => new Promise(setImmediate)
  const come = async (nth: number, value: string): Promise<void> => {
    coming[nth]?.resolve({ read: async () => encodeValue(value), close: async () => {} })
    await turn()
  }
  let tell = (_messages: readonly EntryMessage[]): void => {}
  const client = new MeshClient((events) => {
    tell = events.onMessages
    const nothing = async (): Promise<void> => {}
    const data = { own: { chunks } as unknown as OwnData }
    return { data, open: nothing, send: () => {}, learn: () => {}, leave: nothing, close: nothing }
  }, '')
  const tells = async (): Promise<void> => {
    await turn()
    tell([
      { kind: 'found', placement, header: headerOf({ job: jobId }), shards: 1 },
      { kind: 'results', key: placement.key, outcomes: outcomes(0, ['far', 'far']) }
    ])
    await turn()
  }
  const controller = new AbortController()
  const first = client.job(jobId, { signal: controller.signal }).catch((error) => error)
  await tells()
  controller.abort()
  expect(await first).toMatchObject({ code: 'SHOAL_CANCELLED' })
  const again = client.job<string>(jobId)
  const read = Array.fromAsync(again.asCompleted())
  await tells()
  for (const nth of [0, 1]) await come(nth, `late ${nth}`)
  expect(again.progress.done).toBe(0)
  for (const nth of [2, 3]) await come(nth, `new ${nth}`)
  expect(await read).toEqual([
    { index: 0, value: 'new 2' },
    { index: 1, value: 'new 3' }
  ])
  await client.close()
})
