/**
 * Looks for jobs by nothing but their id: asks every node, and believes the newest answer, or one that says that it is forgotten.
 *
 * Not here: what a node answers (keeper.ts), and what the client does with it (client/session.ts).
 * A job can have been begun several times, when its entry died before the acknowledgement; the newest epoch is the one that counts.
 */
import { type ClientId, isJobId, type JobId, type PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'
import type { Forgettable, TaskMessageOf } from './messages.ts'
import type { Reply } from './submission.ts'

/** How long nodes are waited for that do not answer whether they know a job. */
const searchMs = 2_000
/** A node that was told of others, or looks for them, has met most of those that are there within this time. */
export const settlesWithinMs = 5_000

interface Search {
  readonly client: ClientId
  readonly job: JobId
  readonly open: Set<PeerId>
  /** Who keeps it. */
  readonly keepers: Set<PeerId>
  best: TaskMessageOf<'found'> | undefined
  readonly until: Millis
  /** Nodes that come up meanwhile are asked, too. */
  readonly isEarly: boolean
}

export class Searches {
  readonly #settledAt: Millis
  #searches: Search[] = []

  /** Until `settledAt` this node may not have met those who know. */
  constructor(settledAt: Millis) {
    this.#settledAt = settledAt
  }

  get size(): number {
    return this.#searches.length
  }

  begin(client: ClientId, job: JobId, nodes: readonly PeerId[], now: Millis): Send[] {
    const [open, keepers] = [new Set(nodes), new Set<PeerId>()]
    const isEarly = now < this.#settledAt
    const until = isEarly ? Math.max(now + searchMs, this.#settledAt) : now + searchMs
    this.#searches.push({ client, job, open, keepers, best: undefined, until, isEarly })
    return nodes.map((to) => send(to, { kind: 'find', job }))
  }

  gone(client: ClientId): void {
    this.#searches = this.#searches.filter((search) => search.client !== client)
  }

  answered(from: PeerId, message: TaskMessageOf<'found' | 'unknown'>): Reply[] {
    const job = message.kind === 'found' ? message.header.job : message.job
    for (const search of this.#searches) {
      if (search.job !== job) continue
      search.open.delete(from)
      if (message.kind === 'found') search.keepers.add(from)
      // The newest epoch wins: a client only begins a new one while it has no acknowledgement of the last.
      if (message.kind === 'found' && epochOf(message) > epochOf(search.best)) search.best = message
    }
    return this.wake(0)
  }

  /** Some node knows that it is over. Whoever still keeps it was away then, and is told. */
  forgotten(name: Forgettable): (Send | Reply)[] {
    const over = this.#searches.filter(({ job }) => isJobId(name) && job === name)
    if (over.length === 0) return []
    this.#searches = this.#searches.filter((search) => !over.includes(search))
    return over.flatMap(({ client, job, keepers }): (Send | Reply)[] => [
      { kind: 'reply', client, message: { kind: 'released', job } },
      ...[...keepers].map((to) => send(to, { kind: 'forget', name }))
    ])
  }

  peerUp(peer: PeerId): Send[] {
    return this.#searches.flatMap(({ job, open, isEarly }) => {
      if (!isEarly) return []
      open.add(peer)
      return [send(peer, { kind: 'find', job })]
    })
  }

  peerDown(peer: PeerId): Reply[] {
    for (const search of this.#searches) search.open.delete(peer)
    return this.wake(0)
  }

  /** Answers the searches that are over. */
  wake(now: Millis): Reply[] {
    const done = this.#searches.filter(
      ({ open, until, best, isEarly }) =>
        (open.size === 0 && (!isEarly || best !== undefined)) || now >= until
    )
    if (done.length === 0) return []
    this.#searches = this.#searches.filter((search) => !done.includes(search))
    return done.map(({ client, job, best }) => {
      if (best === undefined) return { kind: 'reply', client, message: { kind: 'absent', job } }
      const { placement, header, shards } = best
      return { kind: 'reply', client, message: { kind: 'found', placement, header, shards } }
    })
  }

  wakeAt(): Millis | undefined {
    return this.#searches.reduce<Millis | undefined>((at, { until }) => earlier(at, until), undefined)
  }
}

function epochOf(found: TaskMessageOf<'found'> | undefined): number {
  return found === undefined ? -1 : Number(found.placement.key.split('/')[2])
}
