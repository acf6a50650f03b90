/**
 * A process that runs seeds and says of each, in one line of JSON, what became of it.
 *
 * Not here: the seeds' worlds (world.ts), and dividing seeds among processes (pool.ts).
 * With a mutation, the load hook is there before the first module of src is loaded, so nothing of it runs unmutated.
 */
import { parseArgs } from 'node:util'
import { mutate } from './mutate.ts'
import { mutationNamed } from './mutations.ts'

const { values } = parseArgs({
  options: {
    first: { type: 'string', default: '1' },
    count: { type: 'string' },
    step: { type: 'string', default: '1' },
    /** Every such seed is run twice; 0 for none. */
    twice: { type: 'string', default: '0' },
    until: { type: 'string' },
    mutation: { type: 'string' },
    'stop-at-first': { type: 'boolean', default: false }
  }
})

const [first, step, twice] = [Number(values.first), Number(values.step), Number(values.twice)]
const count = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count)
const until = values.until === undefined ? Number.POSITIVE_INFINITY : Number(values.until)
if (values.mutation !== undefined) mutate(mutationNamed(values.mutation))
// Loaded only now, because of the hook.
const { runSeed } = await import('./seeds.ts')

for (let i = 0; i < count && Date.now() < until; i++) {
  const seed = first + i * step
  const verdict = runSeed(seed, twice > 0 && seed % twice === 0)
  process.stdout.write(`${JSON.stringify(verdict)}\n`)
  if (verdict.checker !== undefined && values['stop-at-first']) break
}
