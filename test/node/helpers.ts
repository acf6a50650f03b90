/**
 * What the tests of the transport share: nodes on free ports, and waiting for events instead of time.
 *
 * Not here: any expectation.
 * A test that waits for an event that never comes ends by the runner's limit, and the events so far tell why.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createHost } from '../../src/node/host.ts'
import type { MeshKey } from '../../src/node/key.ts'
import { createLibp2pTransport, type Libp2pTransportOptions } from '../../src/node/libp2p.ts'
import type { Transport, TransportEvent } from '../../src/node/transport.ts'

export type Kind = TransportEvent['kind']
export type EventOf<K extends Kind> = Extract<TransportEvent, { kind: K }>

export class Events {
  readonly all: TransportEvent[] = []
  private waiters: { is: (event: TransportEvent) => boolean; resolve: (event: TransportEvent) => void }[] = []

  readonly push = (event: TransportEvent): void => {
    this.all.push(event)
    for (const waiter of this.waiters.filter(({ is }) => is(event))) {
      this.waiters.splice(this.waiters.indexOf(waiter), 1)
      waiter.resolve(event)
    }
  }

  of<K extends Kind>(kind: K): EventOf<K>[] {
    return this.all.filter((event): event is EventOf<K> => event.kind === kind)
  }

  /** The first event of this kind, that has happened or will. */
  first<K extends Kind>(kind: K): Promise<EventOf<K>> {
    return this.count(kind, 1).then(([event]) => event as EventOf<K>)
  }

  /** Resolves when there were `count` events of this kind in all. */
  async count<K extends Kind>(kind: K, count: number): Promise<EventOf<K>[]> {
    while (this.of(kind).length < count) {
      await new Promise((resolve) => this.waiters.push({ is: (event) => event.kind === kind, resolve }))
    }
    return this.of(kind)
  }
}

export interface TestNode {
  readonly transport: Transport
  readonly events: Events
  readonly address: string
}

const open: { stop(): unknown }[] = []

/** Ends everything that a test started. */
export async function stopAll(): Promise<void> {
  await Promise.all(open.splice(0).map((one) => one.stop()))
}

export function ended<T extends { stop(): unknown }>(one: T): T {
  open.push(one)
  return one
}

export async function startNode(
  key: MeshKey,
  options: Partial<Libp2pTransportOptions> & { tap?: (event: TransportEvent) => void } = {}
): Promise<TestNode> {
  const events = new Events()
  const transport = await createLibp2pTransport({
    key,
    identity: await generateKeyPair('Ed25519'),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [],
    mdns: false,
    onEvent: options.tap ?? events.push,
    blobs: { read: async () => undefined },
    serveData: async () => {},
    ...options
  })
  ended(transport)
  return { transport, events, address: transport.addresses()[0] ?? '' }
}

export async function connect(from: TestNode, to: TestNode): Promise<void> {
  from.transport.dial(to.transport.self, [to.address])
  await Promise.all([from.events.first('peer-connected'), to.events.first('peer-connected')])
}

/** A bare libp2p host, which holds no key. */
export async function startStranger() {
  const host = await createHost({ identity: await generateKeyPair('Ed25519'), listen: [], services: {} })
  await host.start()
  return ended(host)
}
