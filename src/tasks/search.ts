/**
 * Looks for jobs by nothing but their id: asks every node, and believes the newest answer.
 *
 * Not here: what a node answers (keeper.ts), and what the client does with it (client/session.ts).
 * A job can have been begun several times, when its entry died before the acknowledgement; the newest epoch is the one that counts.
 */
import type { ClientId, JobId, PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'
import type { Reply } from './entry.ts'
import type { TaskMessageOf } from './messages.ts'

/** How long nodes are waited for that do not answer whether they know a job. */
const searchMs = 2_000

interface Search {
  readonly client: ClientId
  readonly job: JobId
  readonly open: Set<PeerId>
  best: TaskMessageOf<'found'> | undefined
  readonly until: Millis
}

export class Searches {
  #searches: Search[] = []

  get size(): number {
    return this.#searches.length
  }

  begin(client: ClientId, job: JobId, nodes: readonly PeerId[], now: Millis): Send[] {
    this.#searches.push({ client, job, open: new Set(nodes), best: undefined, until: now + searchMs })
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
      // The newest epoch wins: a client only begins a new one while it has no acknowledgement of the last.
      if (message.kind === 'found' && epochOf(message) > epochOf(search.best)) search.best = message
    }
    return this.wake(0)
  }

  peerDown(peer: PeerId): Reply[] {
    for (const search of this.#searches) search.open.delete(peer)
    return this.wake(0)
  }

  /** Answers the searches that are over. */
  wake(now: Millis): Reply[] {
    const done = this.#searches.filter(({ open, until }) => open.size === 0 || now >= until)
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
