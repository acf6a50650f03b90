/**
 * A client's way into the mesh: a light libp2p host that attaches to one node at a time.
 *
 * Not here: which node to attach to and what to say there (src/client).
 * A link is a phone and not a switchboard: it calls, holds one line, and nobody can call it.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, PrivateKey } from '@libp2p/interface'
import type { Libp2p } from 'libp2p'
import { ShoalError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import { Admission } from './admission.ts'
import { CLIENT_PROTOCOL } from './clients.ts'
import { closeConnection, createHost, dialMs, parseAddress, peerOf, reasonOf, searchMdns } from './host.ts'
import type { MeshKey } from './key.ts'
import type { Place } from './near.ts'
import { Spool } from './spool.ts'
import { Counters, FrameStream } from './stream.ts'
import type { Talk } from './talk.ts'
import { Talks } from './talks.ts'

/** After the first answer of mDNS, others get this long. */
const moreAnswersMs = 150
/** Addresses that one search reports; the rest is left out. */
const foundMax = 256

export interface LinkOptions {
  readonly key: MeshKey
  /** In order, synchronously; the frame may be part of a larger buffer. */
  readonly onFrame: (frame: Uint8Array) => void
  /** The line ended, and not by `detach` or `close`. */
  readonly onClosed: (reason: string) => void
}

export interface Link {
  readonly self: PeerId
  /** Of this link only; signs what this client submits. */
  readonly identity: PrivateKey
  /** The node at this address; changes nothing if a line is open. Rejects with SHOAL_NO_MESH, SHOAL_REFUSED, SHOAL_BAD_OPTION. */
  attach(address: string, signal?: AbortSignal): Promise<PeerId>
  /** Dropped silently without a line; `onClosed` has said so. */
  send(frame: Uint8Array): void
  readonly queuedBytes: number
  /** Resolves when all is handed to the network, or there is no line. */
  drained(): Promise<void>
  /** Holds the node back until `resume`. */
  pause(): void
  resume(): void
  /** A stream for one transfer of data. Rejects without a line. */
  talk(): Promise<Talk>
  /** Writes a chunk where a node on this machine can read it; undefined if there is no room. */
  place(chunk: Uint8Array): Promise<Place | undefined>
  detach(): Promise<void>
  /** Addresses of nodes that answer by mDNS: soon after the first one, or none after `timeoutMs` or at `signal`. */
  discover(timeoutMs: number, signal?: AbortSignal): Promise<string[]>
  close(): Promise<void>
}

export async function createLink(options: LinkOptions): Promise<Link> {
  const identity = await generateKeyPair('Ed25519')
  const host = await createHost({ identity, listen: [], services: {} })
  await host.start()
  return new HostLink(options, identity, host)
}

interface Line {
  readonly peer: PeerId
  readonly stream: FrameStream
  readonly connection: Connection
}

class HostLink implements Link {
  readonly self: PeerId
  readonly identity: PrivateKey
  private readonly options: LinkOptions
  private readonly host: Libp2p
  private readonly admission: Admission
  private readonly counters = new Counters()
  private readonly closing = new AbortController()
  private readonly spool = new Spool()
  private readonly talks = new Talks(this.counters, this.closing.signal)
  private line: Line | undefined
  private attaching: Promise<PeerId> | undefined

  constructor(options: LinkOptions, identity: PrivateKey, host: Libp2p) {
    this.options = options
    this.identity = identity
    this.host = host
    this.self = host.peerId.toString() as PeerId
    const { self, counters } = this
    this.admission = new Admission({ key: options.key, self, counters, onRefused: () => {} })
  }

  attach(address: string, signal?: AbortSignal): Promise<PeerId> {
    if (this.closing.signal.aborted)
      return Promise.reject(new ShoalError('SHOAL_CLOSED', 'the link is closed'))
    if (this.line) return Promise.resolve(this.line.peer)
    this.attaching ??= this.open(address, signal).finally(() => {
      this.attaching = undefined
    })
    return this.attaching
  }

  send(frame: Uint8Array): void {
    this.line?.stream.write(frame)
  }

  get queuedBytes(): number {
    return this.line?.stream.queuedBytes ?? 0
  }

  async drained(): Promise<void> {
    await this.line?.stream.drained()
  }

  pause(): void {
    this.line?.stream.pause()
  }

  resume(): void {
    this.line?.stream.resume()
  }

  async talk(): Promise<Talk> {
    if (this.line === undefined) throw new Error('there is no line')
    return await this.talks.to(this.line.connection)
  }

  async place(chunk: Uint8Array): Promise<Place | undefined> {
    return await this.spool.place(chunk)
  }

  async detach(): Promise<void> {
    const line = this.line
    this.line = undefined
    if (line === undefined) return
    await line.stream.close()
    closeConnection(line.connection)
  }

  async discover(timeoutMs: number, signal?: AbortSignal): Promise<string[]> {
    const found = new Set<string>()
    const { promise, resolve } = Promise.withResolvers<void>()
    const late = setTimeout(resolve, timeoutMs)
    const search = await searchMdns(this.host, this.options.key, false, (_peer, addresses) => {
      if (found.size === 0) setTimeout(resolve, Math.min(moreAnswersMs, timeoutMs))
      for (const address of addresses) if (found.size < foundMax) found.add(address)
    })
    const ends = signal ? AbortSignal.any([this.closing.signal, signal]) : this.closing.signal
    ends.addEventListener('abort', () => resolve(), { once: true })
    if (ends.aborted) resolve()
    await promise
    clearTimeout(late)
    await search.stop()
    return [...found]
  }

  async close(): Promise<void> {
    if (this.closing.signal.aborted) return
    this.closing.abort(new ShoalError('SHOAL_CLOSED', 'the link is closed'))
    await this.detach()
    await this.host.stop()
    await this.spool.close()
  }

  private async open(address: string, outer: AbortSignal | undefined): Promise<PeerId> {
    const target = parseAddress(address)
    const signals = [AbortSignal.timeout(dialMs), this.closing.signal]
    const signal = AbortSignal.any(outer ? [...signals, outer] : signals)
    let connection: Connection | undefined
    try {
      connection = await this.host.dial(target, { signal })
      const verdict = await this.admission.verdict(connection)
      if (verdict.kind === 'refused') {
        const advice = 'use the key file of its mesh'
        throw new ShoalError('SHOAL_REFUSED', `${address} refused this client (${verdict.reason}); ${advice}`)
      }
      if (verdict.kind === 'lost') throw new Error(verdict.reason)
      this.line = await this.openLine(connection, signal)
      return this.line.peer
    } catch (error) {
      // A refused connection is closed by admission, once the other end knows why.
      if (error instanceof ShoalError) throw error
      if (connection) closeConnection(connection)
      const advice = 'is a node running there?'
      throw new ShoalError('SHOAL_NO_MESH', `no node at ${address} (${reasonOf(error)}); ${advice}`, {
        cause: error
      })
    }
  }

  private async openLine(connection: Connection, signal: AbortSignal): Promise<Line> {
    const raw = await connection.newStream(CLIENT_PROTOCOL, { signal })
    const stream = new FrameStream(raw, {
      counters: this.counters,
      onFrame: (frame) => this.options.onFrame(frame),
      onEnd: (reason) => {
        closeConnection(connection)
        // A line that was detached says nothing more.
        if (this.line?.stream !== stream) return
        this.line = undefined
        this.options.onClosed(reason)
      }
    })
    return { peer: peerOf(connection), stream, connection }
  }
}
