/**
 * The libp2p host that nodes and links share: its settings, its addresses, and its errors in our words.
 *
 * Not here: what is spoken over it (admission.ts and onwards).
 * Several of libp2p's defaults lose data or links on a busy host; each setting below says which.
 */

import { identify } from '@libp2p/identify'
import type { Connection, PeerDiscovery, PrivateKey, Startable } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p, type ServiceFactoryMap } from 'libp2p'
import { ShoalError } from '../errors.ts'
import { isPeerId, type PeerId } from '../ids.ts'
import { type MeshKey, meshTag } from './key.ts'
import { noise } from './noise.ts'

/** One dial with everything that belongs to it: connection, admission, stream. */
export const dialMs = 5_000
/** Connections of nodes and clients together; more are refused by libp2p, which the dialer sees as a failed dial. */
export const connectionsMax = 2_000
/** New connections per second and remote address; more are refused. libp2p's default of 5 breaks meshes on one host. */
const connectionsPerSecondMax = 500
/** What a stream may have in flight; a sender waits beyond it. */
const streamWindowMax = 4 * 1024 * 1024
/** What a paused stream keeps; beyond it libp2p aborts. A paused stream can still receive one window. */
const pausedBytesMax = 2 * streamWindowMax
/** mDNS asks again this often. */
const mdnsMs = 10_000
const addressAgeMs = 48 * 3_600_000
/** To listen on: of any interface, with any free port. */
const anyAddress = '/ip4/0.0.0.0/tcp/0'

export interface HostOptions<Services extends Record<string, unknown>> {
  readonly identity: PrivateKey
  readonly listen: readonly string[]
  readonly services: ServiceFactoryMap<Services>
}

/** A host that has not been started. */
export async function createHost<Services extends Record<string, unknown>>(
  options: HostOptions<Services>
): Promise<Libp2p<Services>> {
  const socket = { noDelay: true, keepAlive: true }
  return await createLibp2p<Services>({
    start: false,
    privateKey: options.identity,
    addresses: { listen: options.listen.map((address) => parseAddress(address, anyAddress).toString()) },
    transports: [tcp({ dialOpts: socket, listenOpts: socket })],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({ streamOptions: { maxStreamWindowSize: streamWindowMax, maxReadBufferLength: pausedBytesMax } })
    ],
    connectionManager: {
      dialTimeout: dialMs,
      maxConnections: connectionsMax,
      inboundConnectionThreshold: connectionsPerSecondMax,
      maxIncomingPendingConnections: 256
    },
    // It aborts a connection after one slow ping, and with it every stream; our own heartbeats judge instead.
    connectionMonitor: { enabled: false },
    peerStore: { maxAddressAge: addressAgeMs, maxPeerAge: addressAgeMs },
    services: options.services
  })
}

export const identifyService = identify

/** Nodes of this mesh on the local network; best effort, since many networks drop multicast. */
export interface Search {
  stop(): Promise<void>
}

/** Asks at once and every 10 s. A node also answers others; a client only listens. */
export async function searchMdns(
  host: Libp2p,
  key: MeshKey,
  answering: boolean,
  onFound: (peer: PeerId, addresses: string[]) => void
): Promise<Search> {
  // Loaded late: many have addresses to begin with.
  const { mdns } = await import('@libp2p/mdns')
  // By itself and not as a part of the host, which would say each peer only once in its life.
  const components = { addressManager: { getAddresses: () => host.getMultiaddrs() }, logger: host.logger }
  const make = mdns({
    serviceTag: `_shoal-${meshTag(key)}._udp.local`,
    interval: mdnsMs,
    broadcast: answering
  })
  const search = make(components as unknown as Parameters<typeof make>[0]) as PeerDiscovery & Startable
  search.addEventListener('peer', ({ detail }) => {
    const peer = detail.id.toString() as PeerId
    if (peer !== host.peerId.toString())
      onFound(peer, addressesOf(peer, detail.multiaddrs.map(String)).map(String))
  })
  await search.start()
  return { stop: async () => await search.stop() }
}

/** Throws SHOAL_BAD_OPTION. */
export function parseAddress(address: string, example = '/ip4/192.0.2.1/tcp/4400'): Multiaddr {
  const refuse = (cause?: unknown): never => {
    const text = address === '' ? '""' : address
    throw new ShoalError('SHOAL_BAD_OPTION', `${text} is no address; write it like ${example}`, { cause })
  }
  try {
    const parsed = multiaddr(address)
    // To libp2p an empty text is an address, of nothing.
    return parsed.getComponents().length > 0 ? parsed : refuse()
  } catch (cause) {
    return refuse(cause)
  }
}

/** The peer that an address names at its end, if it does. */
export function peerOfAddress(address: Multiaddr): PeerId | undefined {
  const id = address.getComponents().findLast((part) => part.code === CODE_P2P)?.value
  return id !== undefined && isPeerId(id) ? id : undefined
}

/** Addresses of `peer`, each ending in its id; those that are malformed or name another peer are left out. */
export function addressesOf(peer: PeerId, addresses: readonly string[]): Multiaddr[] {
  const result: Multiaddr[] = []
  for (const text of addresses) {
    try {
      const address = multiaddr(text)
      const named = peerOfAddress(address)
      if (named === undefined) result.push(address.encapsulate(`/p2p/${peer}`))
      else if (named === peer) result.push(address)
    } catch {
      // Another node told us this address; one that we cannot read is worth no more than none.
    }
  }
  return result
}

export function peerOf(connection: Connection): PeerId {
  return connection.remotePeer.toString() as PeerId
}

/** Closes in good order, or else at once. */
export function closeConnection(connection: Connection): void {
  connection.close({ signal: AbortSignal.timeout(1_000) }).catch((error: Error) => connection.abort(error))
}

/** Starts listening; a taken port becomes SHOAL_PORT_TAKEN, an address that is not ours SHOAL_BAD_OPTION. */
export async function startHost(
  host: { start(): void | Promise<void> },
  listen: readonly string[]
): Promise<void> {
  try {
    await host.start()
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    const failed = /^\s*(\/\S+): (.*)$/m.exec(text)
    const address = failed?.[1] ?? listen.join(', ')
    if (text.includes('EADDRINUSE')) {
      const advice = 'stop that process, or choose another port with --listen (port 0 takes a free one)'
      throw new ShoalError('SHOAL_PORT_TAKEN', `another process listens on ${address}; ${advice}`, { cause })
    }
    const why = (failed?.[2] ?? text).replace(/^Error: /, '')
    const advice = `give an address of this machine, such as ${anyAddress}`
    throw new ShoalError('SHOAL_BAD_OPTION', `cannot listen on ${address} (${why}); ${advice}`, { cause })
  }
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'no answer in time'
  const first = error instanceof AggregateError ? error.errors[0] : undefined
  return first instanceof Error ? first.message : error.message
}
