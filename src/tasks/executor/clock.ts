/**
 * The clock by which people are told when a task ran: the wall clock of its node, and the same for all that runs there.
 *
 * Not here: time limits, which go by the shared clock alone (protocol.ts).
 * What begins after another task's end is to say so, wherever on the node it runs: so where the shared clock has its zero on the
 * wall clock is looked up once, by the node, and its engines are told. Were it looked up for each run, it would be another one
 * each time, as a wall clock is read in whole ms. But a clock that was set, or went on while the machine slept, is followed: times
 * that are hours off are of no use to anybody, and out of order is then, once, what ended just before.
 */
import { sharedMillis } from './protocol.ts'

/** What a wall clock is off by less was not set: it drifts, as clocks do that a time server keeps right. */
export const setByMs = 1_000

interface Readings {
  /** Milliseconds since 1970, whole ones. */
  readonly wall: () => number
  readonly shared: () => number
}

export class WallClock {
  readonly #readings: Readings
  #zero: number

  constructor(readings: Readings, zero = readings.wall() - readings.shared()) {
    this.#readings = readings
    this.#zero = zero
  }

  /** What the wall clock said when the shared one was 0. */
  get zero(): number {
    const { wall, shared } = this.#readings
    // Who is paused in between knows less, and nothing wrong.
    const before = shared()
    const now = wall()
    const [least, most] = [now - shared(), now + 1 - before]
    if (this.#zero < least - setByMs || this.#zero > most + setByMs) this.#zero = now - before
    return this.#zero
  }

  /** What it says, in milliseconds since 1970, when the shared clock is at `shared`. */
  at(shared: number): number {
    return this.zero + shared
  }
}

/** Other nodes of this machine have the same but for what its wall clock has drifted between their starts. */
export const wallClock = new WallClock(
  { wall: Date.now, shared: sharedMillis },
  performance.timeOrigin + performance.now() - sharedMillis()
)
