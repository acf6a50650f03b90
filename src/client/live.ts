/**
 * What a job's tasks say while they run, as far as it arrives.
 *
 * Not here: what they said in the end, which is part of their outcomes (job.ts).
 * Words on the way may be lost. Of what a task printed nothing is missing in the end: what was not heard before is told then.
 */
import type { TaskWord } from '../tasks/messages.ts'
import type { Output } from '../tasks/output.ts'
import { Listeners } from './listeners.ts'
import type { Printed, TaskProgress } from './types.ts'

export class Live {
  readonly #running = new Map<number, TaskProgress>()
  readonly #heard = new Map<number, Output>()
  readonly #listeners = new Listeners<Printed>()

  get running(): TaskProgress[] {
    return [...this.#running.values()]
  }

  onOutput(listener: (printed: Printed) => void): () => void {
    return this.#listeners.add(listener)
  }

  said(words: readonly TaskWord[]): void {
    for (const { index, fraction, text, stdout, stderr } of words) {
      if (fraction >= 0) this.#running.set(index, { index, fraction, text })
      if (this.#listeners.size === 0) continue
      const before = this.#heard.get(index) ?? { stdout: '', stderr: '' }
      this.#heard.set(index, { stdout: before.stdout + stdout, stderr: before.stderr + stderr })
      this.#tell({ index, stdout, stderr })
    }
  }

  ended(index: number, { stdout, stderr }: Output): void {
    this.#running.delete(index)
    const { stdout: out, stderr: err } = this.#heard.get(index) ?? { stdout: '', stderr: '' }
    this.#heard.delete(index)
    this.#tell({ index, stdout: rest(stdout, out), stderr: rest(stderr, err) })
  }

  #tell(printed: Printed): void {
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
