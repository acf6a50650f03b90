/**
 * What a job's tasks say while they run, as far as it arrives.
 *
 * Not here: what they said in the end, which is part of their outcomes (job.ts).
 * Words on the way may be lost. Of what a task printed nothing is missing in the end: what was not heard before is told then.
 */
import type { TaskWord } from '../tasks/messages.ts'
import type { Output } from '../tasks/output.ts'
import { Listeners } from './listeners.ts'
import type { JobProgress, Printed, Progress, TaskProgress } from './types.ts'

/** Words of tasks `first + index`. */
export interface Said {
  readonly first: number
  readonly words: readonly TaskWord[]
}

export class Live {
  readonly #running = new Map<number, TaskProgress>()
  readonly #heard = new Map<number, Output>()
  readonly #listeners = new Listeners<Printed>()
  readonly #watchers = new Listeners<JobProgress>()

  get isHeard(): boolean {
    return this.#listeners.size + this.#watchers.size > 0
  }

  onProgress(listener: (progress: JobProgress) => void): () => void {
    return this.#watchers.add(listener)
  }

  /** How far the job is, with what running tasks have said of themselves. */
  tell(progress: Progress): void {
    this.#watchers.tell({ ...progress, running: [...this.#running.values()] })
  }

  onOutput(listener: (printed: Printed) => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Of those that have ended nothing more is told. */
  said({ first, words }: Said, hasEnded: (index: number) => boolean): void {
    for (const { index: at, fraction, text, stdout, stderr } of words) {
      const index = first + at
      if (hasEnded(index)) continue
      if (fraction >= 0) this.#running.set(index, { index, fraction, text })
      if (this.#listeners.size === 0) continue
      const before = this.#heard.get(index) ?? { stdout: '', stderr: '' }
      this.#heard.set(index, { stdout: before.stdout + stdout, stderr: before.stderr + stderr })
      this.#print({ index, stdout, stderr })
    }
  }

  ended(index: number, { stdout, stderr }: Output): void {
    this.#running.delete(index)
    const { stdout: out, stderr: err } = this.#heard.get(index) ?? { stdout: '', stderr: '' }
    this.#heard.delete(index)
    this.#print({ index, stdout: rest(stdout, out), stderr: rest(stderr, err) })
  }

  #print(printed: Printed): void {
    if (printed.stdout === '' && printed.stderr === '') return
    this.#listeners.tell(printed)
  }
}

/**
 * Of an earlier attempt, or with something lost in between, what was heard is no beginning of it. Of a failed program only the
 * end is there of what it printed.
 */
function rest(all: string, heard: string): string {
  if (heard.endsWith(all)) return ''
  return all.startsWith(heard) ? all.slice(heard.length) : all
}
