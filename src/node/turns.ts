/**
 * Who is sent some data next, of the nodes that want it from this one.
 *
 * Not here: who waits, and who is sent on to whom (data/crowd.ts); the transfer itself (courier.ts).
 */
import { type Answer, type Asker, Crowds } from '../data/crowd.ts'
import type { DataId, PeerId } from '../ids.ts'

/** Until who waits in line for a piece is sent it all the same; less than a node waits for an answer. */
const lineMs = 15_000

/** What becomes of a node that asks; who serves it says how it ended. */
export type Turn = Extract<Answer, { kind: 'elsewhere' }> | { kind: 'serve'; ended: (hasIt: boolean) => void }

export class Turns {
  readonly #crowds = new Crowds()

  next(id: DataId, peer: PeerId): Promise<Turn> {
    const { promise, resolve } = Promise.withResolvers<Turn>()
    const asker: Asker = {
      peer,
      answer: (answer) => {
        clearTimeout(timer)
        if (answer.kind === 'elsewhere') resolve(answer)
        else resolve({ kind: 'serve', ended: (hasIt) => this.#crowds.ended(id, peer, hasIt) })
      }
    }
    // Those who are sent it may hang.
    const timer = setTimeout(() => {
      if (this.#crowds.leave(id, asker)) resolve({ kind: 'serve', ended: () => {} })
    }, lineMs).unref()
    this.#crowds.ask(id, asker)
    return promise
  }
}
