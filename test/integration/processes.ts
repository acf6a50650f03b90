/**
 * Real nodes for the integration tests: processes of their own, with data folders, that can be killed.
 *
 * Not here: any expectation. Everything is in one temporary folder, which goes with the last process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import {
  type Client,
  connect,
  createKey,
  type MeshKey,
  type NodeOptions,
  type NodeStatus,
  writeKey
} from '../../src/index.ts'
import { programOf } from './prepare.ts'

const program = programOf(new URL('./node.ts', import.meta.url))

export interface NodeProcess {
  readonly name: string
  readonly id: string
  readonly address: string
  readonly pid: number
  /** The first of its notes that has this text, said already or to come. */
  noted(text: string): Promise<string>
  /** What it said so far. */
  readonly notes: readonly string[]
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGSTOP and SIGCONT. */
  pause(): void
  resume(): void
}

export interface StartOptions {
  readonly slots?: number
  /** Default: a folder of the node's name, which is there for the next node of that name. */
  readonly data?: string
  readonly listen?: readonly string[]
  /** Addresses to begin with, besides those of `peers`. */
  readonly dials?: readonly string[]
  /** Options of the node as they are. */
  readonly more?: Partial<NodeOptions>
  /** Arguments of Node itself. */
  readonly execArgv?: readonly string[]
  /** Runs the process inside of this command. */
  readonly within?: readonly string[]
}

export class Lab {
  readonly key: MeshKey = createKey()
  readonly folder: string
  readonly keyFile: string
  readonly #children = new Set<ChildProcess>()
  readonly #clients: Client[] = []
  readonly #undo: (() => unknown)[] = []

  private constructor(folder: string) {
    this.folder = folder
    this.keyFile = join(folder, 'lab.key')
  }

  static async open(): Promise<Lab> {
    const lab = new Lab(await mkdtemp(join(tmpdir(), 'shoal-test-')))
    await writeKey(lab.keyFile, lab.key)
    return lab
  }

  /** Its data stays in its folder, so a killed node can be started again. Rejects with what it said if it does not start. */
  async start(
    name: string,
    peers: readonly NodeProcess[] = [],
    {
      slots = 1,
      data = join(this.folder, name),
      listen,
      dials = [],
      more = {},
      execArgv = [],
      within = []
    }: StartOptions = {}
  ): Promise<NodeProcess> {
    const options = {
      key: this.keyFile,
      data,
      slots,
      peers: [...dials, ...peers.map(({ address }) => address)],
      ...(listen === undefined ? {} : { listen }),
      ...more
    }
    const [command = '', ...args] = [
      ...within,
      process.execPath,
      ...execArgv,
      program,
      JSON.stringify(options)
    ]
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.add(child)
    const notes: string[] = []
    const stderr = createInterface({ input: child.stderr }).on('line', (line) => notes.push(line))
    const noted = async (text: string): Promise<string> => {
      for (;;) {
        const found = notes.find((note) => note.includes(text))
        if (found !== undefined) return found
        await once(stderr, 'line')
      }
    }
    const lines = createInterface({ input: child.stdout })
    const gone = once(child, 'exit')
    const [line] = await Promise.race([
      once(lines, 'line'),
      gone.then(() => Promise.reject(new Error(`${name} ended: ${notes.join('\n')}`)))
    ])
    const { id, address } = JSON.parse(line) as { id: string; address: string }
    const kill = async (): Promise<void> => {
      child.kill('SIGKILL')
      await gone
      this.#children.delete(child)
    }
    const pause = (): void => void child.kill('SIGSTOP')
    const resume = (): void => void child.kill('SIGCONT')
    return { name, id, address, pid: child.pid ?? 0, notes, noted, kill, pause, resume }
  }

  /** A mesh of so many nodes that all see each other. */
  async mesh(count: number, slots = 1): Promise<NodeProcess[]> {
    const first = await this.start('n1', [], { slots })
    const names = Array.from({ length: count - 1 }, (_, i) => `n${i + 2}`)
    return [first, ...(await Promise.all(names.map((name) => this.start(name, [first], { slots }))))]
  }

  /** A client of the first of these nodes that answers. It is closed with the lab. */
  async attach(...nodes: readonly NodeProcess[]): Promise<Client> {
    const peers = nodes.map(({ address }) => address)
    const client = await connect({ key: this.key, peers, mdns: false })
    this.#clients.push(client)
    return client
  }

  /** Done when all processes are gone and before the folder goes, last first. */
  undo(step: () => unknown): void {
    this.#undo.push(step)
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all([...this.#children].map((child) => child.exitCode ?? once(child, 'exit')))
    for (const step of this.#undo.reverse()) await step()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Resolves when all of `count` nodes say that they see the others. */
export async function untilMeshed(client: Client, count: number): Promise<void> {
  await untilStatus(
    client,
    (nodes) => nodes.length === count && nodes.every(({ peers }) => peers === count - 1)
  )
}

/** The first status of the mesh that is as expected. */
export async function untilStatus(
  client: Client,
  isIt: (nodes: readonly NodeStatus[]) => boolean
): Promise<readonly NodeStatus[]> {
  for (;;) {
    const { nodes } = await client.status()
    if (isIt(nodes)) return nodes
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
