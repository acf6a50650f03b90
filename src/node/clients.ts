/**
 * The client streams of a node: each has a name of its own, and ends alone.
 *
 * Not here: the client's end (link.ts), what is asked and answered (client/protocol.ts).
 * A node sees a stream and not a person: the same client that attaches again is a new one here.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { misreadMax } from '../client/misread.ts'
import type { EntryMessage } from '../client/protocol.ts'
import type { ClientId, PeerId } from '../ids.ts'
import { peerOf } from './host.ts'
import { type Counters, FrameStream } from './stream.ts'

export const CLIENT_PROTOCOL = '/shoal/client/1.0.0'
/** Client streams per connection; libp2p resets the next one. */
export const clientStreamsMax = 64
/** Clients of this node; the next one's stream is aborted, and it tries another node. */
const clientsMax = 2_000

/** A client in this very process, which has no stream: messages go to it without being encoded. */
export interface LocalClient {
  readonly onMessages: (messages: readonly EntryMessage[]) => void
  inbox: EntryMessage[]
}

export interface ClientsOptions {
  readonly counters: Counters
  readonly onConnected: (client: ClientId, peer: PeerId) => void
  readonly onDisconnected: (client: ClientId) => void
  readonly onFrame: (client: ClientId, frame: Uint8Array) => void
}

export class Clients {
  private readonly options: ClientsOptions
  private readonly streams = new Map<ClientId, FrameStream>()
  /** Messages that could not be read, of those that said any. */
  private readonly misreads = new Map<ClientId, number>()
  private count = 0

  constructor(options: ClientsOptions) {
    this.options = options
  }

  accept(raw: Stream, connection: Connection): void {
    if (this.streams.size >= clientsMax) {
      this.options.counters.add('clients-turned-away')
      raw.abort(new Error(`this node has ${clientsMax} clients`))
      return
    }
    const peer = peerOf(connection)
    const client = `${peer}#${++this.count}` as ClientId
    const stream = new FrameStream(raw, {
      counters: this.options.counters,
      onFrame: (frame) => this.options.onFrame(client, frame),
      onEnd: () => {
        this.misreads.delete(client)
        if (this.streams.delete(client)) this.options.onDisconnected(client)
      }
    })
    this.streams.set(client, stream)
    this.options.onConnected(client, peer)
  }

  send(client: ClientId, frame: Uint8Array): void {
    this.streams.get(client)?.write(frame)
  }

  queuedFor(client: ClientId): number {
    return this.streams.get(client)?.queuedBytes ?? 0
  }

  misread(client: ClientId, count: number): void {
    const before = this.misreads.get(client) ?? 0
    this.misreads.set(client, before + count)
    if (before > misreadMax || before + count <= misreadMax) return
    this.options.counters.add('clients-dropped')
    void this.streams.get(client)?.close()
  }

  drop(client: ClientId, reason: string): void {
    this.streams.get(client)?.abort(reason)
  }

  async close(): Promise<void> {
    await Promise.all([...this.streams.values()].map((stream) => stream.close()))
  }
}
