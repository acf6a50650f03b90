/**
 * Two processes that run under one node id, and which of them is let in: the one that runs for longer.
 *
 * Not here: the lock of a data folder, which keeps a second process out on one machine (store.ts).
 * The id of a node is in its data folder, and a folder may be copied, with the whole disk of a machine that others are made
 * from. Each process draws a number when it starts. One whose place was taken by another, and that comes again, proves that
 * both run: nobody comes back from its end with the same number.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'

/** Processes of one node that are remembered: with more restarts than that, the oldest could pass for a new one. */
const livesMax = 8
/** Nodes whose processes are remembered; the oldest is forgotten, and may be let in once more before it is seen. */
const nodesMax = 10_000

/** A process of a node. */
export interface Life {
  readonly instance: string
  /** When it started, by the clock of who asks. */
  readonly since: Millis
}

interface Node {
  /** The last one that was let in. */
  now: Life
  /** Those whose place was taken. */
  before: readonly Life[]
  readonly turnedAway: Set<string>
}

export class Twins {
  readonly #nodes = new Map<PeerId, Node>()
  readonly #onTwin: (peer: PeerId) => void

  /** `onTwin`: once for each process that is turned away. */
  constructor(onTwin: (peer: PeerId) => void) {
    this.#onTwin = onTwin
  }

  /** False if this process is to be turned away. */
  admits(peer: PeerId, life: Life): boolean {
    const node = this.#nodes.get(peer)
    if (node === undefined) {
      const oldest = this.#nodes.size >= nodesMax ? this.#nodes.keys().next().value : undefined
      if (oldest !== undefined) this.#nodes.delete(oldest)
      this.#nodes.set(peer, { now: life, before: [], turnedAway: new Set() })
      return true
    }
    if (node.turnedAway.has(life.instance)) return false
    if (life.instance === node.now.instance) return true
    const isBack = node.before.some(({ instance }) => instance === life.instance)
    const isElder = life.since <= node.now.since
    if (isBack) {
      const [oldest] = node.turnedAway.size >= livesMax ? node.turnedAway : []
      if (oldest !== undefined) node.turnedAway.delete(oldest)
      node.turnedAway.add(isElder ? node.now.instance : life.instance)
      this.#onTwin(peer)
      if (!isElder) return false
    }
    node.before = [...node.before, node.now].slice(-livesMax)
    node.now = life
    return true
  }
}

/** For people, at the process that was turned away, or at the one that did so. */
export const twinNote = (peer: PeerId, isSelf: boolean): string =>
  isSelf
    ? `turned away: another process has been running as this node, ${peer}, for longer, and this data folder is a copy of that one's; stop this node, and start it with an empty data folder`
    : `turned away one of two processes that run as ${peer}, the one that started last: its data folder is a copy of the other's, and it needs one of its own`
