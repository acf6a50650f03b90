/**
 * Who reads each shard in one session, the job that submitted it and those that were opened by its id; and what an entry is told of it.
 *
 * Not here: what readers are told (session.ts).
 * An entry knows of a client only what it has as a whole: that is what all of its readers have.
 */
import type { JobId, ShardKey } from '../ids.ts'
import type { ClientMessage } from './protocol.ts'
import { isHeard, type Job, type Shard } from './shards.ts'

export interface Reader {
  readonly job: Job
  readonly shard: Shard
}

export class Readers {
  readonly #byKey = new Map<ShardKey, readonly Reader[]>()
  readonly #makerOf: (job: JobId) => Job | undefined

  constructor(makerOf: (job: JobId) => Job | undefined) {
    this.#makerOf = makerOf
  }

  of(key: ShardKey): readonly Reader[] {
    return this.#byKey.get(key) ?? []
  }

  /** Of a shard that has a place. */
  enter(reader: Reader): ClientMessage[] {
    const { placement } = reader.shard
    if (placement === undefined) return []
    this.#byKey.set(placement.key, [...this.of(placement.key), reader])
    return [{ kind: 'follow', placement, have: this.#have(placement.key) }]
  }

  /** What another entry is told, once for all readers. */
  again({ job, shard: { placement } }: Reader): ClientMessage[] {
    if (placement === undefined || this.of(placement.key)[0]?.job !== job) return []
    return [{ kind: 'follow', placement, have: this.#have(placement.key) }]
  }

  leave(job: Job, key: ShardKey): ClientMessage[] {
    const others = this.of(key).filter((one) => one.job !== job)
    if (others.length > 0) {
      this.#byKey.set(key, others)
      return []
    }
    this.#byKey.delete(key)
    const maker = this.#makerOf(job.id)
    // Its own client may not know yet that the shard was accepted.
    if (maker !== undefined && maker !== job) maker.isLeft = true
    return [{ kind: 'unfollow', key }]
  }

  leaveAll(job: Job): ClientMessage[] {
    return job.shards.flatMap((shard) => {
      if (shard.placement === undefined) return []
      const unfollow = this.leave(job, shard.placement.key)
      // The first one of an own job stays with who submitted it until all of that has ended (node/guests.ts).
      const isTold = job.isOwn ? shard.state === 'placed' : isHeard(shard)
      return isTold && !job.isComplete ? unfollow : []
    })
  }

  /** Tasks of the shard of which nobody waits for the outcome. */
  #have(key: ShardKey): Uint32Array {
    const [first, ...others] = this.of(key)
    const had = [...(first?.shard.has ?? [])]
    return Uint32Array.from(had.filter((index) => others.every(({ shard }) => shard.has.has(index))))
  }
}
