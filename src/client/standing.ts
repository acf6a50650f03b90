/**
 * How far a job is, for its handle: what was heard of it here, and of a job that somebody else submitted, what the mesh says.
 *
 * Not here: what comes in (job.ts, shelf.ts), and what nodes say (node/report.ts).
 * A handle by an id has heard nothing when it is new, which is no news about the job; so it asks until it has everything.
 */
import { ShoalError } from '../errors.ts'
import { taskId } from '../ids.ts'
import type { JobSummary } from './answers.ts'
import type { Interest } from './interest.ts'
import type { JobPlan } from './job-plan.ts'
import type { Shelf } from './shelf.ts'
import type { JobStatus } from './types.ts'

export class Standing {
  readonly #plan: Pick<JobPlan, 'id' | 'host'>
  readonly #shelf: Shelf<unknown>
  readonly #interest: Interest
  #isFound = false
  /** Somebody else submits it, or has done so. */
  isRead: boolean

  constructor(plan: Pick<JobPlan, 'id' | 'host' | 'isFound'>, shelf: Shelf<unknown>, interest: Interest) {
    this.#plan = plan
    this.#shelf = shelf
    this.#interest = interest
    this.isRead = plan.isFound
  }

  /** The mesh knows the job. */
  found(): void {
    this.#isFound = true
    this.#interest.found()
    this.#shelf.changed()
  }

  /** `isFed`: no more inputs will come, as far as is known here. Of a job to be read it rejects with what ended the reading. */
  async status(isFed: boolean): Promise<JobStatus> {
    const { id } = this.#plan
    const told = await this.told(id)
    const known = told?.isClosed ? told.tasks : undefined
    const { isCancelled, isComplete, done, total = known, failed, cancelled } = this.#shelf
    const isOver = isComplete || (told !== undefined && told.done === known)
    // Whoever knows how all of it ended says the same, whoever has cancelled it.
    const wasCancelled = isCancelled || (isOver && cancelled + (told?.cancelled ?? 0) > 0)
    const running = isFed || known !== undefined ? 'running' : 'open'
    return {
      id,
      state: wasCancelled ? 'cancelled' : isOver ? 'done' : running,
      done: Math.max(done, told?.done ?? 0),
      total,
      failed: Math.max(failed, told === undefined ? 0 : told.failed + told.cancelled)
    }
  }

  /** What nodes say of it, or of one task of it; nothing if all that can be known is known here. Rejects as `status` does. */
  async told(about: string): Promise<JobSummary | undefined> {
    if (!this.isRead) return undefined
    await this.#untilFound()
    let told = this.#isOver ? undefined : await this.#plan.host.standing(about)
    if (told === undefined && !this.#isOver && !this.#interest.hasAll) {
      // Nobody told it if the job is gone.
      this.#isFound = false
      await this.#untilFound()
      told = this.#isOver ? undefined : await this.#plan.host.standing(about)
    }
    // Who cancelled it, or left it to others, knows that.
    if (this.#shelf.isCancelled) return undefined
    if (this.#shelf.failure !== undefined) throw this.#shelf.failure
    return told
  }

  /**
   * Whether tasks of it may still end. What is handed over just now no node may know; and of the rest the entry, which is asked to
   * release it, knows only what it keeps itself.
   */
  async isOpen(): Promise<boolean> {
    const { isComplete, isCancelled, failure } = this.#shelf
    if (isComplete) return false
    if (!this.isRead && !isCancelled && failure === undefined) return true
    await this.#untilFound()
    const told = await this.#plan.host.standing(this.#plan.id)
    return told !== undefined && !(told.isClosed && told.done === told.tasks)
  }

  async #untilFound(): Promise<void> {
    if (!this.#isFound) this.#interest.place()
    while (this.isRead && !this.#isFound && !this.#isOver) await this.#shelf.change
  }

  /** Why the job is over, and a task of it has no outcome here. */
  absence(index: number): Error {
    const { id } = this.#plan
    const { failure, isCancelled, total = 0 } = this.#shelf
    if (failure !== undefined) return failure
    if (isCancelled && index >= total)
      return new ShoalError('SHOAL_CANCELLED', `job ${id} was cancelled before it had a task ${index}`)
    return index < total
      ? new ShoalError(
          'SHOAL_BAD_OPTION',
          `the result of ${taskId(id, index)} was taken out before it was asked for; open it again by client.task()`
        )
      : noTask(id, index, total)
  }

  get #isOver(): boolean {
    return this.#shelf.isComplete || this.#shelf.failure !== undefined
  }
}

export const noTask = (job: string, index: number, total: number): ShoalError =>
  new ShoalError('SHOAL_NOT_FOUND', `there is no task ${index} in job ${job}, which has ${total}`)

export const unfinished = (job: string): ShoalError =>
  new ShoalError('SHOAL_BAD_OPTION', `job ${job} is not complete; cancel it before it is released`)
