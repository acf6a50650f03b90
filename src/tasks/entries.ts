/**
 * What others write into a shard's register: that it may start; in that of a job's first shard, where the others are and how
 * many there will be.
 *
 * Not here: who writes it (entry.ts), and the register itself.
 * First come, first kept; who proposes something else hears what is committed. How many there are of a job that somebody else
 * than its submitter ends is counted here.
 */
import { shardName } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { regroup } from './accepted.ts'
import { type Batch, pack, pickAt, valueAt } from './batch.ts'
import { encodeCut, isLeftOut, readClosed } from './closing.ts'
import type { Send } from './effects.ts'
import { type AcceptedBatch, closedIndex, placementBase, startIndex } from './messages.ts'
import type { Register } from './register.ts'

export class Entries {
  readonly #register: Register
  readonly #isRoot: boolean
  readonly #proposed = new Set<number>()

  constructor(register: Register) {
    this.#register = register
    this.#isRoot = shardName(register.record.key).index === 0
  }

  /** Keys that an owner before this one may have proposed. */
  took(index: number): void {
    this.#proposed.add(index)
  }

  propose(entries: Batch, now: Millis): { known: AcceptedBatch[]; effects: Send[] } {
    const fresh: number[] = []
    const known: number[] = []
    let isCut = false
    for (const [at, index] of entries.indexes.entries()) {
      // Only the first shard of a job says something about the others.
      if (index < startIndex || index > closedIndex || (index !== startIndex && !this.#isRoot)) continue
      if (this.#register.committed.has(index)) known.push(index)
      // The job was ended before this shard had a place in it.
      else if (index > placementBase && isLeftOut(this.#register, index - placementBase))
        known.push(closedIndex)
      else if (!this.#proposed.has(index)) {
        const isAsked = index === closedIndex && readClosed(valueAt(entries, at)) === 0
        // What was taken over is to count, so it must be committed. Who asks does so again.
        if (isAsked && !this.#register.isInForce) continue
        this.#proposed.add(index)
        if (isAsked) isCut = true
        else fresh.push(at)
      }
    }
    const found = known.flatMap((index) => this.#register.committed.get(index) ?? [])
    const effects = fresh.length === 0 ? [] : this.#register.propose(pickAt(entries, fresh), now)
    if (isCut) {
      const cut = pack('', [closedIndex], [encodeCut(this.#register)])
      effects.push(...this.#register.propose(cut, now))
    }
    return { known: regroup(found), effects }
  }
}
