/**
 * `shoal watch`: follows a job, whoever submitted it, without its results.
 *
 * Not here: results (result.ts). Who watches a job does not own it: leaving early cancels nothing.
 */

import { ProgressLine } from '../../src/client/progress.ts'
import { readJobArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { askMesh, meshFlags, meshUsage } from '../mesh.ts'
import { tellPrinted } from '../results.ts'

export const watch: Command = {
  usage: `usage: shoal watch ID [FLAGS]

Tells on stderr how far a job is, until it has ended. Ctrl-C leaves the job as it is. The exit code is 1 if a task failed.

  -v, --verbose      tells what tasks print, too, each line with the number of its input
  --json             at the end, {"job","state","done","total","failed"} on stdout
${meshUsage}`,
  async run(args) {
    const verbose = { type: 'boolean', short: 'v', default: false } as const
    const { id, values } = readJobArguments('watch', args, { ...meshFlags, verbose })
    const status = await askMesh(values, async (client) => {
      const job = client.job(id, { returnErrors: true })
      const line = new ProgressLine(`job ${job.id}`)
      job.onProgress((progress) => line.show(progress))
      if (values.verbose) job.onOutput((printed) => tellPrinted(printed, line))
      try {
        // It may be a job that nobody knows.
        await job.status()
        line.show(job.progress)
        await job.catch(async (error: unknown) => {
          // That it was cancelled is its state, and no failure of who watches.
          if ((await job.status()).state === 'running' || job.progress.total === undefined) throw error
        })
        return await job.status()
      } finally {
        line.end()
      }
    })
    const { state, done, total, failed } = status
    if (values.json) process.stdout.write(`${JSON.stringify({ job: id, state, done, total, failed })}\n`)
    return failed > 0 || state === 'cancelled' ? EXIT.failed : EXIT.done
  }
}
