/**
 * How long an entry may say nothing until a client leaves it, and when it is asked whether it is there.
 *
 * Not here: what is owed (session.ts). Only silence that somebody listened to counts: who computed for a minute, or had nothing
 * to ask, does not know what the entry said meanwhile, and asks first.
 */
import type { Millis } from '../machine.ts'

const pingEveryMs = 3_000
/** An entry that owes an answer and says nothing for so long is left. */
export const entrySilenceMaxMs = 10_000
/** Who looks so long after the time was not there before. */
const lateMs = 500

export class Hearing {
  #heardAt: Millis = 0
  #pingAt: Millis = 0

  /** From here on it is listened to. */
  begin(now: Millis): void {
    this.#heardAt = now
    this.#pingAt = now + pingEveryMs
  }

  heard(now: Millis): void {
    this.#heardAt = now
  }

  /** To be called from this time on, if something is owed. */
  get lookAt(): Millis {
    return this.#pingAt
  }

  look(now: Millis): 'wait' | 'ping' | 'leave' {
    if (now < this.#pingAt) return 'wait'
    if (now - this.#pingAt > lateMs) this.#heardAt = Math.max(this.#heardAt, now - pingEveryMs)
    if (now - this.#heardAt > entrySilenceMaxMs) return 'leave'
    this.#pingAt = now + pingEveryMs
    return 'ping'
  }
}
