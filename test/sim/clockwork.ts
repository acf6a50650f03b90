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
    heap.push({ at: this.now + Math.max(0, delay), order: this.#order++, happen })
    let child = heap.length - 1
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (!isBefore(heap[child], heap[parent])) break
      swap(heap, child, parent)
      child = parent
    }
  }

  /** Lets the next event happen; false if there is none up to `until`. */
  tick(until: Millis): boolean {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.at > until) {
      this.now = until
      return false
    }
    swap(heap, 0, heap.length - 1)
    heap.pop()
    let parent = 0
    for (;;) {
      let least = parent
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < heap.length && isBefore(heap[child], heap[least])) least = child
      }
      if (least === parent) break
      swap(heap, parent, least)
      parent = least
    }
    this.now = first.at
    first.happen()
    return true
  }
}

function isBefore(a: Event | undefined, b: Event | undefined): boolean {
  if (a === undefined || b === undefined) return false
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

function swap(heap: Event[], a: number, b: number): void {
  const kept = heap[a] as Event
  heap[a] = heap[b] as Event
  heap[b] = kept
}
