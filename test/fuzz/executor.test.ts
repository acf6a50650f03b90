/**
 * User code that speaks in the name of its engine: the node lives on.
 *
 * Not here: user code that does what it should (test/tasks/executor).
 * What such a run ends with is its own business; that it ends, and that the next one is served, is what is looked at. Code that
 * writes into the memory of its engine may hang its own run, as it may by a loop: threads share a process.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { bench, indexesOf } from '../tasks/executor/bench.ts'

/** A case may cost a thread; a thousandth of the cases of a parser is a lot. */
const runs = Math.ceil(Number(process.env.FUZZ_RUNS ?? 10_000) / 1_000)
vi.setConfig({ testTimeout: 60_000 + 1_000 * runs })

test('messages that an engine never sends', async () => {
  const numbers = fc.array(fc.nat(5), { maxLength: 4 })
  const columns = fc.oneof(
    numbers.map((list) => Uint32Array.from(list)),
    fc.anything()
  )
  const message = fc.oneof(
    fc.record(
      {
        kind: fc.constant('ended'),
        run: fc.constantFrom(1, 2, 3, 99),
        positions: columns,
        ends: columns,
        body: fc.oneof(fc.uint8Array(), fc.anything())
      },
      { requiredKeys: ['kind', 'run'] }
    ),
    fc.anything()
  )
  const survives = fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 4 }), async (messages) => {
    const { pool, start } = bench()
    const all = await start(
      'post',
      messages.map((one) => [one])
    )
    expect(indexesOf(all).toSorted()).toEqual(messages.map((_, i) => i))
    expect((await start('default', [['alive']]))[0]?.value).toBe('alive')
    await pool.close()
  })
  await fc.assert(survives, { numRuns: runs })
})
