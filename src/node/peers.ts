/**
 * One live stream per pair of nodes, although both may open one at the same time.
 *
 * Not here: connections and their admission (libp2p.ts, admission.ts), what the frames mean.
 * When two people phone each other at once, the one whose name comes first stays on the line and the other hangs up;
 * a stream counts only once its opener offered it and its acceptor said yes, so both always agree which one it is.
 */
import { randomBytes } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import type { PeerId } from '../ids.ts'
import { added, codec, flag, list, text, uint } from '../wire.ts'
import { closeConnection, dialMs, peerOf, reasonOf } from './host.ts'
import { type Counters, FrameStream } from './stream.ts'
import { type Life, Twins } from './twins.ts'

export const PEER_PROTOCOL = '/shoal/peer/1.0.0'
/** Streams of this protocol per connection; one lives, others are on their way in or out. */
export const peerStreamsMax = 8
/** Peers whose last stream is remembered; the oldest is forgotten, which at worst costs one reconnection. */
const seenMax = 10_000
const idLengthMax = 32
const addressesMax = 32
const addressLengthMax = 256

const addresses = list(text(addressLengthMax), addressesMax)
const HANDSHAKE = codec({
  /**
   * `seen`: the last stream of the other end that this end accepted; `instance`: this run of the process, and `upMs` how long it
   * has been going on.
   */
  offer: {
    id: text(idLengthMax),
    instance: text(idLengthMax),
    seen: text(idLengthMax),
    addresses,
    upMs: added(uint(), 0)
  },
  accept: { instance: text(idLengthMax), addresses, upMs: added(uint(), 0) },
  /** `isTwin`: for good, since another process runs under the same id; else because another stream is on its way. */
  refuse: { isTwin: added(flag, false) }
})

const twinReason = 'another process runs under its node id'

export interface PeersOptions {
  readonly self: PeerId
  readonly counters: Counters
  readonly addresses: () => string[]
  readonly onConnected: (peer: PeerId, addresses: string[], connection: Connection) => void
  readonly onDisconnected: (peer: PeerId) => void
  readonly onFrame: (peer: PeerId, frame: Uint8Array) => void
  /** One of two processes that run as this node, or as this very one, was turned away. Once for each. */
  readonly onTwin: (peer: PeerId) => void
}

interface Live {
  readonly id: string
  readonly mine: boolean
  readonly instance: string
  readonly stream: FrameStream
  readonly connection: Connection
}

/** An own attempt. While `offered`, the other end may still say yes to it. */
interface Attempt {
  readonly id: string
  readonly peer: PeerId
  readonly connection: Connection
  readonly promise: Promise<void>
  readonly settle: (error?: Error) => void
  offered: boolean
  stream: FrameStream | undefined
}

export class Peers {
  private readonly options: PeersOptions
  private readonly live = new Map<PeerId, Live>()
  private readonly attempts = new Map<PeerId, Attempt>()
  private readonly seen = new Map<PeerId, string>()
  private readonly instance = newId()
  private readonly since = performance.now()
  private readonly twins: Twins
  private isTwin = false

  constructor(options: PeersOptions) {
    this.options = options
    this.twins = new Twins(options.onTwin)
  }

  has(peer: PeerId): boolean {
    return this.live.has(peer)
  }

  connectionOf(peer: PeerId): Connection | undefined {
    return this.live.get(peer)?.connection
  }

  send(peer: PeerId, frame: Uint8Array): void {
    this.live.get(peer)?.stream.write(frame)
  }

  queuedFor(peer: PeerId): number {
    return this.live.get(peer)?.stream.queuedBytes ?? 0
  }

  drop(peer: PeerId, reason: string): void {
    this.live.get(peer)?.stream.abort(reason)
  }

  /** Ends one in good order. */
  async rest(peer: PeerId): Promise<void> {
    await this.live.get(peer)?.stream.close()
  }

  /** Sends what is queued, and ends all streams. */
  async close(): Promise<void> {
    for (const attempt of this.attempts.values()) attempt.settle(new Error('the node stops'))
    await Promise.all([...this.live.values()].map(({ stream }) => stream.close()))
  }

  /** Resolves when a stream with this peer is live, whoever opened it. */
  open(connection: Connection): Promise<void> {
    const peer = peerOf(connection)
    if (this.live.has(peer)) return Promise.resolve()
    const waiting = this.attempts.get(peer)
    if (waiting) return waiting.promise
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const settle = (error?: Error): void => {
      clearTimeout(timer)
      attempt.offered = false
      if (this.attempts.get(peer) === attempt) this.attempts.delete(peer)
      if (error) attempt.stream?.abort(error.message)
      if (error) reject(error)
      else resolve()
    }
    const timer = setTimeout(() => settle(new Error('no stream in time')), dialMs)
    timer.unref()
    const attempt: Attempt = {
      id: newId(),
      peer,
      connection,
      promise,
      settle,
      offered: true,
      stream: undefined
    }
    this.attempts.set(peer, attempt)
    this.offer(attempt).catch((error) => settle(new Error(reasonOf(error))))
    return promise
  }

  private async offer(attempt: Attempt): Promise<void> {
    const { connection, peer, id } = attempt
    const options = { signal: AbortSignal.timeout(dialMs), maxOutboundStreams: peerStreamsMax }
    const raw = await connection.newStream(PEER_PROTOCOL, options)
    if (!attempt.offered) {
      raw.abort(new Error('another stream was quicker'))
      return
    }
    let live: Live | undefined
    const stream = new FrameStream(raw, {
      counters: this.options.counters,
      onFrame: (frame) => {
        if (live) this.options.onFrame(peer, frame)
        else live = this.answered(attempt, stream, frame)
      },
      onEnd: (reason) => {
        if (live) this.lose(peer, live)
        else if (attempt.offered) attempt.settle(new Error(reason))
      }
    })
    attempt.stream = stream
    const seen = this.seen.get(peer) ?? ''
    const offer = {
      kind: 'offer',
      id,
      seen,
      ...this.own()
    } as const
    stream.write(HANDSHAKE.encode(offer))
  }

  private answered(attempt: Attempt, stream: FrameStream, frame: Uint8Array): Live | undefined {
    const answer = this.parse(stream, frame)
    if (answer?.kind === 'refuse') {
      if (answer.isTwin) this.turnedAway(attempt)
      // The other end's own stream is on its way; `attempt` stays, and is settled by it or by its time limit.
      attempt.offered = false
      return undefined
    }
    if (answer?.kind !== 'accept') {
      if (answer) this.malformed(stream)
      return undefined
    }
    const { id, peer, connection } = attempt
    const { instance } = answer
    if (!this.twins.admits(peer, lifeOf(answer))) {
      attempt.settle(new Error(twinReason))
      closeConnection(connection)
      return undefined
    }
    return this.begin(peer, { id, mine: true, instance, stream, connection }, answer.addresses)
  }

  /** A stream that the other end opened, on an admitted connection. */
  accept(raw: Stream, connection: Connection): void {
    const peer = peerOf(connection)
    let live: Live | undefined
    const stream = new FrameStream(raw, {
      counters: this.options.counters,
      onFrame: (frame) => {
        if (live) this.options.onFrame(peer, frame)
        else live = this.offered(peer, stream, connection, frame)
        clearTimeout(timer)
      },
      onEnd: () => {
        clearTimeout(timer)
        if (live) this.lose(peer, live)
      }
    })
    const timer = setTimeout(() => stream.abort('no offer in time'), dialMs)
    timer.unref()
  }

  private offered(
    peer: PeerId,
    stream: FrameStream,
    connection: Connection,
    frame: Uint8Array
  ): Live | undefined {
    const offer = this.parse(stream, frame)
    if (offer?.kind !== 'offer') {
      if (offer) this.malformed(stream)
      return undefined
    }
    const isTwin = !this.twins.admits(peer, lifeOf(offer))
    if (isTwin || this.refuses(peer, offer)) {
      stream.write(HANDSHAKE.encode({ kind: 'refuse', isTwin }))
      void stream.close()
      return undefined
    }
    const old = this.live.get(peer)
    if (old) {
      // The other end has lost it without our noticing, or it would not offer a new one.
      this.lose(peer, old)
      old.stream.abort('replaced by a newer stream')
    }
    this.remember(peer, offer.id)
    stream.write(HANDSHAKE.encode({ kind: 'accept', ...this.own() }))
    const { id, instance } = offer
    return this.begin(peer, { id, mine: false, instance, stream, connection }, offer.addresses)
  }

  /** Both ends offered at once: the offer of the smaller id stays. Decided alike whichever offer arrives first. */
  private refuses(peer: PeerId, offer: { id: string; instance: string; seen: string }): boolean {
    const live = this.live.get(peer)
    // It was sent before the same process had accepted the stream that now lives: a crossing offer, not a new start.
    if (live) return live.mine && live.instance === offer.instance && offer.seen !== live.id
    return this.options.self < peer && this.attempts.get(peer)?.offered === true
  }

  private begin(peer: PeerId, live: Live, theirAddresses: readonly string[]): Live {
    this.live.set(peer, live)
    const attempt = this.attempts.get(peer)
    if (attempt) {
      if (attempt.stream !== live.stream) attempt.stream?.abort('another stream was quicker')
      attempt.settle()
      // Whose stream lost also gives up the connection that it had dialed for it.
      if (attempt.connection !== live.connection) closeConnection(attempt.connection)
    }
    this.options.onConnected(peer, [...theirAddresses], live.connection)
    return live
  }

  /** Said to this process by one who knows another that runs for longer under its id. */
  private turnedAway(attempt: Attempt): void {
    attempt.settle(new Error(twinReason))
    if (!this.isTwin) this.options.onTwin(this.options.self)
    this.isTwin = true
  }

  private lose(peer: PeerId, live: Live): void {
    if (this.live.get(peer) !== live) return
    this.live.delete(peer)
    this.options.onDisconnected(peer)
  }

  private parse(stream: FrameStream, frame: Uint8Array) {
    try {
      return HANDSHAKE.parse(frame)
    } catch {
      this.malformed(stream)
      return undefined
    }
  }

  private malformed(stream: FrameStream): void {
    this.options.counters.add('frames-malformed')
    stream.abort('this is no handshake of a node')
  }

  private remember(peer: PeerId, id: string): void {
    this.seen.delete(peer)
    this.seen.set(peer, id)
    const oldest = this.seen.size > seenMax ? this.seen.keys().next().value : undefined
    if (oldest !== undefined) this.seen.delete(oldest)
  }

  private own(): { instance: string; addresses: string[]; upMs: number } {
    const addresses = this.options.addresses().filter((address) => address.length <= addressLengthMax)
    const upMs = Math.round(performance.now() - this.since)
    return { instance: this.instance, addresses: addresses.slice(0, addressesMax), upMs }
  }
}

const lifeOf = ({ instance, upMs }: { instance: string; upMs: number }): Life => ({
  instance,
  since: performance.now() - upMs
})

const newId = (): string => randomBytes(12).toString('base64url')
