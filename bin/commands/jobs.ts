/**
 * `shoal jobs`: the jobs that the mesh remembers, newest first.
 *
 * Not here: their results (commands/result.ts).
 */
import type { JobSummary } from '../../src/client/answers.ts'
import { readArguments, refuseOperands } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { askMesh, meshFlags, meshUsage } from '../mesh.ts'
import { clock, table } from '../output.ts'

export const jobs: Command = {
  usage: `usage: shoal jobs [FLAGS]

Lists jobs, newest first. open: more tasks may come; running: some have no result yet; done: all ended, and if some of them
failed or were cancelled, how many; failed, cancelled: all of them.

${meshUsage}  --json             an array of {"id","name","submittedAt","tasks","done","failed","cancelled","isClosed"}; done: those that ended, also badly
`,
  async run(args) {
    const { values, operands } = readArguments('jobs', args, meshFlags)
    refuseOperands('jobs', operands)
    const found = await askMesh(values, (client) => client.jobs())
    process.stdout.write(values.json ? `${JSON.stringify(found)}\n` : jobsText(found))
    return EXIT.done
  }
}

const columns = ['id', 'name', 'submitted', 'tasks', 'state']

export function jobsText(found: readonly JobSummary[]): string {
  if (found.length === 0) return 'no jobs\n'
  const rows = found.map((job) => {
    const { id, name, submittedAt, done, tasks } = job
    return [id, name, clock(submittedAt), `${done}/${tasks}`, stateOf(job)]
  })
  return table(columns, rows)
}

function stateOf({ tasks, done, failed, cancelled, isClosed }: JobSummary): string {
  const state = !isClosed ? 'open' : done < tasks ? 'running' : 'done'
  if (state === 'done' && tasks > 0 && cancelled === tasks) return 'cancelled'
  if (state === 'done' && tasks > 0 && failed === tasks) return 'failed'
  const ends = Object.entries({ failed, cancelled }).filter(([, count]) => count > 0)
  return [state, ...ends.map(([how, count]) => `${count} ${how}`)].join(', ')
}
