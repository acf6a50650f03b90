/**
 * Who is let in: both ends of every new connection prove that they hold the mesh key, before anything else is served.
 *
 * Not here: encryption and who a peer is, which noise has settled before; this binds the key to those two identities.
 * Each end shows a seal that only a key holder can make, over a number that the other end has just drawn: nothing that
 * was overheard, sent back, or passed on from another connection fits.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import { byteStream } from '@libp2p/utils'
import type { Libp2p } from 'libp2p'
import type { PeerId } from '../ids.ts'
import { closeConnection, peerOf } from './host.ts'
import type { MeshKey } from './key.ts'
import type { Counters } from './stream.ts'

const ADMIT_PROTOCOL = '/shoal/admit/1.0.0'
/** From the connection to the verdict; a peer that takes longer is refused. */
export const admitMs = 5_000
/** Peers and reasons that are remembered so as to be told once; beyond it all are forgotten, and may be told again. */
const toldMax = 1_000
/** Bytes of a stranger that are kept; more aborts the stream. */
const strangerBytesMax = 1_024
/** Streams of this protocol per connection; one is used. */
const admitStreamsMax = 2

const nonceBytes = 32
const proofBytes = 32
const YES = Uint8Array.of(1)
const NO = Uint8Array.of(0)

export const wrongKey = 'it holds another mesh key'

/** `lost`: the connection ended first; nothing is known about the peer. */
export type Verdict =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'lost'; readonly reason: string }

type Role = 'dialer' | 'listener'

export interface AdmissionOptions {
  readonly key: MeshKey
  readonly self: PeerId
  readonly counters: Counters
  /** Once per peer and reason. */
  readonly onRefused: (peer: PeerId, reason: string) => void
}

interface Case {
  readonly verdict: Promise<Verdict>
  readonly settle: (verdict: Verdict) => void
  admitted: boolean
  begun: boolean
  /** Why it will be refused, as soon as the other end has been told. */
  wrong: string | undefined
}

export class Admission {
  private readonly options: AdmissionOptions
  private readonly cases = new Map<string, Case>()
  /** Admitted connections of each peer. */
  private readonly peers = new Map<PeerId, number>()
  private readonly told = new Set<string>()

  constructor(options: AdmissionOptions) {
    this.options = options
  }

  /** Serves the listener's side, and begins the dialer's on every connection that this host opens. */
  async attach(host: Libp2p): Promise<void> {
    await host.handle(ADMIT_PROTOCOL, (stream, connection) => this.listen(stream, connection), {
      maxInboundStreams: admitStreamsMax
    })
    host.addEventListener('connection:open', (event) => {
      void this.verdict(event.detail)
    })
  }

  /** Never rejects. */
  verdict(connection: Connection): Promise<Verdict> {
    return this.caseOf(connection).verdict
  }

  /**
   * Whether a stream on this connection may be served. The dialer of a connection hears of its admission last, so it
   * waits for the verdict; a listener has nothing to wait for.
   */
  async serves(connection: Connection): Promise<boolean> {
    const known = this.caseOf(connection)
    if (known.admitted || connection.direction === 'inbound') return known.admitted
    return (await known.verdict).kind === 'admitted'
  }

  /** Whether any connection of this peer is admitted now. */
  admits(peer: PeerId): boolean {
    return this.peers.has(peer)
  }

  private caseOf(connection: Connection): Case {
    const known = this.cases.get(connection.id)
    if (known) return known
    const { promise, resolve } = Promise.withResolvers<Verdict>()
    let settled = false
    const settle = (verdict: Verdict): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      if (verdict.kind === 'admitted') this.setAdmitted(connection, made, true)
      resolve(verdict)
      if (verdict.kind === 'refused') this.tell(peerOf(connection), verdict.reason)
    }
    const timer = setTimeout(() => this.giveUp(connection, made), admitMs)
    timer.unref()
    const made: Case = { verdict: promise, settle, admitted: false, begun: false, wrong: undefined }
    this.cases.set(connection.id, made)
    connection.addEventListener('close', () => {
      settle(
        made.wrong === undefined
          ? { kind: 'lost', reason: 'the connection closed' }
          : { kind: 'refused', reason: made.wrong }
      )
      this.setAdmitted(connection, made, false)
      this.cases.delete(connection.id)
    })
    if (connection.status !== 'open') settle({ kind: 'lost', reason: 'the connection closed' })
    else if (connection.direction === 'outbound') void this.dial(connection, made)
    return made
  }

  private async dial(connection: Connection, made: Case): Promise<void> {
    let stream: Stream | undefined
    try {
      const signal = AbortSignal.timeout(admitMs)
      stream = await connection.newStream(ADMIT_PROTOCOL, { signal })
      const input = byteStream(stream, { maxBufferSize: strangerBytesMax })
      const mine = randomBytes(nonceBytes)
      stream.send(mine)
      const answer = (await input.read({ bytes: nonceBytes + proofBytes, signal })).subarray()
      const theirs = answer.subarray(0, nonceBytes)
      const good = this.matches(connection, 'listener', mine, theirs, answer.subarray(nonceBytes))
      // Sent in any case: a proof tells a stranger nothing, and lets the other end say what is wrong.
      stream.send(this.proof(connection, 'dialer', mine, theirs))
      if (!good) {
        // Closing now would overtake our proof, from which the other end learns why; so would whoever hears the verdict.
        made.wrong = wrongKey
        await input.read({ bytes: 1, signal }).catch(() => undefined)
        this.reject(connection, made, wrongKey)
        return
      }
      const welcome = (await input.read({ bytes: 1, signal })).get(0) === 1
      if (welcome) made.settle({ kind: 'admitted' })
      else this.reject(connection, made, wrongKey)
      await stream.close({ signal })
    } catch (error) {
      stream?.abort(error as Error)
      const stranger = (error as Error).name === 'UnsupportedProtocolError'
      if (stranger) this.reject(connection, made, 'it is no node of a mesh')
      else if (connection.status !== 'open') made.settle({ kind: 'lost', reason: 'the connection closed' })
      else if ((error as Error).name === 'TimeoutError') this.giveUp(connection, made)
      else this.reject(connection, made, 'it did not answer as a node of a mesh does')
    }
  }

  private async listen(stream: Stream, connection: Connection): Promise<void> {
    const made = this.caseOf(connection)
    if (made.begun || connection.direction !== 'inbound') {
      stream.abort(new Error('admission runs once, from the dialer'))
      return
    }
    made.begun = true
    try {
      const signal = AbortSignal.timeout(admitMs)
      const input = byteStream(stream, { maxBufferSize: strangerBytesMax })
      const theirs = (await input.read({ bytes: nonceBytes, signal })).subarray()
      const mine = randomBytes(nonceBytes)
      stream.send(Buffer.concat([mine, this.proof(connection, 'listener', theirs, mine)]))
      const shown = (await input.read({ bytes: proofBytes, signal })).subarray()
      const good = this.matches(connection, 'dialer', theirs, mine, shown)
      // Admitted before the other end hears of it, so that its first stream is never early.
      if (good) made.settle({ kind: 'admitted' })
      stream.send(good ? YES : NO)
      await stream.close({ signal })
      if (!good) this.reject(connection, made, wrongKey)
    } catch (error) {
      stream.abort(error as Error)
      if (connection.status === 'open')
        this.reject(connection, made, 'it did not prove that it holds the key')
    }
  }

  private matches(
    link: Connection,
    role: Role,
    dialed: Uint8Array,
    listened: Uint8Array,
    shown: Uint8Array
  ): boolean {
    const expected = this.proof(link, role, dialed, listened)
    return shown.length === expected.length && timingSafeEqual(shown, expected)
  }

  /** Of the end with this role: bound to both identities, both nonces, and the role, so that it fits nowhere else. */
  private proof(connection: Connection, role: Role, dialed: Uint8Array, listened: Uint8Array): Uint8Array {
    const { key, self } = this.options
    const ends = connection.direction === 'outbound' ? [self, peerOf(connection)] : [peerOf(connection), self]
    return key.seal(`shoal-admit-1\n${role}\n${ends.join('\n')}\n`, dialed, listened)
  }

  private setAdmitted(connection: Connection, made: Case, admitted: boolean): void {
    if (made.admitted === admitted) return
    made.admitted = admitted
    const peer = peerOf(connection)
    const count = (this.peers.get(peer) ?? 0) + (admitted ? 1 : -1)
    if (count > 0) this.peers.set(peer, count)
    else this.peers.delete(peer)
  }

  /** Silence says nothing of the key of whom we dialled: a busy machine is silent too, and may be tried again. */
  private giveUp(connection: Connection, made: Case): void {
    const reason = `no proof within ${admitMs} ms`
    if (connection.direction === 'inbound') return this.reject(connection, made, reason)
    made.settle({ kind: 'lost', reason })
    closeConnection(connection)
  }

  private reject(connection: Connection, made: Case, reason: string): void {
    made.settle({ kind: 'refused', reason })
    closeConnection(connection)
  }

  private tell(peer: PeerId, reason: string): void {
    this.options.counters.add('peers-refused')
    const what = `${peer} ${reason}`
    if (this.told.has(what)) return
    if (this.told.size >= toldMax) this.told.clear()
    this.told.add(what)
    this.options.onRefused(peer, reason)
  }
}
