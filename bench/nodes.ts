/**
 * Meshes for measuring: every node a process of its own, on this machine, with its data in a temporary folder.
 *
 * Not here: what a node process does (node.ts), what is measured.
 * A mesh is given out only when all its nodes know each other, so that nobody measures the joining by accident.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { createKey, type MeshKey, writeKey } from '../src/index.ts'
import { sum } from './measure.ts'
import { builtProgram } from './package.ts'
import { scratch } from './scratch.ts'

/** A node must listen, and all must know each other, within this time. */
const readyMs = 30_000
const stopMs = 5_000
const lookAgainMs = 20

/** What a node process is told, as JSON. */
export interface NodeArguments {
  readonly keyFile: string
  readonly data: string
  readonly slots: number
  readonly listen: readonly string[]
  readonly peers: readonly string[]
  /** It runs one task before it says that it listens. */
  readonly submits: boolean
}

export interface NodeRequest {
  readonly ask: number
  readonly what: 'usage' | 'held' | 'members' | 'profile' | 'profiled' | 'stop'
  /** Where the profile goes. */
  readonly file?: string
}

export interface NodeAnswer {
  readonly ask: number
  readonly cpuMicros?: number
  readonly rssBytes?: number
  readonly heapBytes?: number
  readonly diskBytes?: number
  readonly members?: number
}

export interface Usage {
  readonly cpuMicros: number
  readonly rssBytes: number
}

/** What is held once garbage was collected. */
export interface Held {
  readonly rssBytes: number
  /** JavaScript's heap and the buffers beside it. */
  readonly heapBytes: number
  readonly diskBytes: number
}

export class NodeProcess {
  readonly id: string
  readonly addresses: readonly string[]
  readonly #child: ChildProcess
  readonly #asked = new Map<number, (answer: NodeAnswer) => void>()
  #asks = 0

  constructor(child: ChildProcess, { id, addresses }: { id: string; addresses: readonly string[] }) {
    this.id = id
    this.addresses = addresses
    this.#child = child
    child.on('message', (answer: NodeAnswer) => {
      this.#asked.get(answer.ask)?.(answer)
      this.#asked.delete(answer.ask)
    })
  }

  get isUp(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  async usage(): Promise<Usage> {
    const { cpuMicros = Number.NaN, rssBytes = Number.NaN } = await this.#ask('usage')
    return { cpuMicros, rssBytes }
  }

  async held(): Promise<Held> {
    const { rssBytes = Number.NaN, heapBytes = Number.NaN, diskBytes = Number.NaN } = await this.#ask('held')
    return { rssBytes, heapBytes, diskBytes }
  }

  async members(): Promise<number> {
    return (await this.#ask('members')).members ?? 0
  }

  async profile(): Promise<void> {
    await this.#ask('profile')
  }

  async profiled(file: string): Promise<void> {
    await this.#ask('profiled', file)
  }

  /** At once, as a power cut would. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async stop(): Promise<void> {
    if (!this.isUp) return
    const ended = once(this.#child, 'exit')
    const late = setTimeout(() => this.kill(), stopMs)
    // One that was killed a moment ago cannot be asked any more.
    await Promise.race([this.#ask('stop').catch(() => {}), ended])
    if (this.#child.connected) this.#child.disconnect()
    await ended
    clearTimeout(late)
  }

  #ask(what: NodeRequest['what'], file?: string): Promise<NodeAnswer> {
    const ask = ++this.#asks
    const request: NodeRequest = { ask, what, ...(file === undefined ? {} : { file }) }
    return new Promise((resolve, reject) => {
      this.#asked.set(ask, resolve)
      this.#child.send(request, (error) => {
        if (error !== null) reject(error)
      })
    })
  }
}

export interface Mesh extends AsyncDisposable {
  readonly key: MeshKey
  /** In the order of `slots`; the first is the one that the others began with. */
  readonly nodes: readonly NodeProcess[]
}

/** One node for each number of slots. Dispose of it: its nodes end and their data is removed. */
export async function startMesh(slots: readonly number[]): Promise<Mesh> {
  const folder = await mkdtemp(join(scratch(), 'mesh-'))
  const keyFile = join(folder, 'bench.key')
  const key = createKey()
  await writeKey(keyFile, key)
  const nodes: NodeProcess[] = []
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()))
    await rm(folder, { recursive: true, force: true })
  }
  try {
    for (const [at, count] of slots.entries()) {
      const peers = nodes[0]?.addresses ?? []
      nodes.push(await startNode({ ...here, keyFile, data: join(folder, `${at}`), slots: count, peers }))
    }
    await untilAcquainted(nodes)
  } catch (error) {
    await dispose()
    throw error
  }
  return { key, nodes, [Symbol.asyncDispose]: dispose }
}

/** Milliseconds from the start of a process to the first result of a task in a mesh of that one node. */
export async function coldStartMs(): Promise<number> {
  const folder = await mkdtemp(join(scratch(), 'mesh-'))
  const keyFile = join(folder, 'bench.key')
  await writeKey(keyFile, createKey())
  let start = Number.NaN
  const options = { ...here, keyFile, data: join(folder, 'data'), slots: 2, peers: [], submits: true }
  const node = await startNode(options, () => {
    start = performance.now()
  })
  const ms = performance.now() - start
  await node.stop()
  await rm(folder, { recursive: true, force: true })
  return ms
}

/** Of this process and these nodes; the nodes' alone come in their order. */
export async function usages(nodes: readonly NodeProcess[]): Promise<{ own: number; nodes: Usage[] }> {
  const used = await Promise.all(nodes.map((node) => node.usage()))
  const { user, system } = process.cpuUsage()
  return { own: user + system, nodes: used }
}

export function cpuMicros({ own, nodes }: Awaited<ReturnType<typeof usages>>): number {
  return own + sum(nodes.map((node) => node.cpuMicros))
}

const here = { listen: ['/ip4/127.0.0.1/tcp/0'], submits: false }

/** `started` is called when the process is about to start. */
async function startNode(options: NodeArguments, started = () => {}): Promise<NodeProcess> {
  const file = await builtProgram('bench-node')
  started()
  const child = fork(file, [JSON.stringify(options)], {
    execPath: process.execPath,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  const late = setTimeout(() => child.kill('SIGKILL'), readyMs)
  try {
    if (child.stdout === null) throw new Error('a node process without an output')
    for await (const line of createInterface(child.stdout)) return new NodeProcess(child, JSON.parse(line))
    throw new Error('a node process ended before it listened; what it said is above')
  } finally {
    clearTimeout(late)
  }
}

async function untilAcquainted(nodes: readonly NodeProcess[]): Promise<void> {
  const until = performance.now() + readyMs
  for (;;) {
    const counts = await Promise.all(nodes.map((node) => node.members()))
    if (counts.every((count) => count === nodes.length)) return
    if (performance.now() > until) throw new Error(`after ${readyMs} ms the nodes know ${counts} members`)
    await sleep(lookAgainMs)
  }
}
