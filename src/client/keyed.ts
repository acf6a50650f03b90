/**
 * The jobs of keys that one client has: who submits a key again gets the job that is under way.
 *
 * Not here: who of all clients submits it (share.ts).
 * All jobs of a key have one id. So after one that was given up the next one waits until that is gone: what the mesh still says of
 * the id is about the earlier one.
 */
import type { JobId } from '../ids.ts'
import type { Job } from './job.ts'

export class Keyed {
  readonly #last = new Map<JobId, { readonly job: Job<unknown>; readonly gone: Promise<void> }>()

  /** The last one of each key. */
  get jobs(): Job<unknown>[] {
    return [...this.#last.values()].map(({ job }) => job)
  }

  wanted(id: JobId): Job<unknown> | undefined {
    const job = this.#last.get(id)?.job
    return job?.isWanted ? job : undefined
  }

  /** Calls `begin` once no earlier one is left, unless it was given up by then; at once if it has no key. */
  enter(job: Job<unknown>, begin: (job: Job<unknown>) => void): void {
    const { id, share } = job
    const before = this.#last.get(id)?.gone
    if (share === undefined || before === undefined) begin(job)
    if (share === undefined) return
    share.turn = before?.then(() => {
      if (job.isWanted) begin(job)
    })
    const gone = Promise.all([before, share.gone]).then(() => {
      if (this.#last.get(id)?.job === job) this.#last.delete(id)
    })
    this.#last.set(id, { job, gone })
  }
}
