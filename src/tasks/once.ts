/**
 * At the owner: tasks to run at most once that may have begun, and whose end nobody may ever tell.
 *
 * Not here: permits (permits.ts) and the rest of a shard (lead.ts).
 * A holder that is away may come back and tell. Who does not in time, or says that it has not got the task, or lost its
 * engine, leaves nothing but TASK_UNKNOWN.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { type Batch, pickAt } from './batch.ts'
import type { Output } from './output.ts'
import { grouped, type Permit, permitKey, permitsIn } from './permits.ts'
import type { Queue } from './queue.ts'
import { type EarlierAttempt, type Story, untold } from './story.ts'

/** Absence of a holder after which what it was to run at most once ends as TASK_UNKNOWN. */
export const holderAwayMs = 10_000

export class Once {
  readonly #awayAt = new Map<PeerId, Millis>()
  readonly #asked = new Set<number>()
  readonly #unknown = new Set<number>()
  readonly #story: Story

  constructor(story: Story) {
    this.#story = story
  }

  /** Its run is lost, however that came; `last` says where it was, as far as that was heard, and what it printed. */
  give(index: number, last?: EarlierAttempt, printed?: Output): void {
    if (last !== undefined && !this.#unknown.has(index))
      this.#story.add(index, { ...last, how: 'lost' }, printed)
    this.#unknown.add(index)
  }

  /** Whose end is not known, each told once. */
  take(): number[] {
    const unknown = [...this.#unknown]
    this.#unknown.clear()
    return unknown
  }

  /** Permits that this owner proposes. */
  asked(permits: Batch): void {
    for (const key of permits.indexes) this.#asked.add(key)
  }

  /** Its permit is not committed yet, so it was not granted: nothing that its holder says is about this attempt. */
  isAsked(index: number, queue: Queue): boolean {
    return this.#asked.has(permitKey(index, queue.attempt(index)))
  }

  /** What was granted to it. */
  granted(peer: PeerId, queue: Queue): number[] {
    return queue.heldBy(peer).filter((index) => !this.isAsked(index, queue))
  }

  /** What may be granted now that these are committed. Not what an owner before had proposed: its holder may have begun. */
  permitted(batch: Batch, queue: Queue): ReturnType<typeof grouped> {
    const isOurs = [...batch.indexes.keys()].filter((at) => this.#asked.delete(batch.indexes[at] as number))
    const isWaitedFor = ({ index, holder, attempt }: Permit): boolean =>
      queue.isHeldBy(index, holder, attempt)
    return grouped(permitsIn([pickAt(batch, isOurs)]).filter(isWaitedFor), queue.places)
  }

  look(queue: Queue, now: Millis, isUp: (peer: PeerId) => boolean): void {
    for (const peer of queue.holders()) {
      const since = this.#awayAt.get(peer)
      if (isUp(peer)) this.#awayAt.delete(peer)
      else if (since === undefined) this.#awayAt.set(peer, now)
      else if (now - since >= holderAwayMs) this.#despair(peer, queue)
    }
  }

  #despair(peer: PeerId, queue: Queue): void {
    for (const index of queue.heldBy(peer)) {
      if (this.isAsked(index, queue)) queue.release(index, 'handed-back')
      else this.give(index, untold(peer, queue.attempt(index), 'lost'))
    }
  }
}

/** Of what was taken over: who got the last permit of a task may have begun, whatever becomes of it. */
export function holdPermitted(batches: Iterable<Batch>, queue: Queue, isAll: boolean): void {
  const permits = permitsIn(batches).sort((one, other) => other.attempt - one.attempt)
  for (const { index, holder, attempt } of permits)
    if (isAll || attempt >= queue.attempt(index)) queue.hold(index, holder, attempt)
}
