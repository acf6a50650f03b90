/**
 * All that a node's core knows and decides of data: what its records name, what lies here, and what others are to hold.
 *
 * Not here: each of these (tasks/references.ts, data/depot.ts, data/guard.ts, data/strays.ts), and the bytes (data.ts).
 */
import { Depot, type PinLeft } from '../data/depot.ts'
import type { DataEffect, DataSurroundings } from '../data/effects.ts'
import { Guard } from '../data/guard.ts'
import { type DataMessage, idsMax } from '../data/messages.ts'
import { Strays } from '../data/strays.ts'
import type { DataId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Surroundings } from '../routing/surroundings.ts'
import type { Keeper } from '../tasks/keeper.ts'
import type { TaskMessage } from '../tasks/messages.ts'
import { type Named, References } from '../tasks/references.ts'

/** What the shell tells of data. */
export type DataInput =
  /** It is on this node's disk: found there at the start, or brought. */
  | { kind: 'data-here'; ids: readonly DataId[]; isRestored: boolean }
  /** Nobody who was asked has it. */
  | { kind: 'data-failed'; id: DataId }
  /** It is not on the disk any more, or not as it was. */
  | { kind: 'data-lost'; id: DataId }
  | { kind: 'data-used'; id: DataId }
  /** Somebody put it here and wants it kept; answered by `data-kept` or `data-refused`, until `data-unasked`. */
  | { kind: 'data-put'; id: DataId; ask: number; pin: PinLeft; copies: number }
  | { kind: 'data-unasked'; ask: number }
  /** Somebody does not need these any more. */
  | { kind: 'data-freed'; ids: readonly DataId[] }

type StockSurroundings = DataSurroundings & Pick<Surroundings, 'everybody'>

export class Stock {
  readonly #view: StockSurroundings
  readonly #depot: Depot
  readonly #guard: Guard
  readonly #strays: Strays
  readonly #references: References

  constructor(view: StockSurroundings, keeper: Keeper, quota: number) {
    this.#view = view
    this.#depot = new Depot(view, quota)
    this.#guard = new Guard(view, this.#depot)
    this.#strays = new Strays(view, this.#depot)
    this.#references = new References(keeper)
  }

  get bytes(): number {
    return this.#depot.bytes
  }

  /** Data that lies here, and data that this node sees to. */
  get counts(): { readonly here: number; readonly guarded: number } {
    return { here: this.#depot.size, guarded: this.#guard.size }
  }

  has(id: DataId): boolean {
    return this.#depot.has(id)
  }

  /** Whom to ask for it, best first. */
  sources(id: DataId, at: readonly PeerId[] = []): PeerId[] {
    return this.#guard.sources(id, at)
  }

  /** Who could have something was asked, if these were: nobody else is up, or down for so short a time that it may be back. */
  areAll(sources: readonly PeerId[], now: Millis): boolean {
    const { self, isUp, isGone, everybody, peers } = this.#view
    const asked = new Set([self, ...sources])
    return [...everybody(), ...peers()].every((peer) => asked.has(peer) || (!isUp(peer) && isGone(peer, now)))
  }

  /** Who is known to have it. */
  holders(id: DataId): ReadonlySet<PeerId> {
    const others = this.#guard.holders(id) ?? new Set()
    const { self } = this.#view
    return others.has(self) || !this.has(id) ? others : new Set([...others, self])
  }

  isFull(share: number): boolean {
    return this.#depot.isFull(share)
  }

  /** The keeper has read back what is on its disk. */
  restored(now: Millis): DataEffect[] {
    return this.#references.restored().flatMap((named) => this.#named(named, now))
  }

  /** The keeper has heard this. */
  recorded(message: TaskMessage, now: Millis): DataEffect[] {
    return this.#named(this.#references.heard(message), now)
  }

  message(from: PeerId, message: DataMessage, now: Millis): DataEffect[] {
    switch (message.kind) {
      case 'hold': {
        const effects = this.#depot.hold(from, message, now)
        if (message.pinMs > 0 || message.bridgeMs > 0) this.#guard.pinned(message.ids, message.copies, now)
        return effects
      }
      case 'held':
        return this.#guard.held(from, message.ids, now)
      case 'full':
        return this.#guard.full(from, message.ids, now)
      case 'unhold':
        this.#guard.changed(message.ids)
        return this.#depot.unhold(from, message.ids, message.isOver, now)
      case 'unpin':
        this.#guard.changed(message.ids)
        return this.#depot.unpin(message.ids, now)
      case 'crossed':
        this.#guard.changed(message.ids)
        this.#depot.crossed(message, now)
        return []
      case 'stray':
        return this.#depot.stray(from, message.ids, now)
    }
  }

  input(input: DataInput, now: Millis): DataEffect[] {
    switch (input.kind) {
      case 'data-here':
        if (!input.isRestored) return input.ids.flatMap((id) => this.#depot.arrived(id, now))
        this.#depot.restored(input.ids, now)
        return []
      case 'data-failed':
        this.#depot.failed(input.id, now)
        return []
      case 'data-lost':
        this.#guard.lost(input.id)
        return this.#depot.lost(input.id, now)
      case 'data-used':
        this.#depot.used(input.id, now)
        return []
      case 'data-put':
        return this.#guard.keep(input.id, input.ask, input.pin, input.copies, now)
      case 'data-unasked':
        this.#guard.unask(input.ask)
        return []
      case 'data-freed':
        return this.#free(input.ids, now)
    }
  }

  peerUp(peer: PeerId, now: Millis): void {
    this.#guard.peerUp(peer, now)
  }

  leave(): void {
    this.#guard.leave()
  }

  /** What others have yet to take over from a node that leaves. */
  movable(now: Millis): number {
    return this.#guard.movable(now)
  }

  wake(now: Millis): DataEffect[] {
    if (now < this.#guard.wakeAt()) return []
    return [...this.#guard.wake(now), ...this.#depot.wake(now), ...this.#strays.wake(now)]
  }

  wakeAt(): Millis | undefined {
    return this.#depot.size + this.#guard.size === 0 ? undefined : this.#guard.wakeAt()
  }

  check(): void {
    this.#depot.check()
  }

  #named({ fresh, over, isOver, copies }: Named, now: Millis): DataEffect[] {
    const effects = fresh.length === 0 ? [] : this.#guard.name(fresh, copies, now)
    return over.length === 0 ? effects : [...effects, ...this.#guard.unname(over, isOver, now)]
  }

  #free(ids: readonly DataId[], now: Millis): DataEffect[] {
    const effects = this.#depot.unpin(ids, now)
    this.#guard.changed(ids)
    for (let at = 0; at < ids.length; at += idsMax)
      for (const to of this.#view.peers())
        effects.push({ kind: 'send', to, message: { kind: 'unpin', ids: ids.slice(at, at + idsMax) } })
    return effects
  }
}
