/**
 * Tasks that a node holds and has not begun: the most deeply nested first, then in the order in which they came.
 *
 * Not here: when one begins, and on which engine (runner.ts).
 * They wait in the chunks in which they were granted, which are cut only when a part of one leaves.
 */
import type { Attempt, PeerId, ShardKey } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { isNarrow } from '../routing/requirement.ts'
import { type Batch, pickAt } from './batch.ts'
import type { JobHeader, TaskMessageOf } from './messages.ts'

export interface Chunk {
  readonly key: ShardKey
  readonly header: JobHeader
  readonly first: number
  readonly attempt: Attempt
  readonly seat: number
  readonly from: PeerId
  /** When it came. */
  readonly at: Millis
  inputs: Batch
}

/** Gives tasks back that have not begun. */
export const unstarted = (
  { key, attempt }: Pick<Chunk, 'key' | 'attempt'>,
  indexes: Iterable<number>
): TaskMessageOf<'handback'> => ({
  kind: 'handback',
  key,
  attempt,
  isStarted: false,
  indexes: Uint32Array.from(indexes)
})

export class Line {
  #chunks: Chunk[] = []
  #length = 0
  #narrow = 0

  /** Tasks in line. */
  get length(): number {
    return this.#length
  }

  /** Of these, tasks that cannot begin in just any free slot. */
  get narrow(): number {
    return this.#narrow
  }

  get first(): Chunk | undefined {
    return this.#chunks[0]
  }

  chunks(): readonly Chunk[] {
    return this.#chunks
  }

  add(chunk: Chunk): void {
    // Whoever waits for what is deeper holds a place meanwhile.
    const at = this.#chunks.findIndex(({ header }) => header.depth < chunk.header.depth)
    if (at < 0) this.#chunks.push(chunk)
    else this.#chunks.splice(at, 0, chunk)
    this.#grow(chunk, chunk.inputs.indexes.length)
  }

  /** Up to `most` tasks of this chunk, which leave the line. */
  take(chunk: Chunk, most: number): Batch {
    const size = chunk.inputs.indexes.length
    const inputs = size <= most ? chunk.inputs : pickAt(chunk.inputs, range(0, most))
    if (size > most) chunk.inputs = pickAt(chunk.inputs, range(most, size))
    else if (this.#chunks[0] === chunk) this.#chunks.shift()
    else this.#chunks = this.#chunks.filter((one) => one !== chunk)
    this.#grow(chunk, -inputs.indexes.length)
    return inputs
  }

  /** Takes these tasks of a shard out of the line; returns those that were in it. */
  remove(key: ShardKey, indexes: ReadonlySet<number>): number[] {
    const removed: number[] = []
    for (const chunk of this.#chunks) {
      if (chunk.key !== key) continue
      const kept: number[] = []
      for (const [at, index] of chunk.inputs.indexes.entries()) {
        if (indexes.has(index)) removed.push(index)
        else kept.push(at)
      }
      this.#grow(chunk, kept.length - chunk.inputs.indexes.length)
      chunk.inputs = pickAt(chunk.inputs, kept)
    }
    this.#chunks = this.#chunks.filter(({ inputs }) => inputs.indexes.length > 0)
    return removed
  }

  check(): void {
    const counted = this.#chunks.reduce((sum, { inputs }) => sum + inputs.indexes.length, 0)
    assert(counted === this.#length, `${this.#length} in line, ${counted} counted`)
  }

  #grow({ header }: Chunk, by: number): void {
    this.#length += by
    if (header.requires.text !== '' && isNarrow(header.requires)) this.#narrow += by
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)
