/**
 * Promises that are more than one message holds, put together again.
 *
 * Not here: how they are cut (accepted.ts). What is lost of one is asked for again with all of it, and a keeper that has promised
 * accepts nothing of an older ballot, so the pieces of one promise are the same each time.
 */
import type { PeerId } from '../ids.ts'
import type { AcceptedBatch, TaskMessageOf } from './messages.ts'

interface Open {
  /** Which promise. */
  readonly of: string
  readonly pieces: Map<number, readonly AcceptedBatch[]>
}

export class Pieces {
  readonly #open = new Map<PeerId, Open>()

  /** All that this keeper accepted, once the last piece has come. */
  whole(from: PeerId, message: TaskMessageOf<'promised'>): readonly AcceptedBatch[] | undefined {
    const { list, ballot, accepted, part, parts } = message
    if (parts <= 1) return accepted
    const of = `${list} ${ballot} ${parts}`
    const known = this.#open.get(from)
    const { pieces } = known?.of === of ? known : { pieces: new Map<number, readonly AcceptedBatch[]>() }
    pieces.set(part, accepted)
    this.#open.set(from, { of, pieces })
    if (pieces.size < parts) return undefined
    this.#open.delete(from)
    return [...pieces].sort(([a], [b]) => a - b).flatMap(([, one]) => one)
  }
}
