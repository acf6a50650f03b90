/**
 * Many nodes on one thread: what membership and work cost as the mesh grows. `npm run -s sim -- --scale 200 [--json]`.
 *
 * Not here: faults and checkers (world.ts); here the network is perfect, with 1 ms on every way, and nothing is lost.
 * Messages are passed as objects and counted with the bytes that they would have; a world of 1,000 nodes would otherwise do
 * little but encode. What a turn says to one peer counts as one frame, as it would leave. Gossip is not simulated hop by
 * hop: it reaches everybody, and is counted as if each node had passed it on to `fanOut` others.
 */
import { type EntryMessage, entryMessages } from '../../src/client/protocol.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionEffect } from '../../src/client/shards.ts'
import type { ClientId, Digest, JobId, PeerId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { NodeCore } from '../../src/node/core.ts'
import type { CoreEffect, CoreInput } from '../../src/node/effects.ts'
import {
  type GossipMessage,
  gossipMessages,
  type PeerMessage,
  peerMessages
} from '../../src/node/messages.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import { type Reach, usualReach } from '../../src/routing/links.ts'
import { routingKinds } from '../../src/routing/messages.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import { headerOf } from '../tasks/header.ts'
import { Clockwork } from './clockwork.ts'

const latencyMs = 1
const syncMs = 2
const taskMs = 100
const shardTasks = 512
const client = 'client' as ClientId
/** Of a dial, with all that belongs to it. */
const dialMs = 5
/** Gossip takes so many ways, and each node sends it on to so many (gossipsub's mesh has about six links, some of which bring it). */
const hops = 4
const fanOut = 5
/** Whom a node knows when it starts. */
const seeds = 3
/** All start within so long. */
const startMs = 2_000
const calmMs = 30_000
const restMs = 30_000

export interface Scale {
  readonly nodes: number
  readonly tasks: number
  /** From the start of the last node until all know all. */
  readonly knownMs: number
  /** Per node and second. */
  readonly restMessages: number
  readonly restBytes: number
  readonly workMessages: number
  readonly workBytes: number
  /** Until all know that a node is gone that says nothing any more. */
  readonly deathMs: number
  /** Times that a node was taken for dead that was not. */
  readonly misjudged: number
  readonly makespanMs: number
  readonly idealMs: number
  readonly seconds: number
}

interface Node {
  readonly id: PeerId
  readonly core: NodeCore
  readonly peers: Set<PeerId>
  /** Dials that are under way. */
  readonly dials: Set<PeerId>
  /** Runs that wait for the one engine, and whether it runs one. */
  readonly line: Run[]
  isBusy: boolean
  timerAt: Millis | undefined
  isUp: boolean
}

class Mesh {
  readonly clock = new Clockwork()
  readonly nodes: Node[]
  readonly session = new Session()
  readonly #byId = new Map<PeerId, Node>()
  readonly #sizes = new Map<string, number>()
  messages = 0
  bytes = 0
  outcomes = 0
  /** Nodes that know that the dead one is gone. */
  readonly mourners = new Set<PeerId>()
  dead: PeerId | undefined
  misjudged = 0
  readonly #random: Random

  constructor(count: number, reach: Reach) {
    const random = seededRandom(count)
    this.#random = random.fork('mesh')
    this.nodes = Array.from({ length: count }, (_, i) => {
      const id = `peer${i.toString().replaceAll('0', 'z')}` as PeerId
      const me = {
        peer: id,
        addresses: [`/ip4/10.0.0.1/tcp/4001/p2p/${id}`],
        boot: 1,
        storeId: 'store',
        slots: 1,
        isKeeper: true,
        isLeaving: false,
        zone: '',
        labels: [],
        resources: [],
        sources: [],
        version: '0',
        incarnation: 0,
        isFull: false
      }
      const core = new NodeCore({ me, random: random.fork(id), now: 0, reach })
      const links = { peers: new Set<PeerId>(), dials: new Set<PeerId>() }
      return { id, core, ...links, line: [], isBusy: false, timerAt: undefined, isUp: true }
    })
    for (const node of this.nodes) this.#byId.set(node.id, node)
  }

  /** All start, and each knows the addresses of a few that started before it. */
  start(): void {
    for (const [i, node] of this.nodes.entries()) {
      this.clock.after((startMs * i) / this.nodes.length, () => {
        this.step(node, { kind: 'restored' })
        for (let k = 0; k < Math.min(seeds, i); k++) {
          const peer = (this.nodes[this.#random.below(i)] as Node).id
          this.step(node, { kind: 'peer-found', peer, addresses: [`/sim/${peer}`] })
        }
      })
    }
  }

  #dial(from: Node, to: PeerId): void {
    if (from.dials.has(to)) return
    from.dials.add(to)
    this.clock.after(dialMs, () => {
      from.dials.delete(to)
      const target = this.#byId.get(to)
      if (target === undefined || !target.isUp || from.peers.has(to)) return
      from.peers.add(to)
      target.peers.add(from.id)
      this.step(from, { kind: 'peer-connected', peer: to, addresses: [`/sim/${to}`] })
      this.step(target, { kind: 'peer-connected', peer: from.id, addresses: [`/sim/${from.id}`] })
    })
  }

  #drop(from: Node, to: PeerId): void {
    if (!from.peers.delete(to)) return
    this.clock.after(0, () => this.step(from, { kind: 'peer-disconnected', peer: to }))
    this.clock.after(latencyMs, () => {
      const target = this.#byId.get(to)
      if (target?.peers.delete(from.id)) this.step(target, { kind: 'peer-disconnected', peer: from.id })
    })
  }

  #publish(from: Node, message: GossipMessage): void {
    const others = this.nodes.length - 1
    const sends = this.nodes.length * Math.min(fanOut, others)
    this.messages += sends
    this.bytes += sends * gossipMessages.encode(message).byteLength
    for (const node of this.nodes) {
      if (node === from) continue
      const away = 1 + this.#random.below(hops)
      this.clock.after(latencyMs * away, () => this.step(node, { kind: 'gossiped', from: from.id, message }))
    }
  }

  step(node: Node, input: CoreInput): void {
    if (!node.isUp) return
    const effects = node.core.step(input, this.clock.now)
    const frames = new Map<PeerId, PeerMessage[]>()
    for (const effect of effects) this.#perform(node, effect, frames)
    for (const [to, messages] of frames) {
      this.messages++
      const target = this.#byId.get(to)
      this.clock.after(latencyMs, () => {
        if (target !== undefined) this.step(target, { kind: 'received', from: node.id, messages })
      })
    }
    this.#setTimer(node)
  }

  #perform(node: Node, effect: CoreEffect, frames: Map<PeerId, PeerMessage[]>): void {
    switch (effect.kind) {
      case 'send': {
        if (!node.peers.has(effect.to)) return
        const before = frames.get(effect.to)
        if (before === undefined) frames.set(effect.to, [effect.message])
        else before.push(effect.message)
        this.bytes += this.#size(effect.message)
        return
      }
      case 'reply':
        return this.#tell(effect.message)
      case 'persist':
        this.clock.after(syncMs, () => this.step(node, { kind: 'persisted', upTo: effect.id }))
        return
      case 'run':
        node.line.push(effect)
        return this.#work(node)
      case 'note':
        if (!effect.text.endsWith(' is down')) return
        if (effect.text === `${this.dead} is down`) this.mourners.add(node.id)
        else this.misjudged++
        return
      case 'dial':
        return this.#dial(node, effect.peer)
      case 'drop-peer':
        return this.#drop(node, effect.peer)
      case 'publish':
        return this.#publish(node, effect.message)
      default:
        return
    }
  }

  /** What nodes say of themselves is as long as the last of its kind. */
  #size(message: PeerMessage): number {
    const isCommon = message.kind in routingKinds || message.kind === 'claim'
    const others = 'others' in message ? message.others.length : 0
    const news = 'doubts' in message ? `${message.members.length} ${message.doubts.length}` : ''
    const name = `${message.kind} ${others} ${news}`
    const known = isCommon ? this.#sizes.get(name) : undefined
    if (known !== undefined) return known
    const size = peerMessages.encode(message).byteLength + 4
    if (isCommon) this.#sizes.set(name, size)
    return size
  }

  #work(node: Node): void {
    const run = node.line[0]
    if (run === undefined || node.isBusy) return
    node.isBusy = true
    const { indexes } = run.inputs
    this.clock.after(taskMs * indexes.length, () => {
      node.isBusy = false
      node.line.shift()
      const header = { status: STATUS.ok, slot: 0, attempt: run.attempt, elapsedMs: taskMs, startedAt: 0 }
      const outcomes = pack(
        '',
        indexes,
        [...indexes].map(() => encodeOutcome(header, new Uint8Array(16)))
      )
      this.step(node, { kind: 'ended', run: run.run, outcomes, done: true })
      this.#work(node)
    })
  }

  #tell(message: EntryMessage): void {
    const parsed = entryMessages.parse(entryMessages.encode(message))
    this.clock.after(latencyMs, () => this.perform(this.session.message(parsed, this.clock.now)))
  }

  perform(effects: readonly SessionEffect[]): void {
    const [entry] = this.nodes
    for (const effect of effects) {
      if (effect.kind === 'outcomes') this.outcomes += effect.outcomes.indexes.length
      if (effect.kind !== 'send' || entry === undefined) continue
      const messages = [effect.message]
      this.clock.after(latencyMs, () => this.step(entry, { kind: 'client-said', client, messages }))
    }
  }

  #setTimer(node: Node): void {
    const at = node.core.wakeAt()
    if (at === undefined || (node.timerAt !== undefined && node.timerAt <= at)) return
    const due = Math.max(at, this.clock.now + 1)
    node.timerAt = due
    this.clock.after(due - this.clock.now, () => {
      if (node.timerAt !== due) return
      node.timerAt = undefined
      this.step(node, { kind: 'wake' })
    })
  }

  until(isDone: () => boolean, within: Millis): void {
    const end = this.clock.now + within
    while (!isDone() && this.clock.tick(end));
  }
}

export function measureScale(
  nodes: number,
  tasks: number,
  onNote: (text: string) => void,
  reach: Reach = usualReach
): Scale {
  const started = performance.now()
  const mesh = new Mesh(nodes, reach)
  const perNode = (count: number, ms: Millis): number => Math.round(count / nodes / (ms / 1_000))
  const during = (run: () => void): { ms: Millis; messages: number; bytes: number } => {
    const before = { at: mesh.clock.now, messages: mesh.messages, bytes: mesh.bytes }
    run()
    const ms = mesh.clock.now - before.at
    return {
      ms,
      messages: perNode(mesh.messages - before.messages, ms),
      bytes: perNode(mesh.bytes - before.bytes, ms)
    }
  }
  mesh.start()
  mesh.until(() => false, startMs)
  const knowing = during(() =>
    mesh.until(() => mesh.nodes.every(({ core }) => core.membership.peerCount === nodes - 1), 120_000)
  )
  const up = mesh.nodes.filter(({ core }) => core.membership.peerCount === nodes - 1).length
  onNote(`${up} of ${nodes} nodes know all others, ${knowing.ms} ms after the last one started`)
  // What was new is old by then.
  mesh.until(() => false, calmMs)
  const rest = during(() => mesh.until(() => false, restMs))
  onNote(`at rest: ${rest.messages} messages and ${rest.bytes} bytes per node and second`)
  const work = during(() => submit(mesh, tasks))
  onNote(`at work: ${work.messages} messages and ${work.bytes} bytes per node and second, ${work.ms} ms`)
  const victim = mesh.nodes.at(-1)
  const death = during(() => {
    if (victim === undefined) return
    mesh.dead = victim.id
    victim.isUp = false
    mesh.until(() => mesh.mourners.size >= nodes - 1, 60_000)
  })
  return {
    nodes,
    tasks: mesh.outcomes,
    knownMs: Math.round(knowing.ms),
    restMessages: rest.messages,
    restBytes: rest.bytes,
    workMessages: work.messages,
    workBytes: work.bytes,
    deathMs: Math.round(death.ms),
    misjudged: mesh.misjudged,
    makespanMs: Math.round(work.ms),
    idealMs: Math.ceil(tasks / nodes) * taskMs,
    seconds: Number(((performance.now() - started) / 1_000).toFixed(1))
  }
}

function submit(mesh: Mesh, tasks: number): void {
  const [entry] = mesh.nodes
  if (entry === undefined) return
  const job = 'job-scale' as JobId
  mesh.step(entry, { kind: 'client-connected', client })
  mesh.perform(mesh.session.attached(mesh.clock.now))
  const header = headerOf({ job, name: 'scale', exportName: 'scale', code: 'c'.repeat(43) as Digest })
  mesh.perform(mesh.session.begin(header, { wanted: 3, least: 3 }))
  for (let first = 0; first < tasks; first += shardTasks) {
    const count = Math.min(shardTasks, tasks - first)
    const indexes = Array.from({ length: count }, (_, at) => at)
    const inputs = pack(
      '',
      indexes,
      indexes.map(() => new Uint8Array(16))
    )
    mesh.perform(mesh.session.add(job, inputs, first + count === tasks))
  }
  mesh.until(() => mesh.outcomes >= tasks, 600_000)
}
