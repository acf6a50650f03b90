/**
 * Where the tasks of a job are, as far as its handle knows: what others need to wait for them.
 *
 * Not here: who decides it (tasks/entry.ts), and what is done with it (waits.ts).
 * A task that waits for others names their shards, so these must have been accepted; whoever asks too early waits for that.
 */
import { ShoalError } from '../errors.ts'
import { type JobId, taskNamed } from '../ids.ts'
import type { Placement } from '../tasks/messages.ts'

/** Of one job. */
export const tasksMax = 2 ** 32

/** One task: its shard, and its index in that. */
export interface TaskAt {
  readonly placement: Placement
  readonly index: number
}

/** What can be waited for: handles of tasks and jobs, and `job.task(index)`. */
export const tasksOf: unique symbol = Symbol('tasks to wait for')
export interface Waitable<R = unknown> {
  /** For types alone: what it gives as an argument. */
  readonly gives?: R
  /** Rejects with SHOAL_BAD_DEPENDENCY for tasks that never will be. */
  [tasksOf](): Promise<Found>
}

export interface Found {
  readonly tasks: readonly TaskAt[]
  /** As an argument, a list of values and not one. */
  readonly isList: boolean
}

export const isWaitable = (value: unknown): value is Waitable =>
  typeof value === 'object' && value !== null && tasksOf in value

export class Places {
  readonly #id: string
  #known: Placement[] = []
  /** Of the shards that were acknowledged to this client. */
  readonly #copies = new Map<Placement, number>()
  /** Of a job that somebody else submitted: asks the mesh. */
  #locate: (() => Promise<Placement[]>) | undefined
  #state: 'open' | 'closed' | Error = 'open'
  #change = Promise.withResolvers<void>()

  constructor(id: string, locate?: () => Promise<Placement[]>) {
    this.#id = id
    this.#locate = locate
  }

  /** Somebody else submitted it after all. */
  readBy(locate: () => Promise<Placement[]>): void {
    this.#locate = locate
    this.#changed()
  }

  add(placement: Placement, copies: number): void {
    this.#known.push(placement)
    this.#copies.set(placement, copies)
    this.#changed()
  }

  /** There are no more; with an error, what is missing never will be. */
  close(error?: Error): void {
    if (this.#state === 'open') this.#state = error ?? 'closed'
    this.#changed()
  }

  /** Of one shard, or of that which has the fewest; 0 if this client did not submit it. */
  copies(of?: Placement): number {
    if (of !== undefined) return this.#copies.get(of) ?? 0
    return this.#copies.size === 0 ? 0 : Math.min(...this.#copies.values())
  }

  async at(index: number): Promise<TaskAt> {
    for (;;) {
      const placement = this.#known.find(({ first, count }) => first <= index && index < first + count)
      if (placement !== undefined) return { placement, index: index - placement.first }
      if (this.#state instanceof Error) throw refused(`${this.#id}:${index}`, this.#state)
      if (this.#state === 'closed') throw refused(`${this.#id}:${index}`)
      await this.#more()
    }
  }

  /** Waits for the end of the inputs. */
  async all(): Promise<TaskAt[]> {
    while (this.#state === 'open') await this.#more()
    if (this.#state instanceof Error) throw refused(this.#id, this.#state)
    // A job without any task of its own is never made; one that was found has some.
    if (this.#known.length === 0 && this.#locate !== undefined) throw refused(this.#id)
    return tasksIn(this.#known)
  }

  async #more(): Promise<void> {
    if (this.#locate === undefined) return this.#change.promise
    this.#known = await this.#locate()
    this.close()
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}

export const tasksIn = (placements: readonly Placement[]): TaskAt[] =>
  placements
    .toSorted((a, b) => a.first - b.first)
    .flatMap((placement) => Array.from({ length: placement.count }, (_, index) => ({ placement, index })))

/** The tasks of an id `<job>` or `<job>:<index>`. Rejects with SHOAL_BAD_DEPENDENCY if nobody knows them. */
export async function tasksNamed(
  name: string,
  jobs: { get(job: JobId): { readonly places: Places } | undefined },
  locate: (job: JobId) => Promise<Placement[]>
): Promise<readonly TaskAt[]> {
  const named = taskNamed(name)
  if (named === undefined) throw refused(name)
  const places = jobs.get(named.job)?.places ?? new Places(named.job, () => locate(named.job))
  return name.includes(':') ? [await places.at(named.index)] : places.all()
}

function refused(name: string, cause?: Error): ShoalError {
  const why = cause === undefined ? 'no node that could be asked knows it' : 'it was never accepted'
  return new ShoalError('SHOAL_BAD_DEPENDENCY', `there is no task ${name} to wait for: ${why}`, { cause })
}
