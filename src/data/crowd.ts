/**
 * Whom a node sends a piece of data when many ask for it at once: a few, and the others are sent on to those who have it then.
 *
 * Not here: the sending (node/data.ts), and whom to ask first (guard.ts).
 * Who has received it serves as many in turn, so a piece reaches n nodes in a time that grows with log n, and nobody sends it
 * more often than `servedMax` times per round: like a rumour, told by each who has heard it. Uploads from one node to a
 * hundred would take as long as a hundred of them one after the other.
 */
import type { DataId, PeerId } from '../ids.ts'
import { assert } from '../machine.ts'

/** Transfers of one piece from one node at a time. */
export const servedMax = 3
/** Nodes that one who asks is sent to. */
export const elsewhereMax = 3
/** Nodes that are remembered to have got a piece while others wait for it; the oldest are forgotten. */
const knownMax = 64

export type Answer =
  | { readonly kind: 'serve' }
  | { readonly kind: 'elsewhere'; readonly at: readonly PeerId[] }

/** One who asks. */
export interface Asker {
  readonly peer: PeerId
  /** Called once, perhaps within `ask`. */
  readonly answer: (answer: Answer) => void
}

interface Known {
  readonly peer: PeerId
  /** How many may still be sent to it. */
  left: number
}

interface Crowd {
  served: number
  readonly known: Known[]
  readonly line: Asker[]
}

export class Crowds {
  readonly #crowds = new Map<DataId, Crowd>()

  /** Answers at once, or when somebody has got it. Who was answered `serve` is told of by `ended`. */
  ask(id: DataId, asker: Asker): void {
    const crowd = this.#crowds.get(id) ?? { served: 0, known: [], line: [] }
    this.#crowds.set(id, crowd)
    crowd.line.push(asker)
    this.#advance(id, crowd)
  }

  /** Waits no longer. True if it still waited. */
  leave(id: DataId, asker: Asker): boolean {
    const crowd = this.#crowds.get(id)
    const at = crowd?.line.indexOf(asker) ?? -1
    if (crowd === undefined || at < 0) return false
    crowd.line.splice(at, 1)
    this.#advance(id, crowd)
    return true
  }

  /** A transfer is over. `hasIt`: all of it arrived. */
  ended(id: DataId, peer: PeerId, hasIt: boolean): void {
    const crowd = this.#crowds.get(id)
    assert(crowd !== undefined && crowd.served > 0, `${id} was not being sent`)
    crowd.served--
    if (hasIt) {
      crowd.known.push({ peer, left: servedMax })
      if (crowd.known.length > knownMax) crowd.known.shift()
    }
    this.#advance(id, crowd)
  }

  get size(): number {
    return this.#crowds.size
  }

  #advance(id: DataId, crowd: Crowd): void {
    while (crowd.line.length > 0) {
      const answer = crowd.served < servedMax ? ({ kind: 'serve' } as const) : elsewhere(crowd)
      if (answer === undefined) return
      if (answer.kind === 'serve') crowd.served++
      crowd.line.shift()?.answer(answer)
    }
    if (crowd.served === 0) this.#crowds.delete(id)
  }
}

/** Those who have served the least come first. */
function elsewhere(crowd: Crowd): Answer | undefined {
  const free = crowd.known.filter(({ left }) => left > 0).sort((one, other) => other.left - one.left)
  const [first] = free
  if (first === undefined) return undefined
  first.left--
  return { kind: 'elsewhere', at: free.slice(0, elsewhereMax).map(({ peer }) => peer) }
}
