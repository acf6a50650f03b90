/**
 * What one client has of each job under its name: that of who submitted it is the id of the job, and others who read the same job have
 * names of their own.
 *
 * Not here: what that is (the handles of client.ts, the jobs of session.ts).
 */
import type { JobId, JobName } from '../ids.ts'

interface Named {
  readonly id: JobId
  readonly name: JobName
}

export class ByName<T extends Named> {
  readonly #all = new Map<JobName, T>()
  /** Those that are not called by the id of their job: few jobs have any. */
  readonly #others = new Map<JobId, Set<T>>()

  get size(): number {
    return this.#all.size
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#all.values()
  }

  get(name: JobName): T | undefined {
    return this.#all.get(name)
  }

  /** All of one job, first that of who submitted it. */
  named(id: JobId): T[] {
    const first = this.#all.get(id)
    const others = this.#others.get(id) ?? []
    return first === undefined ? [...others] : [first, ...others]
  }

  set(one: T): void {
    const { id, name } = one
    this.#all.set(name, one)
    if (name === id) return
    const others = this.#others.get(id) ?? new Set()
    this.#others.set(id, others.add(one))
  }

  delete({ id, name }: T): void {
    const one = this.#all.get(name)
    const others = this.#others.get(id)
    if (one === undefined) return
    this.#all.delete(name)
    if (others?.delete(one) && others.size === 0) this.#others.delete(id)
  }
}

/** Of a reader: one of many, or that which all who ask for single tasks share. */
export const readerName = (job: JobId, which: number | 'tasks'): JobName => `${job} ${which}` as JobName

/** The handles of a client that are told of their jobs. */
export class Handles<T extends { readonly id: JobId; name: JobName }> extends ByName<T> {
  #readers = 0

  /** A reader has another name each time that it is told again: what is still on its way to an earlier one is not for it. */
  enter(one: T): void {
    if (this.get(one.name) === one) return
    if (one.name !== readerName(one.id, 'tasks')) one.name = readerName(one.id, ++this.#readers)
    this.set(one)
  }
}
