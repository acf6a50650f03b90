/**
 * Lets the mesh forget: jobs that somebody released, and those whose retention is over.
 *
 * Not here: when a job's time is over (retention.ts), what forgetting removes (keeper.ts), and how one who was away learns of it (reconcile.ts).
 * Everybody is told, since anybody may keep a part of a job; who released it hears when all that are up have done so. Who is
 * away is told when it is back, also if it alone kept the job, and so has nobody to compare with.
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

/** Released jobs of which it is remembered who has not heard; of more, the oldest goes. */
export const releasedMax = 4_096

/** Who is back hears of so much at a time: it looks for each, and writes it down. */
const toldAtOnce = 64

/** One that is back, what it is told of now, and what it has yet to be. */
interface Returned {
  readonly told: Set<Forgettable>
  readonly rest: Forgettable[]
  askedAt: Millis
  until: Millis
}

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
  /** Whoever may keep something, up or not. */
  readonly everybody: () => readonly PeerId[]
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
  /** Who has not said yet that it forgot what somebody released. */
  readonly #unheard = new Map<Forgettable, Set<PeerId>>()
  readonly #returned = new Map<PeerId, Returned>()

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
    this.#remember(job)
    return old === undefined ? this.#order(job, [{ client, ask }], now) : []
  }

  /** The time of its results is over. Nobody waits for the answer, so with too many orders it is tried again later. */
  expire(job: JobId, now: Millis): Send[] {
    return this.isBusy || this.#orders.has(job) ? [] : this.#order(job, [], now)
  }

  /** It has been away, and some of what was released meanwhile may be there. */
  peerUp(peer: PeerId, now: Millis): Send[] {
    const rest = [...this.#unheard.keys()].filter((name) => this.#unheard.get(name)?.has(peer))
    if (rest.length === 0) return []
    const returned: Returned = { told: new Set(), rest, askedAt: now, until: now }
    this.#returned.set(peer, returned)
    return this.#tell(peer, returned, now)
  }

  forgotten(from: PeerId, name: Forgettable, now: Millis): { effects: Send[]; released: Released[] } {
    const unheard = this.#unheard.get(name)
    if (unheard?.delete(from) && unheard.size === 0) this.#unheard.delete(name)
    const returned = this.#returned.get(from)
    const isNext = returned?.told.delete(name) === true && returned.told.size === 0
    const effects = isNext && returned !== undefined ? this.#tell(from, returned, now) : []
    const order = this.#orders.get(name)
    if (!order?.open.delete(from) || order.open.size > 0) return { effects, released: [] }
    return { effects, released: this.#conclude(order) }
  }

  peerDown(peer: PeerId): Released[] {
    this.#returned.delete(peer)
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
    for (const [peer, returned] of this.#returned)
      if (now - returned.askedAt >= orderAgainMs) effects.push(...this.#tell(peer, returned, now))
    return { effects, released }
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined
    for (const { askedAt, until } of this.#orders.values())
      at = earlier(at, Math.min(askedAt + orderAgainMs, until))
    for (const { askedAt } of this.#returned.values()) at = earlier(at, askedAt + orderAgainMs)
    return at
  }

  #remember(job: JobId): void {
    this.#unheard.delete(job)
    this.#unheard.set(job, new Set([...this.#view.peers(), ...this.#view.everybody()]))
    const [oldest] = this.#unheard.keys()
    if (this.#unheard.size > releasedMax && oldest !== undefined) this.#unheard.delete(oldest)
  }

  /** The same again, or what comes next if that is done, or was said in vain for long enough. */
  #tell(peer: PeerId, returned: Returned, now: Millis): Send[] {
    const { told, rest } = returned
    returned.askedAt = now
    if (told.size === 0 || now >= returned.until) {
      told.clear()
      for (const name of rest.splice(0, toldAtOnce)) if (this.#unheard.get(name)?.has(peer)) told.add(name)
      returned.until = now + orderForMs
    }
    if (told.size === 0 && rest.length === 0) this.#returned.delete(peer)
    return [...told].map((name) => send(peer, { kind: 'forget', name }))
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
