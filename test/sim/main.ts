/**
 * The simulator's command line: seeds, hours of seeds, and mutations.
 *
 * Not here: the world (world.ts), processes (pool.ts). `npm run -s sim -- --seeds 300 [--seed FIRST]`, `--seed N [--about KEY]`,
 * `--hours 1`,
 * `--mutations [--only NAME] [--seeds MAX]`, `--scale NODES [--tasks COUNT]`. Progress goes to stderr; the last line of stdout is JSON, and the exit code 1
 * says that there was a violation, or that a mutation was not caught.
 */
import { readFlags } from '../../build/flags.ts'
import { mutations } from './mutations.ts'
import { inParallel, processes, work } from './pool.ts'
import { measureScale } from './scale.ts'
import { runSeed, type Verdict } from './seeds.ts'
import { watch } from './watch.ts'
import type { WorldOptions } from './world.ts'

const usage = `usage: npm run -s sim -- [--seeds COUNT] [--seed FIRST] [--hours H]
       npm run -s sim -- --seed SEED [--about KEY]
       npm run -s sim -- --mutations [--only NAME] [--seeds MOST]
       npm run -s sim -- --scale NODES [--tasks COUNT]`
/** A part of the seeds runs twice: whatever makes a run differ from its repetition does so in many seeds. */
const twiceEvery = 10
const mutationSeeds = 2_000

const { values } = readFlags(usage, {
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    hours: { type: 'string' },
    mutations: { type: 'boolean', default: false },
    only: { type: 'string' },
    about: { type: 'string' },
    scale: { type: 'string' },
    tasks: { type: 'string' },
    json: { type: 'boolean', default: false }
  }
})

function whole(text: string | undefined, otherwise: number): number {
  const number = text === undefined ? otherwise : Number(text)
  if (Number.isInteger(number) && number >= 1) return number
  console.error(usage)
  process.exit(2)
}

/** Seeds by all processes; every `twiceEvery`th twice. */
async function judge(first: number, count: number | undefined, hours: number): Promise<boolean> {
  const started = performance.now()
  const until = Date.now() + hours * 3_600_000
  const sum = { seeds: 0, runs: 0, virtualMs: 0, outcomes: 0, violations: 0 }
  let toldAt = started
  const note = (verdict: Verdict): void => {
    sum.seeds++
    sum.runs += verdict.runs
    sum.virtualMs += verdict.virtualMs
    sum.outcomes += verdict.outcomes
    if (verdict.checker !== undefined) {
      sum.violations++
      console.error(`seed ${verdict.seed}: ${verdict.checker}: ${verdict.message}`)
      console.error(`  replay: npm run -s sim -- --seed ${verdict.seed}`)
    }
    const now = performance.now()
    if (now - toldAt < 10_000) return
    toldAt = now
    console.error(
      `${sum.seeds} seeds, ${sum.violations} violations, ${((now - started) / 1_000).toFixed(0)} s`
    )
  }
  const lanes = Array.from({ length: processes }, (_, lane) => () => {
    const share = count === undefined ? [] : ['--count', `${Math.ceil((count - lane) / processes)}`]
    const end = count === undefined ? ['--until', `${until}`] : []
    const range = ['--first', `${first + lane}`, '--step', `${processes}`, '--twice', `${twiceEvery}`]
    return work([...range, ...share, ...end], note)
  })
  await inParallel(lanes)
  const seconds = Number(((performance.now() - started) / 1_000).toFixed(1))
  const virtualHours = Number((sum.virtualMs / 3_600_000).toFixed(2))
  const { seeds, runs, outcomes, violations } = sum
  console.log(JSON.stringify({ seeds, runs, violations, virtualHours, outcomes, seconds }))
  return violations === 0
}

function watching(about: string | undefined): WorldOptions {
  if (about === undefined) return {}
  const say = (line: string): void => console.log(line)
  return {
    onStep: watch(about, say),
    onNote: (at, who, what) => say(`${(at / 1_000).toFixed(4).padStart(9)} ${who} *** ${what}`)
  }
}

function replay(seed: number, about: string | undefined): boolean {
  const started = performance.now()
  const { checker, message, virtualMs, outcomes, runs } = runSeed(seed, about === undefined, watching(about))
  if (checker !== undefined) console.error(`seed ${seed}: ${checker}: ${message}`)
  const virtualHours = Number((virtualMs / 3_600_000).toFixed(2))
  const seconds = Number(((performance.now() - started) / 1_000).toFixed(1))
  const violations = checker === undefined ? 0 : 1
  console.log(JSON.stringify({ seeds: 1, runs, violations, virtualHours, outcomes, seconds }))
  return violations === 0
}

function scale(nodes: number, tasks: number): boolean {
  const found = measureScale(nodes, tasks, (text) => console.error(text))
  console.log(JSON.stringify(found))
  return found.tasks === tasks
}

/** Each mutation until a checker finds it: a judge that cannot find what was broken on purpose proves nothing. */
async function judgeTheJudge(only: string | undefined, most: number): Promise<boolean> {
  const chosen = mutations.filter(({ name }) => only === undefined || name === only)
  if (chosen.length === 0) {
    console.error(`no mutation is called ${only}; there are ${mutations.map(({ name }) => name).join(', ')}`)
    process.exit(2)
  }
  let caught = 0
  const lanes = chosen.map(({ name, why }) => async () => {
    let seeds = 0
    let found: Verdict | undefined
    const args = ['--mutation', name, '--count', `${most}`, '--stop-at-first']
    await work(args, (verdict) => {
      seeds++
      if (verdict.checker !== undefined) found = verdict
    })
    const sound = found === undefined ? undefined : runSeed(found.seed, false)
    if (sound?.checker !== undefined)
      console.log(
        `${name.padEnd(28)} NOT CAUGHT: seed ${sound.seed} fails without it too, by ${sound.checker}`
      )
    else if (found?.checker === 'error') console.log(`${name.padEnd(28)} IS NO MUTATION: ${found.message}`)
    else if (found === undefined) console.log(`${name.padEnd(28)} NOT CAUGHT in ${seeds} seeds   ${why}`)
    else {
      caught++
      console.log(
        `${name.padEnd(28)} ${String(seeds).padStart(5)} seeds  ${found.checker?.padEnd(18)} ${why}`
      )
      if (only !== undefined) console.log(`  ${found.message}`)
    }
  })
  await inParallel(lanes)
  console.log(JSON.stringify({ mutations: chosen.length, caught }))
  return caught === chosen.length
}

const isReplay = values.seed !== undefined && values.seeds === undefined && values.hours === undefined
const first = whole(values.seed, 1)
const hours = Number(values.hours ?? 0)
let isFine: boolean
if (values.scale !== undefined) isFine = scale(whole(values.scale, 1), whole(values.tasks, 100_000))
else if (values.mutations) isFine = await judgeTheJudge(values.only, whole(values.seeds, mutationSeeds))
else if (isReplay) isFine = replay(first, values.about)
else if (hours > 0) isFine = await judge(first, undefined, hours)
else isFine = await judge(first, whole(values.seeds, 100), 0)
process.exitCode = isFine ? 0 : 1
