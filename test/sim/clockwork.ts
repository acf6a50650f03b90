/**
 * Virtual time: events in order of time, then of their making.
 *
 * Not here: what happens at an event (world.ts). A binary heap, because a seed has hundreds of thousands of events.
 */
import type { Millis } from '../../src/machine.ts'

interface Event {
  readonly at: Millis
  readonly order: number
  readonly happen: () => void
}

export class Clockwork {
  now: Millis = 0
  #order = 0
  readonly #heap: Event[] = []

  get pending(): number {
    return this.#heap.length
  }

  after(delay: Millis, happen: () => void): void {
    const heap = this.#heap
    const event = { at: this.now + Math.max(0, delay), order: this.#order++, happen }
    let child = heap.length
    while (child > 0) {
      const parent = heap[(child - 1) >> 1] as Event
      if (!isBefore(event, parent)) break
      heap[child] = parent
      child = (child - 1) >> 1
    }
    heap[child] = event
  }

  /** Lets the next event happen; false if there is none up to `until`. */
  tick(until: Millis): boolean {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.at > until) {
      this.now = until
      return false
    }
    const last = heap.pop()
    if (last !== undefined && last !== first) settle(heap, last)
    this.now = first.at
    first.happen()
    return true
  }
}

/** Puts `event` where the root was: those that come before it move up. */
function settle(heap: Event[], event: Event): void {
  let at = 0
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    const left = heap[child] as Event
    const right = heap[child + 1]
    const least = right !== undefined && isBefore(right, left) ? right : left
    if (!isBefore(least, event)) break
    heap[at] = least
    at = least === left ? child : child + 1
  }
  heap[at] = event
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
