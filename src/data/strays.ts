/**
 * Asks about data that was found on the disk at the start and that nobody is known to need: others may know that its jobs are over.
 *
 * Not here: what is done with the answer (depot.ts). Who was away hears of no end that came meanwhile, and of what ends later
 * it does not know whether a user had put it, too; without an answer it keeps all of that for as long as a user may need it.
 */
import type { DataId, PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import type { Depot } from './depot.ts'
import { type DataEffect, type DataSurroundings, sendData } from './effects.ts'
import { idsMax } from './messages.ts'

const lookEveryMs = 2_000
/** Between two questions about the same, at first; then twice as long each time. */
const askEveryMs = 4_000
const askEveryMsMax = 3_600_000
/** So many of those that should have it are asked. */
const askedMax = 3

interface Question {
  at: Millis
  everyMs: Millis
}

export class Strays {
  readonly #view: DataSurroundings
  readonly #depot: Depot
  #questions = new Map<DataId, Question>()
  #lookAt: Millis = 0

  constructor(view: DataSurroundings, depot: Depot) {
    this.#view = view
    this.#depot = depot
  }

  /** About at most `idsMax` at a time; the rest waits for the next look. */
  wake(now: Millis): DataEffect[] {
    if (now < this.#lookAt) return []
    this.#lookAt = now + lookEveryMs
    const before = this.#questions
    this.#questions = new Map()
    const asked = new Map<PeerId, DataId[]>()
    let room = idsMax
    for (const id of this.#depot.found(now)) {
      const question = before.get(id) ?? { at: now, everyMs: askEveryMs }
      this.#questions.set(id, question)
      if (now < question.at || room === 0) continue
      const peers = this.#whom(id)
      if (peers.length === 0) continue
      room--
      question.at = now + question.everyMs
      question.everyMs = Math.min(askEveryMsMax, 2 * question.everyMs)
      for (const peer of peers) {
        const ids = asked.get(peer) ?? []
        asked.set(peer, ids)
        ids.push(id)
      }
    }
    return [...asked].map(([to, ids]) => sendData(to, { kind: 'stray', ids }))
  }

  #whom(id: DataId): PeerId[] {
    const { keepersFor, isUp, self } = this.#view
    return keepersFor(id)
      .filter((peer) => peer !== self && isUp(peer))
      .slice(0, askedMax)
  }
}
