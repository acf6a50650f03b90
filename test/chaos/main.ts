/**
 * Chaos on real processes: `npm run -s chaos -- [--seconds 120] [--nodes 5] [--seed N] [--json] [--keep]`.
 *
 * Not here: the run (run.ts). Progress goes to stderr; with --json only what went wrong does.
 * The last line of stdout is the summary; the exit code is 1 if anything was lost, wrong, delivered twice or stuck, or if work
 * of killed nodes stood still for too long (recoveryBudget, from 10 measured kills on).
 */
import { readFlags } from '../../build/flags.ts'
import { faultsOf, runChaos } from './run.ts'

const usage =
  'usage: npm run -s chaos -- [--seconds S] [--nodes N, at least 3] [--seed SEED] [--json] [--keep]'

const { values } = readFlags(usage, {
  options: {
    seconds: { type: 'string', default: '120' },
    nodes: { type: 'string', default: '5' },
    seed: { type: 'string' },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false }
  }
})

const seconds = Number(values.seconds)
const nodes = Number(values.nodes)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000))
if (!(seconds > 0) || !Number.isInteger(nodes) || nodes < 3 || !Number.isInteger(seed)) {
  console.error(usage)
  process.exit(2)
}

const started = performance.now()
const say = (text: string): void => {
  const at = ((performance.now() - started) / 1_000).toFixed(1).padStart(6)
  process.stderr.write(`${at} s  ${text}\n`)
}
say(`seed ${seed}`)
const summary = await runChaos({ seconds, nodes, seed, say, keep: values.keep })
if (!values.json) {
  for (const [name, value] of Object.entries(summary)) console.log(`${name.padEnd(20)} ${value}`)
}
console.log(JSON.stringify(summary))
const faults = faultsOf(summary)
for (const fault of faults) process.stderr.write(`${fault}\n`)
process.exit(faults.length > 0 ? 1 : 0)
