/**
 * The simulated network: streams between nodes that lose, delay, repeat, reorder and withhold frames, and that break.
 *
 * Not here: clients' streams (world.ts), which are ordered and break only with their node, as TCP does.
 * Frames between nodes may be lost one by one: harsher than TCP, so nothing may depend on a message having arrived.
 */
import type { PeerId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { type PeerMessage, peerMessages } from '../../src/node/messages.ts'
import type { Random } from '../../src/random.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

const inFlightMax = 100_000

export class Network {
  readonly #world: World
  readonly #random: Random
  /** Number of the stream from a node to another, as that node sees it. */
  readonly #streams = new Map<string, number>()
  /** Directions in which nothing passes, and how many reasons there are for each. */
  readonly #cut = new Map<string, number>()
  /** What waits in directions that are clogged. */
  readonly #clogged = new Map<string, (() => void)[]>()
  /** When the last frame on a way arrives. */
  readonly #lastAt = new Map<string, Millis>()
  #next = 0
  #inFlight = 0
  bytes = 0
  /** Ever, between any two. */
  wasCut = false
  frames = 0

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
  }

  send(from: SimNode, to: PeerId, message: PeerMessage): void {
    const way = wayOf(from.id, to)
    const stream = this.#streams.get(way)
    if (stream === undefined) return
    const { weather, clock } = this.#world
    const bytes = encodeOnce(message)
    this.bytes += bytes.byteLength
    this.frames++
    if (this.#cut.has(way) || this.#random.chance(weather.loss)) return
    const times = this.#random.chance(weather.duplication) ? 2 : 1
    for (let i = 0; i < times; i++) {
      const late = this.#random.chance(weather.delay) ? this.#random.next() * weather.delayMs : 0
      this.#inFlight++
      let at = clock.now + 0.1 + this.#random.next() * weather.jitterMs + late
      if (weather.isOrdered) {
        at = Math.max(at, this.#lastAt.get(way) ?? 0)
        this.#lastAt.set(way, at)
      }
      clock.after(at - clock.now, () => {
        this.#inFlight--
        const waiting = this.#clogged.get(way)
        const arrive = (): void => this.#arrive(from.id, to, stream, bytes)
        if (waiting === undefined) arrive()
        else waiting.push(arrive)
      })
    }
    this.#world.bound('frames on their way', this.#inFlight, inFlightMax)
  }

  dial(from: SimNode, to: PeerId): void {
    const { life } = from
    this.#world.clock.after(0.5 + this.#random.next() * 5, () => {
      const target = this.#world.node(to)
      if (from.life !== life || !from.isRunning || target === undefined || !target.isAnswering) return
      if (this.isCut(from.id, to) || this.#streams.has(`${from.id}>${to}`)) return
      // A listener that still holds an old stream to the dialler drops it first.
      this.#lose(to, from.id, this.#streams.get(`${to}>${from.id}`))
      this.#next++
      this.#streams.set(`${from.id}>${to}`, this.#next)
      this.#streams.set(`${to}>${from.id}`, this.#next)
      from.step({ kind: 'peer-connected', peer: to, addresses: [`/sim/${to}`] })
      target.step({ kind: 'peer-connected', peer: from.id, addresses: [`/sim/${from.id}`] })
    })
  }

  /** Those to whom news can pass on from neighbour to neighbour. */
  reached(from: PeerId): ReadonlySet<PeerId> {
    const reached = new Set([from])
    for (const near of reached) {
      for (const far of this.#world.ids()) {
        const stream = this.#streams.get(wayOf(near, far))
        if (stream === undefined || stream !== this.#streams.get(wayOf(far, near))) continue
        if (!this.#cut.has(wayOf(near, far))) reached.add(far)
      }
    }
    return reached
  }

  /** `from` ends its stream to `to`; the other side notices a little later. */
  drop(from: PeerId, to: PeerId): void {
    const stream = this.#streams.get(`${from}>${to}`)
    const { clock } = this.#world
    clock.after(0, () => this.#lose(from, to, stream))
    clock.after(1 + this.#random.next() * 20, () => this.#lose(to, from, stream))
  }

  /** A node is gone: the others notice at once, or by its silence. */
  gone(node: PeerId, isSilent: boolean): void {
    for (const id of this.#world.ids()) {
      const stream = this.#streams.get(`${node}>${id}`)
      this.#streams.delete(`${node}>${id}`)
      if (!isSilent) this.#world.clock.after(1 + this.#random.next() * 40, () => this.#lose(id, node, stream))
    }
  }

  cut(from: PeerId, to: PeerId): void {
    this.wasCut = true
    const way = `${from}>${to}`
    this.#cut.set(way, (this.#cut.get(way) ?? 0) + 1)
  }

  mend(from: PeerId, to: PeerId): void {
    const way = `${from}>${to}`
    const left = (this.#cut.get(way) ?? 0) - 1
    if (left > 0) this.#cut.set(way, left)
    else this.#cut.delete(way)
  }

  /** Nothing passes between these and all others, until the end that is returned is called. */
  isolate(side: readonly PeerId[], all: Iterable<PeerId>): () => void {
    const ways = [...all]
      .filter((b) => !side.includes(b))
      .flatMap((b) => side.flatMap((a) => [[a, b] as const, [b, a] as const]))
    for (const [a, b] of ways) this.cut(a, b)
    return () => {
      for (const [a, b] of ways) this.mend(a, b)
    }
  }

  clog(from: PeerId, to: PeerId): void {
    const way = `${from}>${to}`
    if (!this.#clogged.has(way)) this.#clogged.set(way, [])
  }

  /** What was withheld arrives now. */
  unclog(from: PeerId, to: PeerId): void {
    const way = `${from}>${to}`
    const waiting = this.#clogged.get(way) ?? []
    this.#clogged.delete(way)
    const { weather, clock } = this.#world
    for (const arrive of waiting) clock.after(weather.isOrdered ? 0 : this.#random.next() * 5, arrive)
  }

  heal(): void {
    this.#cut.clear()
    for (const way of [...this.#clogged.keys()]) {
      const [from, to] = way.split('>') as [PeerId, PeerId]
      this.unclog(from, to)
    }
  }

  isCut(a: PeerId, b: PeerId): boolean {
    return this.#cut.has(`${a}>${b}`) || this.#cut.has(`${b}>${a}`)
  }

  /** Ends what `at` sees as its stream to `peer`, if it is still that one. */
  #lose(at: PeerId, peer: PeerId, stream: number | undefined): void {
    if (stream === undefined || this.#streams.get(`${at}>${peer}`) !== stream) return
    this.#streams.delete(`${at}>${peer}`)
    this.#world.node(at)?.step({ kind: 'peer-disconnected', peer })
  }

  #arrive(from: PeerId, to: PeerId, stream: number, bytes: Uint8Array): void {
    if (this.#streams.get(wayOf(to, from)) !== stream || this.#cut.has(wayOf(from, to))) return
    const message = peerMessages.parse(bytes)
    remember(message, bytes)
    this.#world.node(to)?.step({ kind: 'received', from, messages: [message] })
  }
}

const ways = new Map<PeerId, Map<PeerId, string>>()

/** `from>to`, put together once for each pair, since it is looked up for every frame. */
function wayOf(from: PeerId, to: PeerId): string {
  const known = ways.get(from)?.get(to)
  if (known !== undefined) return known
  const way = `${from}>${to}`
  ways.set(from, (ways.get(from) ?? new Map<PeerId, string>()).set(to, way))
  return way
}

/** The last few messages, and their bytes: one to three keepers, and one that is written down as it came. */
const lately: PeerMessage[] = []
const latelyBytes: Uint8Array[] = []
const latelyMax = 4
let next = 0

function remember(message: PeerMessage, bytes: Uint8Array): void {
  lately[next] = message
  latelyBytes[next] = bytes
  next = (next + 1) % latelyMax
}

export function encodeOnce(message: PeerMessage): Uint8Array {
  const known = latelyBytes[lately.indexOf(message)]
  if (known !== undefined) return known
  const bytes = peerMessages.encode(message)
  remember(message, bytes)
  return bytes
}
