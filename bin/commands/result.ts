/**
 * `shoal result`: prints what came of a job, whoever submitted it, and follows it while it runs.
 *
 * Not here: how results are written (results.ts). Who reads a job does not own it: leaving early cancels nothing.
 */
import { readJobArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { meshFlags, meshUsage, reachMesh } from '../mesh.ts'
import { deliver, openOutlet, resultFlags } from '../results.ts'

export const result: Command = {
  usage: `usage: shoal result ID [FLAGS]

Prints the results of a job in input order, one line each: strings as they are, everything else as JSON;
of programs what they wrote to stdout, the end of it (8 Ki characters) if they failed.
Waits for tasks that have not ended; Ctrl-C leaves the job as it is. Failed tasks are told on stderr, and the exit code is 1.

  --json-lines       every result as one line of JSON, also strings
  --json             one object: {"job","results":[...],"errors":[{"index","code","name","message"}]};
                     the result of a failed task is null; the error of a program that ended badly has "exit" as well
  --out FILE         writes results to FILE instead, which is replaced when all are there
  -v, --verbose      tells on stderr what tasks print, each line with the number of its input
  --progress         tells how far the job is, also if stderr is no terminal
${meshUsage}`,
  async run(args) {
    const { id, values } = readJobArguments('result', args, { ...meshFlags, ...resultFlags })
    const outlet = await openOutlet(values.out)
    let isComplete = false
    try {
      const client = await reachMesh(values)
      try {
        const job = client.job(id, { returnErrors: true })
        const code = await deliver(job, { outlet, values, onBroken: () => process.exit(EXIT.failed) })
        await outlet.finish()
        isComplete = true
        return code
      } finally {
        await client.close()
      }
    } finally {
      if (!isComplete) await outlet.drop()
    }
  }
}
