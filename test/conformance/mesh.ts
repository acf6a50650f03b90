/**
 * Nodes in this very process for the conformance tests: real sockets, threads and stores, quickly started and stopped.
 *
 * Not here: any expectation, and nodes that are killed (test/integration/processes.ts).
 * Everything is in one temporary folder, where tasks leave their traces for the test to read.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Client,
  createKey,
  createNode,
  type Node,
  type NodeOptions,
  type NodeStatus
} from '../../src/index.ts'

export class Mesh {
  readonly key = createKey()
  readonly folder: string
  readonly nodes: Node[] = []

  private constructor(folder: string) {
    this.folder = folder
  }

  static async open(count: number, options: Partial<NodeOptions> = {}): Promise<Mesh> {
    const mesh = new Mesh(await mkdtemp(join(tmpdir(), 'shoal-conformance-')))
    for (let i = 0; i < count; i++) await mesh.join(options)
    await mesh.untilMeshed()
    return mesh
  }

  /** Of the node that started first; it outlives the others. */
  get client(): Client {
    return (this.nodes[0] as Node).client
  }

  async join(options: Partial<NodeOptions> = {}): Promise<Node> {
    const peers = this.nodes.slice(0, 1).flatMap(({ addresses }) => addresses)
    const listen = ['/ip4/127.0.0.1/tcp/0']
    const node = await createNode({ key: this.key, slots: 1, listen, peers, mdns: false, ...options })
    this.nodes.push(node)
    return node
  }

  /** Out of the list; who takes it ends it. */
  take(node: Node): Node {
    this.nodes.splice(this.nodes.indexOf(node), 1)
    return node
  }

  async status(): Promise<readonly NodeStatus[]> {
    return (await this.client.status()).nodes
  }

  untilMeshed(): Promise<void> {
    const count = this.nodes.length
    return until(async () => {
      const all = await this.status()
      return all.length === count && all.every(({ peers }) => peers === count - 1)
    })
  }

  /** What tasks have appended to the file of that name, line by line. */
  async trace(name: string): Promise<string[]> {
    const text = await readFile(join(this.folder, name), 'utf8').catch(() => '')
    return text.split('\n').filter(Boolean)
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.splice(0).map((node) => node.stop()))
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Looks every 20 ms; the runner's limit ends what never comes. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(20)
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
