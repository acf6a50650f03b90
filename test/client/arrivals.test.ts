/**
 * Large results reach a job one by one as they come, and before its end.
 *
 * Not here: from where they come (data.test.ts).
 */
import { expect, test } from 'vitest'
import { Arrivals } from '../../src/client/arrivals.ts'
import { settledOf } from '../../src/client/settled.ts'
import { encodeValue } from '../../src/client/values.ts'
import { closeEnvelope } from '../../src/data/envelope.ts'
import { ShoalError } from '../../src/errors.ts'
import { type DataId, dataId, type JobId, type PeerId } from '../../src/ids.ts'
import { type Batch, encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import { withOutput } from '../../src/tasks/output.ts'

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

function begin(): {
  arrivals: Arrivals
  told: string[]
  come: (index: number, value?: unknown) => Promise<void>
} {
  const coming = new Map<DataId, PromiseWithResolvers<unknown>>()
  const arrivals = new Arrivals(async (id, make) => {
    coming.set(id, Promise.withResolvers())
    const bytes = encodeValue(await coming.get(id)?.promise)
    const made = make(bytes)
    bytes.fill(0xff)
    return made
  })
  const told: string[] = []
  return {
    arrivals,
    told,
    come: async (index, value = `far ${index}`) => {
      if (value instanceof Error) coming.get(idOf(index))?.reject(value)
      else coming.get(idOf(index))?.resolve(value)
      await new Promise(setImmediate)
    }
  }
}

function take({ arrivals, told }: ReturnType<typeof begin>, taken: Batch): void {
  arrivals.take(job, taken, (outcomes, value) => {
    for (const [at, index] of outcomes.indexes.entries()) {
      const { value: result, error, run } = settledOf(job, index, { outcomes, at, value, submitted: 0 })
      told.push(`${index}: ${error?.message ?? result}, ${run.stdout}`)
    }
  })
}

test('what is here is told at once, the rest as it comes, the end last', async () => {
  const begun = begin()
  take(begun, outcomes(0, ['near', 'far', 'far', 'near']))
  take(begun, outcomes(4, ['near']))
  begun.arrivals.end(job, () => begun.told.push('end'))
  begun.arrivals.end('another' as JobId, () => begun.told.push('end of another'))
  expect(begun.told).toEqual(['0: 0, printed 0', '3: 3, printed 3', '4: 4, printed 4', 'end of another'])
  await begun.come(2)
  expect(begun.told.slice(4)).toEqual(['2: far 2, printed 2'])
  await begun.come(1)
  expect(begun.told.slice(5)).toEqual(['1: far 1, printed 1', 'end'])
})

test('a result that cannot be had is a failure of its task alone, with what it printed', async () => {
  const begun = begin()
  take(begun, outcomes(0, ['far', 'far']))
  begun.arrivals.end(job, () => begun.told.push('end'))
  await begun.come(0, new ShoalError('SHOAL_NOT_FOUND', 'nobody has it'))
  await begun.come(1)
  expect(begun.told).toEqual([
    '0: the result cannot be had: SHOAL_NOT_FOUND: nobody has it, printed 0',
    '1: far 1, printed 1',
    'end'
  ])
})
