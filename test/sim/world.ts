/**
 * A whole mesh on one thread: real cores and real client sessions, a network and disks that fail as the seed says.
 *
 * Not here: what must be true (checkers.ts). First faults and work together (safety), then no faults until everything has
 * settled (liveness). Every message between nodes and clients is encoded and parsed, and the trace of a seed is one number.
 */

import type { ClientMessage, EntryMessage } from '../../src/client/protocol.ts'
import { clientMessages, entryMessages } from '../../src/client/protocol.ts'
import {
  type ClientId,
  type Digest,
  type JobId,
  type PeerId,
  type ShardKey,
  shardName
} from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { hash32, type Random, seededRandom } from '../../src/random.ts'
import { valueAt } from '../../src/tasks/batch.ts'
import { readClosed } from '../../src/tasks/closing.ts'
import type { Keeper } from '../../src/tasks/keeper.ts'
import { closedIndex, type JobHeader, placementBase } from '../../src/tasks/messages.ts'
import { Checkers, Violation } from './checkers.ts'
import { SimClient, type SimJob } from './client.ts'
import { Clockwork } from './clockwork.ts'
import { Network } from './network.ts'
import { SimNode } from './node.ts'

export interface Faults {
  loss: number
  duplication: number
  delay: number
  slowDisk: number
  engineLoss: number
  taskFailure: number
  crashes: boolean
  partitions: boolean
}

const NONE: Faults = {
  loss: 0,
  duplication: 0,
  delay: 0,
  slowDisk: 0,
  engineLoss: 0,
  taskFailure: 0,
  crashes: false,
  partitions: false
}

/** Work and faults for so long; then it must settle within `settleMs`. */
const troubleMs = 20_000
const settleMs = 240_000

export class World {
  readonly clock = new Clockwork()
  readonly checkers = new Checkers()
  readonly nodes: SimNode[]
  readonly clients: SimClient[] = []
  readonly network: Network
  readonly checksSteps: boolean
  faults: Faults
  /** How soon a keeper that is down is replaced: often within the time of trouble. */
  readonly replaceAfterMs: Millis
  readonly #random: Random
  #trace = 0
  #nonce = 0
  #jobs = 0
  readonly #taskMs = new Map<JobId, Millis>()

  constructor(seed: number) {
    const random = seededRandom(seed)
    this.#random = random.fork('world')
    const options = random.fork('options')
    this.checksSteps = true
    this.faults = {
      loss: options.chance(0.5) ? options.next() * 0.1 : 0,
      duplication: options.chance(0.5) ? options.next() * 0.2 : 0,
      delay: options.chance(0.5) ? options.next() * 0.1 : 0,
      slowDisk: options.chance(0.3) ? 0.2 : 0,
      engineLoss: options.chance(0.3) ? 0.02 : 0,
      taskFailure: options.chance(0.3) ? 0.1 : 0,
      crashes: options.chance(0.7),
      partitions: options.chance(0.5)
    }
    this.replaceAfterMs = options.chance(0.7) ? 500 + options.next() * 5_000 : 30_000
    this.network = new Network(this, random.fork('network'))
    const count = 3 + options.below(4)
    this.nodes = Array.from({ length: count }, (_, i) => {
      const id = `peer${'ABCDEFGH'[i]}` as PeerId
      return new SimNode(id, this, hash32(`${seed} ${id}`), i === 0 ? 2 : options.below(3))
    })
  }

  /** Throws a Violation. Returns the trace: equal for equal seeds. */
  run(): number {
    for (const node of this.nodes) this.clock.after(this.#random.next() * 100, () => this.#join(node))
    const clients = 1 + this.#random.below(3)
    for (let i = 0; i < clients; i++) this.#addClient(`client${i}`)
    this.#plan()
    this.#until(() => false, troubleMs)
    this.faults = NONE
    this.network.heal()
    for (const node of this.nodes) if (!node.isRunning) this.#join(node)
    this.#until(() => this.#areComplete(), settleMs)
    this.#checkComplete()
    this.#readAll()
    this.#until(() => this.#isQuiet(), settleMs)
    this.#checkQuiet()
    return this.#trace
  }

  node(id: PeerId): SimNode | undefined {
    return this.nodes.find((node) => node.id === id)
  }

  taskMs(job: JobId): Millis {
    return this.#taskMs.get(job) ?? 1
  }

  nonce(): number {
    return ++this.#nonce
  }

  trace(who: string, what: string, effects: number): void {
    this.#trace = hash32(`${this.#trace} ${this.clock.now} ${who} ${what} ${effects}`)
  }

  /** From an entry to a client: in order, and only on the stream on which it was said. */
  reply(node: SimNode, id: ClientId, message: EntryMessage): void {
    const client = this.clients.find((one) => one.streamId === id)
    if (client === undefined || client.entry !== node) return
    if (message.kind === 'results') this.checkers.committed(message.key, message.outcomes, `to ${id}`)
    const { attachment } = client
    const bytes = entryMessages.encode(message)
    this.clock.after(0.3, () => {
      if (client.attachment === attachment) client.receive(entryMessages.parse(bytes))
    })
  }

  say(client: SimClient, message: ClientMessage): void {
    const { attachment, entry } = client
    const bytes = clientMessages.encode(message)
    this.clock.after(0.3, () => {
      if (client.attachment !== attachment || entry === undefined) return
      entry.step({ kind: 'client-said', client: client.streamId, messages: [clientMessages.parse(bytes)] })
    })
  }

  #addClient(name: string): SimClient {
    const client = new SimClient(name as ClientId, this, this.#random.fork(name))
    this.clients.push(client)
    this.clock.after(150 + this.#random.next() * 300, () => client.attach())
    return client
  }

  #join(node: SimNode): void {
    if (node.isRunning) return
    node.start()
    for (const { id } of this.nodes) {
      if (id !== node.id) node.step({ kind: 'peer-found', peer: id, addresses: [`/sim/${id}`] })
    }
  }

  /** Draws the work and the faults of the first phase. */
  #plan(): void {
    const jobs = 1 + this.#random.below(6)
    for (let i = 0; i < jobs; i++) {
      this.clock.after(600 + this.#random.next() * (troubleMs - 2_000), () => this.#submit())
    }
    if (this.faults.crashes) {
      const crashes = 1 + this.#random.below(6)
      for (let i = 0; i < crashes; i++)
        this.clock.after(500 + this.#random.next() * troubleMs * 0.9, () => this.#crash())
    }
    if (this.faults.partitions) {
      const partitions = 1 + this.#random.below(3)
      for (let i = 0; i < partitions; i++)
        this.clock.after(500 + this.#random.next() * troubleMs * 0.8, () => this.#part())
    }
    if (this.#random.chance(0.3)) {
      const drains = 1 + this.#random.below(2)
      for (let i = 0; i < drains; i++)
        this.clock.after(500 + this.#random.next() * troubleMs * 0.7, () => this.#drain())
    }
    if (this.#random.chance(0.2)) {
      this.clock.after(2_000 + this.#random.next() * troubleMs * 0.8, () =>
        this.#random.pick(this.clients)?.die()
      )
    }
  }

  #submit(): void {
    const client = this.#random.pick(this.clients)
    if (client?.session === undefined) return
    const id = `job-${String(++this.#jobs).padStart(6, '0')}` as JobId
    const taskMs = [0.05, 1, 20, 200][this.#random.below(4)] ?? 1
    this.#taskMs.set(id, taskMs)
    const most = taskMs > 10 ? 12 : 40
    const plan = Array.from({ length: 1 + this.#random.below(6) }, () => 1 + this.#random.below(most))
    const header: JobHeader = {
      job: id,
      name: 'simulated',
      code: 'c'.repeat(43) as Digest,
      exportName: id,
      retries: this.#random.below(3),
      timeoutMs: 0,
      priority: this.#random.below(3),
      submittedAt: this.clock.now,
      queueTimeoutMs: 0,
      retentionMs: 0,
      atMostOnce: false
    }
    // Two keepers cannot promise one outcome in a split (DESIGN 3); the checkers judge meshes that can.
    const copies = { wanted: this.nodes.length >= 5 && this.#random.chance(0.2) ? 5 : 3, least: 3 }
    const job: SimJob = {
      id,
      taskMs,
      copies,
      shards: [],
      isClosed: false,
      isComplete: false,
      isCancelled: false
    }
    client.submit(job, header, plan, this.#random.chance(0.3))
    if (this.#random.chance(0.1)) this.clock.after(this.#random.next() * 2_000, () => client.cancel(job))
  }

  #crash(): void {
    const node = this.#random.pick(this.nodes.filter(({ isRunning }) => isRunning))
    if (node === undefined) return
    this.#stop(node, this.#random.chance(0.3))
    if (this.#random.chance(0.8)) this.clock.after(50 + this.#random.next() * 8_000, () => this.#join(node))
  }

  #stop(node: SimNode, isSilent: boolean): void {
    const lost = [...node.clients]
    node.crash()
    this.trace(node.id, 'crash', 0)
    this.network.gone(node.id, isSilent)
    for (const client of this.clients) if (lost.includes(client.streamId)) client.lose()
  }

  /** A node leaves in good order, sooner or later also with what it runs. */
  #drain(): void {
    const node = this.#random.pick(this.nodes.filter(({ isRunning }) => isRunning))
    if (node === undefined) return
    const { life } = node
    const isSame = (): boolean => node.life === life && node.isRunning
    this.trace(node.id, 'leave', 0)
    node.step({ kind: 'leave', runs: 'finish' })
    const patience = this.#random.next() * 5_000
    this.clock.after(patience, () => isSame() && node.step({ kind: 'leave', runs: 'give back' }))
    this.clock.after(patience + 1_000, () => isSame() && this.#stop(node, false))
  }

  /** Some nodes cannot talk to the others for a while; now and then only in one direction. */
  #part(): void {
    const side = new Set(this.nodes.filter(() => this.#random.chance(0.4)))
    const isOneWay = this.#random.chance(0.3)
    for (const a of side) {
      for (const b of this.nodes) {
        if (side.has(b)) continue
        this.network.cut(a.id, b.id)
        if (!isOneWay) this.network.cut(b.id, a.id)
      }
    }
    this.trace('network', 'cut', side.size)
    this.clock.after(500 + this.#random.next() * 9_000, () => this.network.heal())
  }

  #until(isDone: () => boolean, within: Millis): void {
    const end = this.clock.now + within
    let lookAt = this.clock.now
    while (this.clock.tick(end)) {
      if (this.clock.now < lookAt) continue
      lookAt = this.clock.now + 250
      if (isDone()) return
    }
  }

  #areComplete(): boolean {
    return this.clients.every(
      ({ session, jobs }) => session === undefined || jobs.every(({ isComplete }) => isComplete)
    )
  }

  #checkComplete(): void {
    for (const { session, jobs, id } of this.clients) {
      const open = session === undefined ? undefined : jobs.find(({ isComplete }) => !isComplete)
      if (open !== undefined)
        throw new Violation(`${id}'s job ${open.id} did not complete after the faults stopped`)
    }
  }

  /** A stranger reads every job by its id, from any node. */
  #readAll(): void {
    for (const { jobs } of [...this.clients]) {
      for (const job of jobs) {
        if (job.shards[0]?.isAccepted !== true) continue
        const reader = this.#addClient(`reader-${job.id}`)
        reader.read(job.id)
      }
    }
  }

  #isQuiet(): boolean {
    for (const { id, completed } of this.clients) {
      const job = this.#jobOf(id)
      if (job === undefined) continue
      if (job.isClosed && job.isComplete ? !completed.has(job.id) : !this.#hasAccepted(id, job)) return false
    }
    return this.nodes.every(({ core }) => {
      if (core === undefined) return false
      const { owner, runner, entry, keeper } = core
      if (owner.unfinished + runner.queued + runner.running + entry.submissions > 0) return false
      return keeper.keys().every((key) => keeper.isSettled(key) || this.#isOpenRoot(key))
    })
  }

  /**
   * The first shard of a job that was not submitted to its end, because its client died or began again elsewhere. One of
   * its keepers may have accepted what was never committed, so it is enough that another one knows of no end.
   */
  #isOpenRoot(key: ShardKey): boolean {
    const keepers = this.nodes.flatMap(({ core }) => (core === undefined ? [] : [core.keeper]))
    if (keepers.some((keeper) => keeper.isSettled(key))) return false
    return keepers.some((keeper) => keeper.record(key) !== undefined && isOpenRoot(keeper, key))
  }

  #jobOf(reader: ClientId): SimJob | undefined {
    return this.clients.flatMap(({ jobs }) => jobs).find(({ id }) => reader === `reader-${id}`)
  }

  #hasAccepted(reader: ClientId, job: SimJob): boolean {
    return job.shards.every(({ first, count, isAccepted }) => {
      if (!isAccepted) return true
      for (let i = first; i < first + count; i++) {
        if (this.checkers.received(reader, job.id, i) === undefined) return false
      }
      return true
    })
  }

  #checkQuiet(): void {
    if (!this.#isQuiet()) throw new Violation(`not settled: ${this.#unsettled()}`)
    for (const { jobs, id } of [...this.clients]) {
      for (const job of jobs) {
        if (job.shards[0]?.isAccepted !== true) continue
        const count = job.shards.reduce((sum, shard) => sum + shard.count, 0)
        for (let i = 0; i < count; i++) {
          const [own, other] = [id, `reader-${job.id}`].map((who) => this.checkers.received(who, job.id, i))
          if (own !== undefined && other !== undefined && own !== other) {
            throw new Violation(`${job.id}:${i} differs between its client and a later reader`)
          }
        }
      }
    }
    const keys = new Set(this.nodes.flatMap(({ core }) => core?.keeper.keys() ?? []))
    for (const key of keys) {
      const keepers = this.nodes.flatMap(({ core }) => (core?.keeper.isSettled(key) ? [core.keeper] : []))
      this.checkers.agree(
        key,
        keepers.map((keeper) => keeper.outcomes(key))
      )
    }
  }

  #unsettled(): string {
    const parts = this.nodes.map(({ id, core }) => {
      if (core === undefined) return `${id} is down`
      const { owner, runner, entry } = core
      const open = core.keeper.keys().filter((key) => !core.keeper.isSettled(key) && !this.#isOpenRoot(key))
      const waits = `${open.join()} ${owner.unfinished} unfinished, ${runner.queued} queued, ${runner.running} running`
      return `${id}: ${waits}, ${entry.submissions} submissions`
    })
    const readers = this.clients.filter(({ id }) => {
      const job = this.#jobOf(id)
      return (
        job !== undefined &&
        !(job.isClosed && job.isComplete
          ? this.clients.find((c) => c.id === id)?.completed.has(job.id)
          : this.#hasAccepted(id, job))
      )
    })
    return [...parts, ...readers.map(({ id }) => `${id} waits`)].join('; ')
  }
}

/** True if this keeper does not know of all shards of the job. */
function isOpenRoot(keeper: Keeper, key: ShardKey): boolean {
  const record = keeper.record(key)
  if (record === undefined || shardName(key).index !== 0) return false
  const outcomes = keeper.outcomes(key)
  const closed = outcomes.get(closedIndex)
  const shards = closed === undefined ? record.shards : readClosed(valueAt(closed.batch, closed.at))
  const placed = [...outcomes.keys()].filter((index) => index > placementBase && index < closedIndex).length
  return shards === 0 || placed < shards - 1
}
