/**
 * Questions to single nodes whether they are there: first directly, then through others.
 *
 * Not here: whom to ask when, and what silence means (swim.ts). A node whose line to us is bad is not dead, so three others
 * try theirs before anybody doubts it. Whatever is heard of it answers the question.
 */
import type { PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import type { Random } from '../random.ts'

/** Time for a direct answer, and for one through others after that. */
export const answerWithinMs = 1_000
export const vouchWithinMs = 1_500
/** Nodes that are asked to try. */
export const vouchersMax = 3
/** Questions passed on for others at a time; further ones are not passed on. */
export const relaysMax = 1_024

interface Probe {
  readonly ask: number
  readonly sentAt: Millis
  isIndirect: boolean
  isVouched: boolean
}

interface Relay {
  readonly to: PeerId
  readonly ask: number
  readonly about: PeerId
  readonly until: Millis
}

export class Probes {
  readonly #open = new Map<PeerId, Probe>()
  readonly #relays = new Map<number, Relay>()
  readonly #random: Random
  #line: PeerId[] = []
  #ask = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** The next of these in a random order in which each comes once. */
  next(peers: ReadonlyMap<PeerId, unknown>): PeerId | undefined {
    for (let round = 0; round < 2; round++) {
      for (let peer = this.#line.pop(); peer !== undefined; peer = this.#line.pop())
        if (peers.has(peer)) return peer
      this.#line = shuffled([...peers.keys()], this.#random)
    }
    return undefined
  }

  isAsked(peer: PeerId): boolean {
    return this.#open.has(peer)
  }

  /** Returns the number of the question. */
  begin(peer: PeerId, now: Millis): number {
    this.#open.set(peer, { ask: ++this.#ask, sentAt: now, isIndirect: false, isVouched: false })
    return this.#ask
  }

  /** Somebody else reached it. */
  vouched(peer: PeerId): void {
    const probe = this.#open.get(peer)
    if (probe !== undefined) probe.isVouched = true
  }

  forget(peer: PeerId): void {
    this.#open.delete(peer)
  }

  clear(): void {
    this.#open.clear()
  }

  /** On behalf of another node; `undefined` if too many are on their way. */
  relay(to: PeerId, ask: number, about: PeerId, now: Millis): number | undefined {
    for (const [own, { until }] of this.#relays) if (until <= now) this.#relays.delete(own)
    if (this.#relays.size >= relaysMax) return undefined
    this.#relays.set(++this.#ask, { to, ask, about, until: now + vouchWithinMs })
    return this.#ask
  }

  /** The answer to a question that was passed on, if `from` is whom it was about. */
  relayed(from: PeerId, ask: number): Relay | undefined {
    const relay = this.#relays.get(ask)
    if (relay?.about !== from) return undefined
    this.#relays.delete(ask)
    return relay
  }

  /**
   * Whom others should try now, with the number of the question, and who answered nobody. `grace` is more time for one;
   * `heardAt` says when it was heard last.
   */
  wake(
    now: Millis,
    grace: (peer: PeerId) => Millis,
    heardAt: (peer: PeerId) => Millis
  ): { indirect: { peer: PeerId; ask: number }[]; silent: { peer: PeerId; isVouched: boolean }[] } {
    const indirect: { peer: PeerId; ask: number }[] = []
    const silent: { peer: PeerId; isVouched: boolean }[] = []
    for (const [peer, probe] of this.#open) {
      const waited = now - probe.sentAt - grace(peer)
      if (heardAt(peer) > probe.sentAt) this.#open.delete(peer)
      else if (!probe.isIndirect && waited >= answerWithinMs) {
        probe.isIndirect = true
        indirect.push({ peer, ask: probe.ask })
      } else if (probe.isIndirect && waited >= answerWithinMs + vouchWithinMs) {
        this.#open.delete(peer)
        silent.push({ peer, isVouched: probe.isVouched })
      }
    }
    return { indirect, silent }
  }

  wakeAt(): Millis | undefined {
    let at: Millis | undefined
    for (const { sentAt, isIndirect } of this.#open.values())
      at = earlier(at, sentAt + answerWithinMs + (isIndirect ? vouchWithinMs : 0))
    return at
  }
}

/** Fisher and Yates. */
export function shuffled<T>(items: T[], random: Random): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const kept = items[i] as T
    items[i] = items[j] as T
    items[j] = kept
  }
  return items
}
