/**
 * `shoal cancel`: ends what has not ended of a job, whoever submitted it.
 *
 * Not here: how tasks are stopped. It waits until every task has an outcome, so that what it prints is the last word.
 */
import { TaskError } from '../../src/errors.ts'
import { readJobArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../failure.ts'
import { askMesh, meshFlags, meshUsage } from '../mesh.ts'
import { counted } from '../output.ts'

export const cancel: Command = {
  usage: `usage: shoal cancel ID [FLAGS]

Cancels the tasks of a job that have not ended, and waits until that is done. Results that are there stay.
A job that is still given inputs ends with those that it has, and its submitter hears that.

${meshUsage}  --json             {"job","cancelled","ended"}: tasks that were cancelled, and that had ended before
`,
  async run(args) {
    const { id, values } = readJobArguments('cancel', args, meshFlags)
    const { cancelled, ended } = await askMesh(values, async (client) => {
      const job = client.job(id, { returnErrors: true })
      await job.cancel()
      const counts = { cancelled: 0, ended: 0 }
      for await (const one of job.asCompleted()) {
        const isCancelled = one.error instanceof TaskError && one.error.code === 'SHOAL_CANCELLED'
        counts[isCancelled ? 'cancelled' : 'ended']++
      }
      return counts
    })
    const text =
      cancelled === 0
        ? `job ${id} had ended: nothing was left to cancel`
        : `cancelled ${counted(cancelled, 'task')} of job ${id}; ${ended} had ended before`
    process.stdout.write(values.json ? `${JSON.stringify({ job: id, cancelled, ended })}\n` : `${text}\n`)
    return EXIT.done
  }
}
