/**
 * The nodes of a chaos run: processes with data folders that are killed, stopped, continued, cut off and started again.
 *
 * Not here: which of it happens when (faults.ts), and what a node process does (node.ts).
 * A node comes back under its old address with its old folder, as a machine does whose power was cut.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createKey, type MeshKey, writeKey } from '../../src/index.ts'
import { programOf } from '../integration/prepare.ts'

/** A process that does not listen by then is a failure of the run. */
const readyMs = 30_000
const program = programOf(new URL('./node.ts', import.meta.url))

/** What a node process is told, as JSON. */
export interface NodeArguments {
  readonly keyFile: string
  readonly data: string
  readonly slots: number
  readonly listen: readonly string[]
  readonly peers: readonly string[]
}

export interface NodeRequest {
  readonly ask: number
  readonly what: 'held' | 'cut'
}

/** Tasks as `job:index`. */
export interface HeldWork {
  readonly ran: readonly string[]
  readonly owned: readonly string[]
}

interface NodeAnswer {
  readonly ask: number
  readonly id?: string
  readonly addresses?: readonly string[]
  readonly held?: HeldWork
  readonly cut?: number
}

export type NodeState = 'up' | 'starting' | 'down' | 'stopped'

export class ChaosNode {
  readonly name: string
  readonly #mesh: ChaosMesh
  readonly #log: string
  readonly #notes: WriteStream
  #state: NodeState = 'down'
  #child: ChildProcess | undefined
  readonly #asked = new Map<number, (answer: NodeAnswer) => void>()
  #asks = 0
  id = ''
  address = ''

  constructor(name: string, mesh: ChaosMesh) {
    this.name = name
    this.#mesh = mesh
    this.#log = join(mesh.folder, `${name}.log`)
    this.#notes = createWriteStream(this.#log, { flags: 'a' })
  }

  get state(): NodeState {
    return this.#state
  }

  async start(): Promise<void> {
    const { folder, keyFile, slots } = this.#mesh
    this.#state = 'starting'
    const peers = this.#mesh.nodes.map(({ address }) => address).filter((other) => other !== this.address)
    const listen = [this.address === '' ? '/ip4/127.0.0.1/tcp/0' : withoutPeer(this.address)]
    const options: NodeArguments = {
      keyFile,
      data: join(folder, this.name),
      slots,
      listen,
      peers: peers.filter(Boolean)
    }
    const child = fork(program, [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#child = child
    this.#notes.write(`-- start ${new Date().toISOString()}\n`)
    child.stderr?.pipe(this.#notes, { end: false })
    child.on('message', (answer: NodeAnswer) => {
      this.#asked.get(answer.ask)?.(answer)
      this.#asked.delete(answer.ask)
    })
    const late = setTimeout(() => child.kill('SIGKILL'), readyMs)
    const ready = new Promise<NodeAnswer>((resolve) => this.#asked.set(0, resolve))
    const ended = once(child, 'exit').then(() => undefined)
    const answer = await Promise.race([ready, ended])
    clearTimeout(late)
    if (this.#child !== child) return
    if (answer === undefined)
      throw new Error(`${this.name} ended before it listened:\n${await readFile(this.#log, 'utf8')}`)
    this.id = answer.id ?? ''
    this.address = answer.addresses?.[0] ?? ''
    this.#state = 'up'
    // Nobody asked it to: a crash of its own, which no run may hide.
    void ended.then(() => {
      if (this.#child === child) this.#mesh.onCrash(this.name)
    })
  }

  /** SIGKILL, at once; with what it held a moment before, if it could be asked. */
  async kill(): Promise<HeldWork | undefined> {
    const held = this.#state === 'up' ? (await this.#ask('held'))?.held : undefined
    this.cutPower()
    return held
  }

  cutPower(): void {
    const child = this.#child
    this.#child = undefined
    this.#state = 'down'
    this.#asked.clear()
    child?.kill('SIGKILL')
    this.#notes.write(`-- killed ${new Date().toISOString()}\n`)
  }

  /** SIGSTOP: alive, and silent. */
  stop(): void {
    if (this.#state !== 'up') return
    this.#state = 'stopped'
    this.#notes.write(`-- stopped ${new Date().toISOString()}\n`)
    this.#child?.kill('SIGSTOP')
  }

  continue(): void {
    if (this.#state !== 'stopped') return
    this.#state = 'up'
    this.#notes.write(`-- continued ${new Date().toISOString()}\n`)
    this.#child?.kill('SIGCONT')
  }

  /** Resets about half of its sockets; says how many. */
  async cut(): Promise<number> {
    return (await this.#ask('cut'))?.cut ?? 0
  }

  #ask(what: NodeRequest['what']): Promise<NodeAnswer | undefined> {
    const child = this.#child
    if (child === undefined) return Promise.resolve(undefined)
    const ask = ++this.#asks
    const answered = new Promise<NodeAnswer>((resolve) => this.#asked.set(ask, resolve))
    child.send({ ask, what } satisfies NodeRequest)
    const ended = new Promise<undefined>((resolve) => child.once('exit', () => resolve(undefined)))
    return Promise.race([answered, ended])
  }
}

const withoutPeer = (address: string): string => address.replace(/\/p2p\/.*$/, '')

export class ChaosMesh implements AsyncDisposable {
  readonly key: MeshKey = createKey()
  readonly folder: string
  readonly keyFile: string
  readonly slots: number
  readonly nodes: ChaosNode[] = []
  /** Nodes that ended by themselves. */
  readonly crashes: string[] = []
  readonly onCrash = (name: string): void => void this.crashes.push(name)

  private constructor(folder: string, slots: number) {
    this.folder = folder
    this.keyFile = join(folder, 'chaos.key')
    this.slots = slots
  }

  static async start(count: number, slots: number): Promise<ChaosMesh> {
    const mesh = new ChaosMesh(await mkdtemp(join(tmpdir(), 'shoal-chaos-')), slots)
    await writeKey(mesh.keyFile, mesh.key)
    for (let at = 1; at <= count; at++) mesh.nodes.push(new ChaosNode(`n${at}`, mesh))
    try {
      await mesh.nodes[0]?.start()
      await Promise.all(mesh.nodes.slice(1).map((node) => node.start()))
      return mesh
    } catch (error) {
      await mesh.close()
      throw error
    }
  }

  get addresses(): string[] {
    return this.nodes.map(({ address }) => address)
  }

  /** All of them run again. */
  async heal(): Promise<void> {
    for (const node of this.nodes) node.continue()
    await Promise.all(this.nodes.filter(({ state }) => state === 'down').map((node) => node.start()))
  }

  /** `keep` leaves the folder with all data and logs to be looked at. */
  async close(keep = false): Promise<void> {
    for (const node of this.nodes) node.cutPower()
    if (!keep) await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
