/**
 * Where clients ask about the mesh, and other nodes on behalf of theirs: status, jobs, members, release, drain.
 *
 * Not here: work, which goes to the entry (tasks/entry.ts), and putting answers together (inquiry.ts).
 * Everything is answered sooner or later, with what is known by then.
 */
import type { ClientMessageOf } from '../client/protocol.ts'
import { type ClientId, engineNamed, isJobId, type JobId, type PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Membership } from '../routing/membership.ts'
import { type EngineOrder, isEngineOrder } from '../tasks/engine-orders.ts'
import type { Keeper } from '../tasks/keeper.ts'
import type { Release, Released } from '../tasks/release.ts'
import { acceptanceReport, mergeAcceptance } from './acceptance.ts'
import type { CoreEffect } from './effects.ts'
import { explanation, isTaskReport } from './explain.ts'
import { Inquiry, isObject, type Merge, mergeJobs } from './inquiry.ts'
import {
  jobReports,
  memberInfo,
  mergeCalls,
  mergePlaces,
  placesReport,
  type Reports,
  standingReport
} from './report.ts'

/** What is asked of every node. */
const questions: ReadonlySet<string> = new Set([
  'status',
  'jobs',
  'explain',
  'locate',
  'accepted',
  'calls',
  'standing'
])

export interface DeskView {
  readonly self: PeerId
  readonly membership: Membership
  readonly keeper: Keeper
  readonly release: Release
  readonly reports: Reports
}

export class Desk {
  readonly #view: DeskView
  readonly #inquiry = new Inquiry()

  constructor(view: DeskView) {
    this.#view = view
  }

  /** A question of a client. */
  query(client: ClientId, { ask, what, about }: ClientMessageOf<'query'>, now: Millis): CoreEffect[] {
    const { self, membership } = this.#view
    if (what === 'release' && isJobId(about)) return this.#release(client, ask, about, now)
    if (what === 'drain') return [this.#drain(about), answer(client, ask, membership.isUp(about as PeerId))]
    if (what === 'members') return [answer(client, ask, membership.members().map(memberInfo))]
    if (isEngineOrder(what)) return this.#order({ client, ask, what, about }, now)
    if (!questions.has(what)) return [answer(client, ask, [])]
    const question = { client, ask, what, about, merge: this.#merge(what, about) }
    return this.#inquiry.begin(question, self, membership.peers(), this.report(what, about), now)
  }

  #merge(what: string, about: string): Merge {
    if (what === 'jobs' || what === 'standing') return (said) => mergeJobs(said.flat())
    if (what === 'status') return (said) => said.filter(isObject)
    if (what === 'locate') return mergePlaces
    if (what === 'accepted') return mergeAcceptance
    if (what === 'calls') return mergeCalls
    return (said, silent) =>
      explanation(about, said.filter(isTaskReport), this.#view.membership.members(), silent)
  }

  /** A question of another node. */
  asked(from: PeerId, ask: number, what: string, about: string): CoreEffect[] {
    if (what === 'drain') return [{ kind: 'asked-to-leave' }]
    const told: CoreEffect = { kind: 'send', to: from, message: { kind: 'told', ask, json: 'true' } }
    if (isEngineOrder(what)) return [...this.#orderHere(what, about), told]
    return [{ kind: 'send', to: from, message: { kind: 'told', ask, json: this.report(what, about) } }]
  }

  told(from: PeerId, ask: number, json: string): CoreEffect[] {
    return this.#inquiry.told(from, ask, json)
  }

  peerDown(peer: PeerId): CoreEffect[] {
    return [...answers(this.#view.release.peerDown(peer)), ...this.#inquiry.peerDown(peer)]
  }

  wake(now: Millis): CoreEffect[] {
    const { effects, released } = this.#view.release.wake(now)
    return [...effects, ...answers(released), ...this.#inquiry.wake(now)]
  }

  wakeAt(): Millis | undefined {
    return earlier(this.#view.release.wakeAt(), this.#inquiry.wakeAt())
  }

  forgotten(from: PeerId, name: Parameters<Release['forgotten']>[1], now: Millis): CoreEffect[] {
    const { effects, released } = this.#view.release.forgotten(from, name, now)
    return [...effects, ...answers(released)]
  }

  report(what: string, about: string): string {
    const { keeper, reports } = this.#view
    if (what === 'explain') return JSON.stringify(reports.task(about))
    if (what === 'locate') return JSON.stringify(placesReport(keeper, about))
    if (what === 'accepted') return JSON.stringify(acceptanceReport(keeper, about))
    if (what === 'standing') return JSON.stringify(standingReport(keeper, about))
    if (what === 'calls') return JSON.stringify(reports.calls())
    return JSON.stringify(what === 'jobs' ? jobReports(keeper) : reports.status())
  }

  #release(client: ClientId, ask: number, job: JobId, now: Millis): CoreEffect[] {
    const { keeper, release } = this.#view
    const isOpen = jobReports(keeper, job).some(({ shards, parts }) => {
      const isWhole = shards > 0 || parts.every(([index]) => index > 0)
      return !isWhole || parts.some(([, count, done]) => done < count)
    })
    if (isOpen || release.isBusy) return [answer(client, ask, isOpen ? 'unfinished' : 'busy')]
    return release.release(client, ask, job, now)
  }

  /** Answered with whether the node of the engine did it. */
  #order(
    question: {
      readonly client: ClientId
      readonly ask: number
      readonly what: EngineOrder
      readonly about: string
    },
    now: Millis
  ): CoreEffect[] {
    const { self, membership } = this.#view
    const { client, ask, what, about } = question
    const node = engineNamed(about)?.node
    if (node === self) return [...this.#orderHere(what, about), answer(client, ask, true)]
    if (node === undefined || !membership.isUp(node)) return [answer(client, ask, false)]
    const merge: Merge = (said) => said.includes(true)
    return this.#inquiry.begin({ ...question, merge }, self, [node], 'null', now)
  }

  #orderHere(order: EngineOrder, engine: string): CoreEffect[] {
    const named = engineNamed(engine)
    return named?.node === this.#view.self ? [{ kind: 'order-engine', slot: named.slot, order }] : []
  }

  #drain(node: string): CoreEffect {
    const { self } = this.#view
    if (node === self || node === '') return { kind: 'asked-to-leave' }
    return { kind: 'send', to: node as PeerId, message: { kind: 'ask', ask: 0, what: 'drain', about: '' } }
  }
}

function answer(client: ClientId, ask: number, value: unknown, silent = 0): CoreEffect {
  return {
    kind: 'reply',
    client,
    message: { kind: 'answer', ask, json: JSON.stringify({ value, silent }) }
  }
}

const answers = (released: readonly Released[]): CoreEffect[] =>
  released.map(({ client, ask, silent }) => answer(client, ask, 'released', silent))
