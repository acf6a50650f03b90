/**
 * What must be true of every run, whatever goes wrong: judged from outside, from messages and from what clients see.
 *
 * Not here: how faults come about (world.ts). A checker knows nothing of how the machines work.
 * Engines stamp every outcome with a number of its own, so that two runs of one task can be told apart.
 */
import type { JobId, ShardKey } from '../../src/ids.ts'
import { type Batch, valueAt } from '../../src/tasks/batch.ts'
import { splitStory } from '../../src/tasks/story.ts'

export class Violation extends Error {
  override readonly name = 'Violation'
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

export class Checkers {
  /** What engines produced, by job and index. */
  readonly #produced = new Map<string, Set<string>>()
  /** What was said to be committed, by shard and index. */
  readonly #committed = new Map<string, string>()
  /** What each client received. */
  readonly #delivered = new Map<string, string>()
  outcomes = 0

  produced(job: JobId, index: number, outcome: Uint8Array): void {
    const key = `${job}:${index}`
    const all = this.#produced.get(key) ?? new Set()
    this.#produced.set(key, all.add(text(outcome)))
  }

  /** Anything that anybody says to be committed. */
  committed(key: ShardKey, outcomes: Batch, where: string): void {
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const name = `${key}:${outcomes.indexes[at]}`
      const value = text(valueAt(outcomes, at))
      const before = this.#committed.get(name)
      if (before !== undefined && before !== value) {
        throw new Violation(`${name} was committed twice with different values; the second time ${where}`)
      }
      this.#committed.set(name, value)
    }
  }

  delivered(client: string, job: JobId, first: number, outcomes: Batch): void {
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const index = first + (outcomes.indexes[at] as number)
      // What an owner wrote behind the outcome is no engine's.
      const value = text(splitStory(valueAt(outcomes, at)).outcome)
      const name = `${client} ${job}:${index}`
      if (this.#delivered.has(name)) throw new Violation(`${name} was delivered twice`)
      const isCancelled = value.charCodeAt(0) === 2
      const isPoisoned = value.includes('TASK_POISONED')
      if (!isCancelled && !isPoisoned && this.#produced.get(`${job}:${index}`)?.has(value) !== true) {
        throw new Violation(`${name} is an outcome that no engine produced for this input`)
      }
      this.#delivered.set(name, value)
      this.outcomes++
    }
  }

  /** What a client received of a task. */
  received(client: string, job: JobId, index: number): string | undefined {
    return this.#delivered.get(`${client} ${job}:${index}`)
  }

  /** After healing: every keeper of a settled shard has the same outcomes, the committed ones. */
  agree(key: ShardKey, copies: readonly ReadonlyMap<number, { batch: Batch; at: number }>[]): void {
    const [first, ...others] = copies.map((copy) => {
      const values = [...copy].map(([index, { batch, at }]) => [index, text(valueAt(batch, at))] as const)
      return new Map(values.sort(([a], [b]) => a - b))
    })
    if (first === undefined) return
    for (const [index, value] of first) {
      const known = this.#committed.get(`${key}:${index}`)
      if (known !== undefined && known !== value)
        throw new Violation(`${key}:${index} changed after it was committed`)
    }
    for (const other of others) {
      if (JSON.stringify([...first]) !== JSON.stringify([...other]))
        throw new Violation(`keepers of ${key} differ`)
    }
  }
}
