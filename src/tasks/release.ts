/**
 * Lets the mesh forget: jobs that somebody released, and those whose retention is over.
 *
 * Not here: what forgetting removes (keeper.ts), and how one who was away learns of it (reconcile.ts).
 * Everybody is told, since anybody may keep a part of a job; who released it hears when all that are up have done so.
 */
import type { ClientId, JobId, PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'
import type { Keeper } from './keeper.ts'
import type { Forgettable } from './messages.ts'

/** Results are kept for so long after a job is complete, unless it says otherwise, as far as the node ran in that time. */
export const retentionMs = 86_400_000
/** Between two looks for jobs whose time is over. */
const lookEveryMs = 2_000
/** Between two orders to one that did not answer, and how long those are waited for who do not. */
const orderAgainMs = 1_000
const orderForMs = 5_000
/** Orders that are not carried out everywhere; with more, jobs past their retention wait, and clients are told that it is busy. */
export const ordersMax = 10_000

interface Order {
  readonly name: Forgettable
  readonly open: Set<PeerId>
  readonly asks: { readonly client: ClientId; readonly ask: number }[]
  askedAt: Millis
  readonly until: Millis
}

export interface Released {
  readonly client: ClientId
  readonly ask: number
  /** Nodes that were not up or did not answer; they learn of it when they come back. */
  readonly silent: number
}

export interface ReleaseView {
  readonly self: PeerId
  readonly isUp: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  readonly keeper: Pick<Keeper, 'jobs' | 'root' | 'isSettled'>
}

export class Release {
  readonly #view: ReleaseView
  readonly #orders = new Map<Forgettable, Order>()
  /** Since when each job is known to be complete. */
  readonly #complete = new Map<JobId, Millis>()
  #lookAt: Millis = 0

  constructor(view: ReleaseView) {
    this.#view = view
  }

  get isBusy(): boolean {
    return this.#orders.size >= ordersMax
  }

  /** Tells everybody to forget the job; the client hears by `wake` or `message` when that is done. */
  release(client: ClientId, ask: number, job: JobId, now: Millis): Send[] {
    const old = this.#orders.get(job)
    old?.asks.push({ client, ask })
    return old === undefined ? this.#order(job, [{ client, ask }], now) : []
  }

  forgotten(from: PeerId, name: Forgettable): Released[] {
    const order = this.#orders.get(name)
    if (!order?.open.delete(from) || order.open.size > 0) return []
    return this.#conclude(order)
  }

  peerDown(peer: PeerId): Released[] {
    return [...this.#orders.values()].flatMap((order) => {
      // Its silence is not counted, since everybody knows that it is down.
      return order.open.delete(peer) && order.open.size === 0 ? this.#conclude(order) : []
    })
  }

  wake(now: Millis): { effects: Send[]; released: Released[] } {
    const effects: Send[] = []
    const released: Released[] = []
    for (const order of [...this.#orders.values()]) {
      if (now >= order.until) released.push(...this.#conclude(order))
      else if (now - order.askedAt >= orderAgainMs) effects.push(...this.#say(order, now))
    }
    if (now >= this.#lookAt) {
      this.#lookAt = now + lookEveryMs
      effects.push(...this.#expire(now))
    }
    return { effects, released }
  }

  wakeAt(): Millis | undefined {
    let at = this.#view.keeper.jobs().length > 0 ? this.#lookAt : undefined
    for (const { askedAt, until } of this.#orders.values())
      at = earlier(at, Math.min(askedAt + orderAgainMs, until))
    return at
  }

  #expire(now: Millis): Send[] {
    const { keeper, self, isUp } = this.#view
    const jobs = new Set(keeper.jobs())
    for (const job of this.#complete.keys()) if (!jobs.has(job)) this.#complete.delete(job)
    const effects: Send[] = []
    for (const job of jobs) {
      const root = keeper.root(job)
      if (root === undefined || !keeper.isSettled(root.key)) continue
      const since = this.#complete.get(job) ?? now
      this.#complete.set(job, since)
      const isOver = now - since >= (root.header.retentionMs || retentionMs)
      if (isOver && !this.isBusy && root.keepers.find(isUp) === self)
        effects.push(...this.#order(job, [], now))
    }
    return effects
  }

  #order(name: Forgettable, asks: Order['asks'], now: Millis): Send[] {
    const open = new Set([this.#view.self, ...this.#view.peers()])
    const order: Order = { name, open, asks, askedAt: now, until: now + orderForMs }
    this.#orders.set(name, order)
    return this.#say(order, now)
  }

  #say(order: Order, now: Millis): Send[] {
    order.askedAt = now
    return [...order.open].map((to) => send(to, { kind: 'forget', name: order.name }))
  }

  #conclude({ name, asks, open }: Order): Released[] {
    this.#orders.delete(name)
    return asks.map((one) => ({ ...one, silent: open.size }))
  }
}
