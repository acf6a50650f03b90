/**
 * The simulated network: streams between nodes that lose, delay, repeat and reorder frames, and that break.
 *
 * Not here: clients' streams (world.ts), which are ordered and break only with their node, as TCP does.
 * Frames between nodes may be lost one by one: harsher than TCP, so nothing may depend on a message having arrived.
 */
import type { PeerId } from '../../src/ids.ts'
import { joinFrame, type PeerMessage, peerMessages, splitFrame } from '../../src/node/messages.ts'
import type { Random } from '../../src/random.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

const inFlightMax = 50_000

export class Network {
  readonly #world: World
  readonly #random: Random
  /** Number of the stream from a node to another, as that node sees it. */
  readonly #streams = new Map<string, number>()
  readonly #cut = new Set<string>()
  #next = 0
  #inFlight = 0
  bytes = 0

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
  }

  send(from: SimNode, to: PeerId, message: PeerMessage): void {
    const stream = this.#streams.get(`${from.id}>${to}`)
    if (stream === undefined) return
    const { faults, clock, checkers } = this.#world
    if (message.kind === 'committed')
      checkers.committed(message.key, message.outcomes, `by ${from.id} to ${to}`)
    const frame = joinFrame([peerMessages.encode(message)])
    this.bytes += frame.byteLength
    if (this.#cut.has(`${from.id}>${to}`) || this.#random.chance(faults.loss)) return
    const times = this.#random.chance(faults.duplication) ? 2 : 1
    for (let i = 0; i < times; i++) {
      const late = this.#random.chance(faults.delay) ? this.#random.next() * 2_000 : 0
      if (++this.#inFlight > inFlightMax) throw new Error(`more than ${inFlightMax} frames are on their way`)
      clock.after(0.1 + this.#random.next() * 2 + late, () => {
        this.#inFlight--
        this.#arrive(from.id, to, stream, frame)
      })
    }
  }

  dial(from: SimNode, to: PeerId): void {
    const { life } = from
    this.#world.clock.after(0.5 + this.#random.next() * 5, () => {
      const target = this.#world.node(to)
      if (from.life !== life || !from.isRunning || target === undefined || !target.isRunning) return
      if (this.#isCut(from.id, to) || this.#streams.has(`${from.id}>${to}`)) return
      // A listener that still holds an old stream to the dialler drops it first.
      this.#lose(to, from.id, this.#streams.get(`${to}>${from.id}`))
      this.#next++
      this.#streams.set(`${from.id}>${to}`, this.#next)
      this.#streams.set(`${to}>${from.id}`, this.#next)
      from.step({ kind: 'peer-connected', peer: to, addresses: [`/sim/${to}`] })
      target.step({ kind: 'peer-connected', peer: from.id, addresses: [`/sim/${from.id}`] })
    })
  }

  /** `from` ends its stream to `to`; the other side notices a little later. */
  drop(from: PeerId, to: PeerId): void {
    const stream = this.#streams.get(`${from}>${to}`)
    this.#lose(from, to, stream)
    this.#world.clock.after(1 + this.#random.next() * 20, () => this.#lose(to, from, stream))
  }

  /** A node is gone: the others notice at once, or by its silence. */
  gone(node: PeerId, isSilent: boolean): void {
    for (const { id } of this.#world.nodes) {
      const stream = this.#streams.get(`${node}>${id}`)
      this.#streams.delete(`${node}>${id}`)
      if (!isSilent) this.#world.clock.after(1 + this.#random.next() * 40, () => this.#lose(id, node, stream))
    }
  }

  cut(from: PeerId, to: PeerId): void {
    this.#cut.add(`${from}>${to}`)
  }

  heal(): void {
    this.#cut.clear()
  }

  #isCut(a: PeerId, b: PeerId): boolean {
    return this.#cut.has(`${a}>${b}`) || this.#cut.has(`${b}>${a}`)
  }

  /** Ends what `at` sees as its stream to `peer`, if it is still that one. */
  #lose(at: PeerId, peer: PeerId, stream: number | undefined): void {
    if (stream === undefined || this.#streams.get(`${at}>${peer}`) !== stream) return
    this.#streams.delete(`${at}>${peer}`)
    this.#world.node(at)?.step({ kind: 'peer-disconnected', peer })
  }

  #arrive(from: PeerId, to: PeerId, stream: number, frame: Uint8Array): void {
    if (this.#streams.get(`${to}>${from}`) !== stream || this.#cut.has(`${from}>${to}`)) return
    const messages = splitFrame(frame).map((part) => peerMessages.parse(part))
    this.#world.node(to)?.step({ kind: 'received', from, messages })
  }
}
