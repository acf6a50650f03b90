/**
 * The one shape of all logic: synchronous machines that turn an input and the time into effects.
 *
 * Not here: clocks, timers, sockets, disks; those belong to src/node (and, in tests, to the simulator).
 * A machine is like a chess rule book: it says what follows from a move, and never moves the pieces.
 */

/** Milliseconds of a monotonic clock whose zero is unspecified. */
export type Millis = number

export interface Machine<Input, Effect> {
  /** Applies one input at time `now`; returns what the shell must do, in order. Never throws on hostile input, never awaits. */
  step(input: Input, now: Millis): Effect[]
  /** When a `wake` input next has work, or `undefined`. Waking early changes nothing. */
  wakeAt(): Millis | undefined
  /** Throws if the state contradicts itself. Tests call it after every step. */
  check(): void
}

/** A programmer's error: stops the node. A remote peer must never be able to cause one. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}

/** Ends every `switch` over a union, so that the compiler names the case that was forgotten. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String((value as { kind?: unknown }).kind ?? value)}`)
}

/** The earlier of two wake-ups, where `undefined` means never. */
export function earlier(a: Millis | undefined, b: Millis | undefined): Millis | undefined {
  if (a === undefined) return b
  if (b === undefined) return a
  return Math.min(a, b)
}
