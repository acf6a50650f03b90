/**
 * That the mutations of the simulator still mean something: their snippets are there, once, and one of them is caught.
 *
 * Not here: that all of them are caught, which takes a minute (`npm run -s sim -- --mutations`).
 */
import { expect, test } from 'vitest'
import { mutated } from './mutate.ts'
import { mutationNamed, mutations } from './mutations.ts'
import { work } from './pool.ts'
import type { Verdict } from './seeds.ts'

test.each(mutations.map((mutation) => [mutation.name, mutation] as const))(
  'the snippet of %s is in src, once',
  (_, mutation) => {
    const [changed] = mutated(mutation).values()
    expect(changed).toContain(mutation.to)
  }
)

test('names differ', () => {
  expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length)
})

test('a snippet that is gone is an error that names the mutation', () => {
  const mutation = { ...mutationNamed('skip-sync'), from: 'no such line' }
  expect(() => mutated(mutation)).toThrow('mutation skip-sync is stale: its snippet occurs 0 times')
})

test('a keeper that answers before its sync is caught, and by the right checker', async () => {
  const verdicts: Verdict[] = []
  await work(['--mutation', 'skip-sync', '--count', '50', '--stop-at-first'], (verdict) =>
    verdicts.push(verdict)
  )
  expect(verdicts.at(-1)?.checker).toBe('durable-before-ack')
})
