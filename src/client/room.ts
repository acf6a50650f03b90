/**
 * When more inputs of a job may be pulled, and how many.
 *
 * Not here: pulling them (feed.ts).
 * Only a reader who takes one by one holds the source back by his own pace.
 */
import type { Handing } from './handing.ts'
import type { Shelf } from './shelf.ts'

/** Shards that were handed to the session and not acknowledged, at most; then inputs are pulled no further. */
const shardsAheadMax = 64

/** Inputs are pulled again once there is room for so many, or for a quarter of `inFlightMax`: a shard of its own at best. */
const roomLeast = 512

export class Room {
  readonly #inFlightMax: number
  readonly #handing: Handing
  /** Somebody waits for it as a whole: results that nobody takes out are kept. */
  isKept = false
  /** Who takes something out makes room. */
  isFull = false

  constructor(inFlightMax: number, handing: Handing) {
    this.#inFlightMax = inFlightMax
    this.#handing = handing
  }

  /** How many inputs may be pulled now; resolves when that is at least one, with 0 if no more are wanted at all. */
  async untilAny(shelf: Shelf<unknown>): Promise<number> {
    for (;;) {
      if (this.#handing.isFed || shelf.failure !== undefined) return 0
      const { reading, taken, done } = shelf
      const isPaced = reading === 'one by one' || (reading === 'nobody' && !this.isKept)
      const inFlight = this.#handing.tasks - (isPaced ? taken : done)
      const room = this.#inFlightMax - inFlight
      // Not one by one: shards of a single task would cost the mesh more than their tasks.
      const isEnough = room > 0 && room >= Math.min(roomLeast, this.#inFlightMax / 4)
      if (isEnough && this.#handing.ahead < shardsAheadMax) return room
      this.isFull = true
      shelf.changed()
      await shelf.change
      this.isFull = false
    }
  }
}
