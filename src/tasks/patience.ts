/**
 * How long an answer is waited for before the same is sent again.
 *
 * Not here: who sends what again (entry.ts, register.ts, runner.ts).
 * Streams lose nothing while they last. What is large and sent again too early stands in line behind itself and is what makes
 * the answer late: 32 MiB of inputs were sent three times over. So the time grows with the bytes that are on their way.
 */
import type { Millis } from '../machine.ts'

export const patienceMs = 1_000
/** Of disks and networks together, a slow one: 1 MiB a second. */
const bytesPerMs = 1_024
/** However much is on its way. */
const patienceMaxMs = 30_000

export const patienceFor = (bytes: number): Millis =>
  Math.min(patienceMs + Math.floor(bytes / bytesPerMs), patienceMaxMs)
