/**
 * A node as an app holds it that lets it run in a thread of its own.
 *
 * Not here: the node (node/node.ts), and the thread's end (host.ts).
 * What the app gave as functions stays in its thread: sources are pulled, and a probe is asked, when the app has time for it.
 */
import { MeshClient } from '../client/client.ts'
import type { Client } from '../client/types.ts'
import { ShoalError } from '../errors.ts'
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { keyText } from '../node/key.ts'
import type { Burden } from '../node/leftovers.ts'
import type { Node } from '../node/node.ts'
import { Offers, type Source, type SourceOptions } from '../node/offers.ts'
import { checkDrain, type DrainOptions, type NodeOptions } from '../node/options.ts'
import type { Probe } from '../node/probe.ts'
import { HostedLine } from './line.ts'
import { HostThread } from './thread.ts'
import type { Facts } from './words.ts'

/** The options were checked. Rejects as `createNode` does, and with SHOAL_HOST_LOST if there can be no such thread. */
export async function hostNode(options: NodeOptions, drainTimeout: Millis): Promise<Node> {
  const { key, onNote = () => {}, probe, hosted: _, ...rest } = options
  const { promise: whole, resolve: put } = Promise.withResolvers<HostedNode>()
  let facts: Facts = { addresses: [], counters: {} }
  const thread = new HostThread({
    what: 'node',
    hear: (message) => {
      if (message.kind === 'note') onNote(message.text)
      else if (message.kind === 'facts') facts = message.facts
      else if (message.kind === 'pull') void whole.then((node) => node.pull(message.name))
      else if (message.kind === 'probe-closed') probe?.close()
      else void whole.then((node) => node.stop())
    },
    answer: (what) => (probe as Probe)[what](),
    onLost: (error) => {
      probe?.close()
      onNote(error.message)
      void whole.then((node) => node.lost())
    }
  })
  try {
    const hasProbe = probe !== undefined
    const id = await thread.call<PeerId>({
      verb: 'begin-node',
      keyText: keyText(key),
      options: rest,
      hasProbe
    })
    const node = new HostedNode(thread, id, drainTimeout, () => facts)
    put(node)
    return node
  } catch (error) {
    await thread.end(stopped())
    throw error
  }
}

const stopped = (): ShoalError => new ShoalError('SHOAL_CLOSED', 'the node was stopped')

class HostedNode implements Node {
  readonly id: PeerId
  readonly client: Client
  readonly stopped: Promise<void>
  readonly #thread: HostThread
  readonly #drainTimeout: Millis
  readonly #facts: () => Facts
  readonly #offers: Offers
  readonly #stopped = Promise.withResolvers<void>()
  #stopping: Promise<void> | undefined

  constructor(thread: HostThread, id: PeerId, drainTimeout: Millis, facts: () => Facts) {
    this.id = id
    this.stopped = this.#stopped.promise
    this.#thread = thread
    this.#drainTimeout = drainTimeout
    this.#facts = facts
    this.#offers = new Offers((news) => thread.say({ kind: 'news', news }))
    const whenClosed = async (): Promise<void> => void (await thread.call({ verb: 'close' }).catch(() => {}))
    this.client = new MeshClient((events) => new HostedLine(thread, events, whenClosed), id)
  }

  get addresses(): readonly string[] {
    return this.#facts().addresses
  }

  get counters(): Readonly<Record<string, number>> {
    return this.#facts().counters
  }

  source(name: string, items: AsyncIterable<unknown>, options?: SourceOptions): Source {
    this.#thread.check()
    return this.#offers.offer(name, items, options)
  }

  /** There is room for one item more. */
  pull(name: string): void {
    this.#offers.pull(name)
  }

  async drain(options?: DrainOptions): Promise<Burden> {
    const burden = await this.#thread.call<Burden>({
      verb: 'drain',
      timeout: checkDrain(this.#drainTimeout, options)
    })
    await this.stop()
    return burden
  }

  /** Its thread is gone. */
  lost(): void {
    void this.#offers.close()
    this.#stopped.resolve()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(this.#stopped.resolve)
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(): Promise<void> {
    await this.client.close()
    await this.#offers.close()
    await this.#thread.end(stopped(), { verb: 'stop' })
  }
}
