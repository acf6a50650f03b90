/**
 * Those who wait for answers about the mesh, by the number of the question.
 *
 * Not here: asking, and asking again (asks.ts).
 */
import { ShoalError } from '../errors.ts'
import type { SessionEffect } from './shards.ts'

type Misread = Extract<SessionEffect, { kind: 'misread' }>

interface Waiting {
  readonly resolve: (json: string) => void
  readonly reject: (error: Error) => void
}

export class Replies {
  readonly #waiting = new Map<number, Waiting>()
  #isWarned = false

  get open(): number {
    return this.#waiting.size
  }

  to(ask: number): Promise<string> {
    return new Promise((resolve, reject) => this.#waiting.set(ask, { resolve, reject }))
  }

  came(ask: number, json: string): void {
    this.#waiting.get(ask)?.resolve(json)
    this.#waiting.delete(ask)
  }

  /** The entry could not read a question, if that is known; or another message of this client. */
  misread({ ask, code, message }: Misread): void {
    const error = new ShoalError(code, `the entry could not read what this client said: ${message}`)
    const waiting = this.#waiting.get(ask ?? Number.NaN)
    if (waiting === undefined) return this.#warn(error)
    this.#waiting.delete(ask as number)
    waiting.reject(error)
  }

  /** Nobody can be told which call it was: once, since the same is said again to every entry. */
  #warn({ code, message }: ShoalError): void {
    if (!this.#isWarned) process.emitWarning(message, { code, type: 'ShoalWarning' })
    this.#isWarned = true
  }

  fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
