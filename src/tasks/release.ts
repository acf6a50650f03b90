/**
 * Lets the mesh forget: jobs that somebody released, and those whose retention is over.
 *
 * Not here: when a job's time is over (retention.ts), what forgetting removes (keeper.ts), and how one who was away learns of it (reconcile.ts).
 * Everybody is told, since anybody may keep a part of a job; who released it hears when all that are up have done so.
 */
import type { ClientId, JobId, PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { type Send, send } from './effects.ts'
import type { Forgettable } from './messages.ts'

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

export interface ReleaseView {
  readonly self: PeerId
  readonly peers: () => readonly PeerId[]
}

export interface Released {
  readonly client: ClientId
  readonly ask: number
  /** Nodes that were not up or did not answer; they learn of it when they come back. */
  readonly silent: number
}

export class Release {
  readonly #view: ReleaseView
  readonly #orders = new Map<Forgettable, Order>()

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

  /** The time of its results is over. Nobody waits for the answer, so with too many orders it is tried again later. */
  expire(job: JobId, now: Millis): Send[] {
    return this.isBusy || this.#orders.has(job) ? [] : this.#order(job, [], now)
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
    return { effects, released }
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined
    for (const { askedAt, until } of this.#orders.values())
      at = earlier(at, Math.min(askedAt + orderAgainMs, until))
    return at
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
