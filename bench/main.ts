/**
 * Asks the questions that were named, or all of them, and prints what came out.
 *
 * Not here: the questions themselves, one file for each.
 * A benchmark that measured has done its work: whether a budget holds is for its reader, so the exit code is 0.
 */
import { readFlags } from '../build/flags.ts'
import { blocking } from './blocking.ts'
import { data } from './data.ts'
import { idle } from './idle.ts'
import { latency } from './latency.ts'
import { type Answer, circumstances, type Question } from './measure.ts'
import { memory } from './memory.ts'
import { overhead } from './overhead.ts'
import { recovery } from './recovery.ts'

const questions: readonly Question[] = [overhead, latency, recovery, idle, memory, blocking, data]
const usage = `usage: npm run -s bench -- [${questions.map(({ name }) => name).join(' | ')}]... [--json] [--profile FOLDER]`

function text(answer: Answer): string {
  const { question, budget, ok, ...fields } = answer
  const lines = Object.entries(fields).map(([name, value]) => `  ${name.padEnd(26)} ${shown(value)}`)
  const limits = Object.entries(budget).map(([name, limit]) => `${name} ${limit.toLocaleString('en')}`)
  return [...lines, `  ${ok ? 'within' : 'OUTSIDE'} its budget: ${limits.join(', ')}`].join('\n')
}

function shown(value: unknown): string {
  if (typeof value === 'number') return value.toLocaleString('en')
  if (Array.isArray(value)) return value.map(shown).join(', ')
  if (typeof value !== 'object' || value === null) return String(value)
  const parts = Object.entries(value).map(([name, part]) => `${name} ${shown(part)}`)
  return parts.join(', ')
}

async function main(): Promise<number> {
  const options = { json: { type: 'boolean' }, profile: { type: 'string' } } as const
  const { values, positionals } = readFlags(usage, { allowPositionals: true, options })
  const odd = positionals.find((name) => !questions.some((question) => question.name === name))
  if (odd !== undefined) {
    console.error(`there is no question ${odd}; ${usage}`)
    return 2
  }
  const asked = questions.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const around = circumstances()
  if (!values.json) console.log(`${around.machine}, Node ${around.node}, commit ${around.commit}`)
  for (const question of asked) {
    if (!values.json) console.log(`\n${question.asks}`)
    const say = values.json ? () => {} : (line: string) => console.log(`  ${line}`)
    const answer = await question.answer({ profiles: values.profile, say })
    console.log(values.json ? JSON.stringify({ ...answer, ...around }) : text(answer))
  }
  return 0
}

process.exitCode = await main()
