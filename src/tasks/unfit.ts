/**
 * At an owner: tasks that are to follow others to engines that are not what they require.
 *
 * Not here: which these are (dependents.ts). They fail, unless somebody runs them: the owner before this one had granted them
 * elsewhere, when such an engine came to be another one. So a new owner waits until it can know who runs what.
 */
import type { Hopeless } from './dependents.ts'
import type { Queue } from './queue.ts'

export class Unfit {
  readonly #unsure = new Map<number, Hopeless>()

  /** Of these, and of those from before, what never will begin. `isKnown`: who runs what. */
  sort(hopeless: ReadonlyMap<number, Hopeless>, queue: Queue, isKnown: boolean): Map<number, Hopeless> {
    const over = new Map<number, Hopeless>()
    for (const [task, why] of [...this.#unsure, ...hopeless]) {
      this.#unsure.delete(task)
      if (why.why !== 'unfit place') over.set(task, why)
      else if (queue.holder(task) !== undefined) queue.ready(task)
      else if (isKnown) over.set(task, why)
      else this.#unsure.set(task, why)
    }
    return over
  }
}
