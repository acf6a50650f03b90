/**
 * Who hears of what is committed in one shard: watchers of all of it, and owners whose tasks wait for some of it.
 *
 * Not here: what they make of it (follows.ts, dependencies.ts), and committing (register.ts).
 * Whoever asks says what it has, and asks again; so nothing here need survive.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import { type Accepted, answerOf, regroup } from './accepted.ts'
import {
  type Batch,
  OUTCOME_HEADER_BYTES,
  OUTPUT_BIT,
  pack,
  pickAt,
  readOutcomeHeader,
  STATUS,
  STORY_BIT,
  valueAt
} from './batch.ts'
import { type Send, send } from './effects.ts'
import { closedIndex, type TaskMessageOf } from './messages.ts'
import type { Register } from './register.ts'

export class Audience {
  readonly #register: Register
  /** They hear of everything. */
  readonly watchers = new Set<PeerId>()
  /** By who waits: the tasks, and whether their values are needed. */
  readonly #awaited = new Map<PeerId, Map<number, boolean>>()

  constructor(register: Register) {
    this.#register = register
  }

  heed(from: PeerId, message: TaskMessageOf<'watch' | 'await'>): Send[] {
    return message.kind === 'watch' ? this.watch(from, message.have) : this.#await(from, message)
  }

  watch(from: PeerId, have: Uint32Array): Send[] {
    this.watchers.add(from)
    const has = new Set(have)
    const isNews = (index: number): boolean => index <= closedIndex && !has.has(index)
    const news = [...this.#register.committed].filter(([index]) => isNews(index)).map(([, value]) => value)
    return told(from, this.#register.record.key, news, false)
  }

  /** All entries of these batches, as somebody hears of them who watches. */
  committed(to: PeerId, outcomes: Batch): Send {
    return send(to, {
      kind: 'committed',
      key: this.#register.record.key,
      outcomes,
      settled: false,
      more: false
    })
  }

  /** This is committed since now. */
  hear(outcomes: Batch): Send[] {
    const effects = [...this.watchers].map((to) => this.committed(to, outcomes))
    for (const [to, awaited] of this.#awaited) {
      const at = [...outcomes.indexes.keys()].filter((one) => awaited.has(outcomes.indexes[one] as number))
      if (at.length > 0) effects.push(this.#awaitedBy(to, awaited, pickAt(outcomes, at)))
      for (const one of at) awaited.delete(outcomes.indexes[one] as number)
      if (awaited.size === 0) this.#awaited.delete(to)
    }
    return effects
  }

  gone(peer: PeerId): void {
    this.watchers.delete(peer)
    this.#awaited.delete(peer)
  }

  #await(from: PeerId, message: TaskMessageOf<'await'>): Send[] {
    const { effects, open } = answered(from, message, this.#register.committed)
    // A node asks once for tasks that wait, and once for tasks within others: neither question takes back the other.
    const awaited = this.#awaited.get(from) ?? new Map<number, boolean>()
    for (const [index, isValue] of open) awaited.set(index, isValue || awaited.get(index) === true)
    if (awaited.size > 0) this.#awaited.set(from, awaited)
    return effects
  }

  #awaitedBy(to: PeerId, awaited: ReadonlyMap<number, boolean>, outcomes: Batch): Send {
    return send(to, { kind: 'awaited', key: this.#register.record.key, outcomes: trimmed(outcomes, awaited) })
  }
}

/** To who asked for all of a shard: what it lacks, as far as one answer holds that. */
export function told(to: PeerId, key: ShardKey, news: readonly Accepted[], settled: boolean): Send[] {
  const answer = answerOf(news)
  const batches = regroup(answer)
  return batches.map(({ outcomes }, at) => {
    const more = answer.length < news.length && at === batches.length - 1
    return send(to, { kind: 'committed', key, outcomes, settled, more })
  })
}

/** What can be told of awaited tasks, and which of them have not ended. */
export function answered(
  to: PeerId,
  { key, values, ends }: TaskMessageOf<'await'> & { readonly key: ShardKey },
  committed: ReadonlyMap<number, Accepted>
): { effects: Send[]; open: Map<number, boolean> } {
  const all = new Map<number, boolean>()
  for (const index of ends) all.set(index, false)
  for (const index of values) all.set(index, true)
  const open = new Map([...all].filter(([index]) => !committed.has(index)))
  const found = [...all.keys()].flatMap((index) => committed.get(index) ?? [])
  const effects = regroup(found).map(({ outcomes }) =>
    send(to, { kind: 'awaited', key, outcomes: trimmed(outcomes, all) })
  )
  return { effects, open }
}

/** Of those that succeeded and whose value is not needed, the header. */
function trimmed(outcomes: Batch, isNeeded: ReadonlyMap<number, boolean>): Batch {
  const values = Array.from(outcomes.indexes, (index, at) => {
    const value = valueAt(outcomes, at)
    if (isNeeded.get(index) === true || readOutcomeHeader(value).status !== STATUS.ok) return value
    const header = value.slice(0, OUTCOME_HEADER_BYTES)
    header[0] = (header[0] as number) & ~(STORY_BIT | OUTPUT_BIT)
    return header
  })
  return pack(outcomes.node, outcomes.indexes, values)
}
