/**
 * Runs seeds: `npm run -s sim -- --seeds 300 [--seed N] [--json]`.
 *
 * Not here: the world (world.ts). Each seed runs twice, and its two traces must be equal.
 * The last line says how many seeds, violations, virtual hours and real seconds; the exit code is 1 if there was a violation.
 */
import { parseArgs } from 'node:util'
import { World } from './world.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'boolean', default: false }
  }
})

const first = values.seed === undefined ? 1 : Number(values.seed)
// A seed alone is replayed alone; with a number, it is where to begin.
const seeds = Number(values.seeds ?? (values.seed === undefined ? 100 : 1))
if (!Number.isInteger(first) || !Number.isInteger(seeds) || seeds < 1) {
  console.error('usage: npm run -s sim -- [--seeds COUNT] [--seed SEED] [--json]')
  process.exit(2)
}

let violations = 0
let virtualMs = 0
let outcomes = 0
const started = performance.now()
for (let seed = first; seed < first + seeds; seed++) {
  const traces: number[] = []
  try {
    for (let again = 0; again < 2; again++) {
      const world = new World(seed)
      try {
        traces.push(world.run())
      } finally {
        virtualMs += world.clock.now
        outcomes += world.checkers.outcomes
      }
    }
    if (traces[0] !== traces[1])
      throw new Error('the same seed gave two traces: something in the core is not deterministic')
  } catch (error) {
    violations++
    const text =
      error instanceof Error ? (error.name === 'Violation' ? error.message : error.stack) : String(error)
    console.error(`seed ${seed}: ${text}\n  replay: npm run -s sim -- --seed ${seed}`)
  }
  if (!values.json && process.stderr.isTTY) process.stderr.write(`\r${seed - first + 1}/${seeds}`)
}
const seconds = Number(((performance.now() - started) / 1_000).toFixed(1))
const virtualHours = Number((virtualMs / 3_600_000).toFixed(2))
console.log(JSON.stringify({ seeds, violations, virtualHours, outcomes, seconds }))
process.exitCode = violations > 0 ? 1 : 0
