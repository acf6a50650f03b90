/**
 * Attaches a client to the mesh over the network: finds an address that answers, and another one when that entry is lost.
 *
 * Not here: the stream (node/link.ts), what is said on it (client.ts).
 * Where to look: addresses that were given, then a node on this machine, then whoever answers by mDNS; later, whom the mesh
 * itself named.
 */
import { randomBytes } from 'node:crypto'
import { explainError, ShoalError } from '../errors.ts'
import { hostClient } from '../hosted/client.ts'
import { findBeacons } from '../node/beacon.ts'
import { MeshKey, readKey } from '../node/key.ts'
import { createLink, type Link } from '../node/link.ts'
import { splitFrame } from '../node/messages.ts'
import { frames } from '../node/outbox.ts'
import { checkRuntime } from '../version.ts'
import { cancelled } from './abortable.ts'
import { checkSignal, onlyKnown, refuse, shown, truth } from './checks.ts'
import { MeshClient } from './client.ts'
import type { DataDoor } from './data.ts'
import type { Line, LineEvents, Search } from './line.ts'
import { type ClientMessage, clientMessages, type EntryMessage, entryMessages } from './protocol.ts'
import type { Client } from './types.ts'

export interface ConnectOptions {
  /** A key, or the path of its file. Default: the file that $SHOAL_KEY names. */
  readonly key?: MeshKey | string
  /**
   * Multiaddrs of nodes; no others are tried before one of them was reached. Default: those in $SHOAL_PEERS, separated by commas
   * or spaces; then nodes on this machine, then mDNS.
   */
  readonly peers?: readonly string[]
  /** Looks in the local network if nothing else answers. Default true. */
  readonly mdns?: boolean
  /**
   * Whose share of the mesh the tasks of this client take, at most 128 characters: while several submitters have tasks of
   * the same priority waiting, engines' time is divided evenly between them. Default: this client's own share.
   */
  readonly submitter?: string
  /** Milliseconds until the first entry must have answered. Default 10,000. */
  readonly timeout?: number
  /**
   * Runs the connections of this client in a thread of their own, so that they go on while this thread computes. Default false.
   * The client is the same; if that thread ends, what waits rejects with SHOAL_HOST_LOST. See `NodeOptions`.
   */
  readonly hosted?: boolean
  readonly signal?: AbortSignal
}

const known = ['key', 'peers', 'mdns', 'submitter', 'timeout', 'hosted', 'signal']
const connectMs = 10_000
const submitterMax = 128
/** One address, while there are others to try. */
const attachMs = 2_000
const mdnsMs = 2_000
const unfollowMs = 20
/** Addresses that a client remembers. */
const knownMax = 256

/**
 * A client that is attached to a node. Rejects with SHOAL_NO_MESH if none answers, SHOAL_REFUSED if all that answer belong to
 * another mesh, SHOAL_CANCELLED if `signal` aborts, SHOAL_BAD_KEY or SHOAL_BAD_OPTION.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  checkRuntime()
  onlyKnown(options, known)
  const key = await keyOf(options.key)
  const given = options.peers ?? (process.env.SHOAL_PEERS ?? '').split(/[\s,]+/).filter(Boolean)
  const { mdns = true, timeout = connectMs, signal, hosted = false } = options
  for (const [name, value] of Object.entries({ mdns, hosted })) truth(name, value)
  checkSignal(signal)
  if (!Array.isArray(given) || !given.every((peer) => typeof peer === 'string'))
    refuse("`peers` is a list of addresses, as in ['/ip4/192.0.2.1/tcp/4400']")
  const submitter = options.submitter ?? `client-${randomBytes(12).toString('base64url')}`
  if (typeof submitter !== 'string' || submitter === '' || submitter.length > submitterMax)
    refuse(`\`submitter\` is a name of 1 to ${submitterMax} characters`)
  if (typeof timeout !== 'number' || !(timeout > 0))
    refuse(`\`timeout\` is ${shown(timeout)}; give milliseconds above 0`)
  if (signal?.aborted) throw cancelled('connecting', signal)
  // What the environment says may have been true once; who names nodes in the call means these.
  const search = { peers: given, isWide: options.peers === undefined || given.length === 0, mdns }
  const client = hosted
    ? await hostClient(key, search, submitter)
    : new MeshClient((events) => new RemoteLine(key, search, events), submitter)
  // Counted from here on: a thread takes its time to start.
  const limits = [
    AbortSignal.timeout(Math.min(timeout, 2 ** 31 - 1)),
    ...(signal === undefined ? [] : [signal])
  ]
  try {
    await client.open(AbortSignal.any(limits))
    return client
  } catch (error) {
    await client.close()
    throw signal?.aborted ? cancelled('connecting', signal) : error
  }
}

async function keyOf(key: MeshKey | string | undefined): Promise<MeshKey> {
  const found = key ?? process.env.SHOAL_KEY
  if (found === undefined) {
    throw new ShoalError('SHOAL_BAD_KEY', 'no mesh key: give `key`, or name its file in $SHOAL_KEY')
  }
  if (typeof found === 'string') return readKey(found)
  if (found instanceof MeshKey) return found
  return refuse('`key` is the path of a key file, or comes from createKey() or readKey()')
}

/** @internal */
export class RemoteLine implements Line {
  readonly #key: MeshKey
  readonly #search: Search
  readonly #events: LineEvents
  #link: Promise<Link> | undefined
  #open: Link | undefined
  /** Best first. */
  #known: string[] = []
  #said: Uint8Array[] = []
  #isSending = false
  #later: ReturnType<typeof setTimeout> | undefined
  #entry = ''

  constructor(key: MeshKey, search: Search, events: LineEvents) {
    this.#key = key
    this.#search = search
    this.#events = events
  }

  get data(): DataDoor {
    return {
      talk: async () => {
        if (this.#open === undefined) throw new Error('there is no entry now')
        return await this.#open.talk()
      },
      place: async (chunk) => await this.#open?.place(chunk)
    }
  }

  async open(signal?: AbortSignal): Promise<void> {
    this.#link ??= createLink({
      key: this.#key,
      onFrame: (frame) => this.#received(frame),
      onClosed: (reason) => this.#ended(reason)
    })
    const link = await this.#link
    const tried: unknown[] = []
    for await (const address of this.#candidates(link, signal)) {
      if (signal?.aborted) break
      try {
        const limit = AbortSignal.timeout(attachMs)
        this.#entry = await link.attach(address, signal ? AbortSignal.any([signal, limit]) : limit)
        this.#open = link
        return
      } catch (error) {
        if (error instanceof ShoalError && error.code === 'SHOAL_CLOSED') throw error
        tried.push(error)
      }
    }
    throw this.#failure(tried)
  }

  send(message: ClientMessage): void {
    this.#said.push(clientMessages.encode(message))
    // It lets the entry forget, and nobody waits for that: it leaves with what is said next.
    if (message.kind === 'unfollow') this.#later ??= setTimeout(this.#sendAll, unfollowMs)
    else if (!this.#isSending) {
      this.#isSending = true
      queueMicrotask(this.#sendAll)
    }
  }

  readonly #sendAll = (): void => {
    clearTimeout(this.#later)
    this.#later = undefined
    this.#isSending = false
    const said = this.#said
    this.#said = []
    for (const frame of frames(said)) this.#open?.send(frame)
  }

  learn(addresses: readonly string[]): void {
    this.#known = [...new Set([...addresses, ...this.#known])].slice(0, knownMax)
  }

  async leave(): Promise<void> {
    this.#open = undefined
    await (await this.#link)?.detach()
  }

  async close(): Promise<void> {
    clearTimeout(this.#later)
    this.#open = undefined
    await (await this.#link)?.close()
  }

  /** Each address once; the entry that was just lost comes last of its kind. */
  async *#candidates(link: Link, signal: AbortSignal | undefined): AsyncGenerator<string> {
    const seen = new Set<string>()
    const lost = this.#entry
    const fresh = function* (addresses: readonly string[]): Generator<string> {
      const isLost = (address: string): boolean => lost !== '' && address.includes(lost)
      for (const address of [...addresses].sort((a, b) => Number(isLost(a)) - Number(isLost(b)))) {
        if (!seen.has(address)) yield address
        seen.add(address)
      }
    }
    const { peers, isWide, mdns } = this.#search
    yield* fresh([...this.#known, ...peers])
    if (!isWide && this.#known.length === 0) return
    yield* fresh(await findBeacons(this.#key))
    if (mdns) yield* fresh(await link.discover(mdnsMs, signal))
  }

  #failure(tried: readonly unknown[]): ShoalError {
    const refused = tried.find((error) => error instanceof ShoalError && error.code === 'SHOAL_REFUSED')
    if (refused instanceof ShoalError) return refused
    const first = tried[0]
    if (tried.length === 1 && first instanceof ShoalError) return first
    const what =
      first === undefined
        ? 'no node was found'
        : `${tried.length} addresses were tried; ${explainError(first)}`
    const advice = 'start a node with `shoal up`, or give its address with `peers`, --peer or $SHOAL_PEERS'
    return new ShoalError('SHOAL_NO_MESH', `${what}; ${advice}`, { cause: first })
  }

  #received(frame: Uint8Array): void {
    let messages: EntryMessage[]
    try {
      messages = splitFrame(frame).map((part) => entryMessages.parse(part))
    } catch (error) {
      const reason = `the entry sent what is no message: ${explainError(error)}`
      void this.leave().then(() => this.#events.onClosed(reason))
      return
    }
    this.#events.onMessages(messages)
  }

  #ended(reason: string): void {
    this.#open = undefined
    this.#events.onClosed(reason)
  }
}
