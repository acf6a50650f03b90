/**
 * When the time of a job's results is over: so long after its last task ended, as far as its keepers ran since then.
 *
 * Not here: forgetting (release.ts). The first keeper of the job's first shard that is there sees to it. What it knows of that
 * shard it need not ask; how long ago the others were settled, everybody is asked, and only when it may matter.
 */
import type { JobId, PeerId, ShardKey } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { isClosed, placesIn } from './closing.ts'
import { type Persist, persist, type Send, send } from './effects.ts'
import type { Keeper } from './keeper.ts'
import { holdingsMax, type TaskMessage } from './messages.ts'

/** Results are kept for so long after a job is complete, unless it says otherwise. */
export const retentionMs = 86_400_000
/** Between two looks for jobs whose time is over. */
const lookEveryMs = 2_000
/** Jobs in one look; of more, each has its turn later. A million takes a quarter of an hour, of the day that they stay. */
const looksMax = 4_096
/** Between two questions how old the shards of a job are. */
const askEveryMs = 10_000
/** Between two writings of the own clock: so much of it is lost with a crash. */
const stampEveryMs = 60_000
const ageMax = 0xffffffff
/** Under this name, which no job can have, the clock lies on disk. */
const clockName = '(uptime)' as JobId

export interface RetentionView {
  readonly self: PeerId
  readonly isUp: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  readonly keeper: Pick<
    Keeper,
    | 'eachJob'
    | 'size'
    | 'rootKey'
    | 'root'
    | 'brief'
    | 'isSettled'
    | 'outcomes'
    | 'shardsOf'
    | 'settledFor'
    | 'uptime'
  >
}

/** What is known of a job whose first shard has been settled for long enough. */
interface Inquiry {
  askAt: Millis
  /** Since when each of its shards has been settled, by the clock of this node. */
  readonly since: Map<ShardKey, Millis>
}

export class Retention {
  readonly #view: RetentionView
  readonly #inquiries = new Map<JobId, Inquiry>()
  #stampedAt: Millis = 0
  #lookAt: Millis = 0
  /** Of those that had no look yet. */
  #walk: Iterator<JobId> | undefined

  constructor(view: RetentionView) {
    this.#view = view
  }

  /** Jobs whose time is over, and what is to be asked or written down. */
  wake(now: Millis): { over: JobId[]; effects: (Send | Persist)[] } {
    if (now < this.#lookAt) return { over: [], effects: [] }
    this.#lookAt = now + lookEveryMs
    const { keeper } = this.#view
    for (const job of this.#inquiries.keys()) if (keeper.shardsOf(job).size === 0) this.#inquiries.delete(job)
    const effects: (Send | Persist)[] = keeper.size === 0 ? [] : this.#stamp()
    const over: JobId[] = []
    for (const job of this.#next()) {
      const register = this.#due(job)
      if (register === undefined) continue
      const inquiry = this.#inquiries.get(job) ?? { askAt: now, since: new Map() }
      const isOver = ({ key }: { key: ShardKey }): boolean =>
        now - (inquiry.since.get(key) ?? Number.POSITIVE_INFINITY) >= register.keptFor
      if (isClosed(register) && placesIn(register).every(isOver)) over.push(job)
      else if (now >= inquiry.askAt) {
        this.#inquiries.set(job, inquiry)
        inquiry.askAt = now + askEveryMs
        effects.push(...[this.#view.self, ...this.#view.peers()].map((to) => send(to, { kind: 'ages', job })))
      }
    }
    return { over, effects }
  }

  wakeAt(): Millis | undefined {
    return this.#view.keeper.size > 0 ? this.#lookAt : undefined
  }

  message(from: PeerId, message: TaskMessage, now: Millis): Send[] {
    if (message.kind === 'ages') return this.#ages(from, message.job)
    if (message.kind !== 'aged') return []
    const since = this.#inquiries.get(message.job)?.since
    for (const [at, key] of message.keys.entries()) {
      const [known, found] = [since?.get(key) ?? now, now - (message.ages[at] ?? 0)]
      // Of several keepers, the one counts that ran longest since then.
      since?.set(key, Math.min(known, found))
    }
    return []
  }

  *#next(): Generator<JobId> {
    this.#walk ??= this.#view.keeper.eachJob()
    for (let looks = 0; looks < looksMax; looks++) {
      const { done, value } = this.#walk.next()
      if (done) {
        this.#walk = undefined
        return
      }
      yield value
    }
  }

  /** The register of a job whose first shard has been settled for long enough, if this node sees to it. */
  #due(job: JobId) {
    const { keeper, self, isUp } = this.#view
    const key = keeper.rootKey(job)
    const brief = key === undefined ? undefined : keeper.brief(key)
    if (key === undefined || brief === undefined || !keeper.isSettled(key)) return undefined
    const keptFor = brief.retentionMs || retentionMs
    if (keeper.settledFor(key) < keptFor || brief.keepers.find(isUp) !== self) return undefined
    const record = keeper.root(job)
    return record && { record, committed: keeper.outcomes(key), keptFor }
  }

  #ages(to: PeerId, job: JobId): Send[] {
    const { keeper } = this.#view
    const settled = [...keeper.shardsOf(job)].filter((key) => keeper.isSettled(key))
    const answers: Send[] = []
    for (let at = 0; at < settled.length; at += holdingsMax) {
      const keys = settled.slice(at, at + holdingsMax)
      const ages = Uint32Array.from(keys, (key) => Math.min(ageMax, keeper.settledFor(key)))
      answers.push(send(to, { kind: 'aged', job, keys, ages }))
    }
    return answers
  }

  #stamp(): Persist[] {
    const { ms } = this.#view.keeper.uptime
    if (ms - this.#stampedAt < stampEveryMs) return []
    this.#stampedAt = ms
    return [persist(clockName, [{ kind: 'stamp', keys: [], at: ms }], [], true)]
  }
}
