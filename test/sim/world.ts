/**
 * A whole mesh on one thread: real cores and real client sessions, a network and disks that fail as the plan says.
 *
 * Not here: what must be true (checkers.ts, verdicts.ts), what goes wrong (plan.ts, acts.ts). First faults and work together
 * (safety); then a sufficient part is healed for good, the rest stays broken, and everything must complete (liveness).
 * Every message between nodes and clients is encoded and parsed, and the trace of a seed is one number.
 */

import { isAboutCell } from '../../src/cells/messages.ts'
import {
  type ClientMessage,
  clientMessages,
  type EntryMessage,
  entryMessages
} from '../../src/client/protocol.ts'
import { type ClientId, isJobId, type JobId, type PeerId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import type { CoreEffect, CoreInput } from '../../src/node/effects.ts'
import { type GossipMessage, gossipMessages, type PeerMessage } from '../../src/node/messages.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import { matches } from '../../src/routing/match.ts'
import type { Placement } from '../../src/tasks/messages.ts'
import { Acts } from './acts.ts'
import { CellClients } from './cells.ts'
import { Checkers, Violation } from './checkers.ts'
import { type Attached, SimClient } from './client.ts'
import { Clockwork } from './clockwork.ts'
import { Fair } from './fair.ts'
import { Goods } from './goods.ts'
import { busy, headerOf, newJob, type SimJob } from './jobs.ts'
import { traitsOf } from './machines.ts'
import { Nests } from './nested.ts'
import { Network } from './network.ts'
import { SimNode } from './node.ts'
import { CALM, drawPlan, type HostPlan, type JobPlan, type Plan, type Weather } from './plan.ts'
import { Trace } from './trace.ts'
import { Verdicts } from './verdicts.ts'

/** After healing, everything must be complete by then, or as long a time have brought something. */
const settleMs = 240_000
/** So many times: a few engines that are left may have days of tasks before them, but not here. */
const settleTimes = 3

export interface WorldOptions {
  readonly plan?: Plan
  /** For people: what happens, in words. */
  readonly onNote?: (at: Millis, who: string, what: string) => void
  readonly onStep?: (at: Millis, who: string, input: CoreInput, effects: readonly CoreEffect[]) => void
}

export class World {
  readonly clock = new Clockwork()
  readonly checkers = new Checkers()
  readonly fair: Fair
  readonly nodes: SimNode[]
  readonly clients: SimClient[] = []
  /** Of all shards that were accepted, whoever submitted them. */
  readonly placements: Placement[] = []
  readonly network: Network
  readonly plan: Plan
  readonly acts: Acts
  readonly goods: Goods
  readonly cells: CellClients | undefined
  /** Clients of tasks. */
  readonly nests: Nests
  weather: Weather
  /** Stay broken when the others are healed. */
  readonly broken = new Set<SimNode>()
  /** Ends the solitude of those that reach nobody. */
  readonly #solitudes = new Map<SimNode, () => void>()
  readonly #byId = new Map<PeerId, SimNode>()
  readonly #random: Random
  readonly #onNote: WorldOptions['onNote']
  readonly #onStep: WorldOptions['onStep']
  readonly #trace = new Trace()
  #nonce = 0
  #jobs = 0
  readonly #plans = new Map<JobId, JobPlan>()

  constructor(seed: number, { plan = drawPlan(seed), onNote, onStep }: WorldOptions = {}) {
    const random = seededRandom(seed)
    this.#random = random.fork('world')
    this.plan = plan
    this.weather = plan.weather
    this.#onNote = onNote
    this.#onStep = onStep
    this.fair = new Fair(plan)
    this.network = new Network(this, random.fork('network'))
    this.goods = new Goods(this, random.fork('goods'))
    this.acts = new Acts(this, random.fork('acts'), plan.disksToLose)
    this.cells = CellClients.of(this, seededRandom(seed).fork('cells').fork('clients'))
    this.nests = new Nests(this, seededRandom(seed).fork('nests').fork('guests'))
    this.nodes = plan.hosts.map((host) => new SimNode(host, this, seed))
    for (const node of this.nodes) this.#byId.set(node.id, node)
  }

  /** Throws a Violation. Returns the trace: equal for equal seeds. */
  run(): number {
    const { plan, clock } = this
    for (const node of this.nodes) clock.after(node.plan.joinAt, () => this.join(node))
    for (let i = 0; i < plan.clients; i++) this.addClient(`client${i}`)
    for (const job of plan.jobs) clock.after(job.at, () => this.#submit(job))
    for (const { at, act } of plan.acts) clock.after(at, () => this.acts.happen(act))
    this.until(() => false, plan.troubleMs)
    this.#heal()
    const verdicts = new Verdicts(this, this.#random.fork('verdicts'))
    verdicts.cancelForTheDead()
    for (let before = -1, times = 0; this.checkers.outcomes > before && times < settleTimes; times++) {
      before = this.checkers.outcomes
      this.until(() => verdicts.areComplete(), settleMs)
      if (verdicts.areComplete()) break
    }
    verdicts.complete()
    verdicts.readAll()
    this.until(() => verdicts.isQuiet(), settleMs)
    verdicts.quiet()
    verdicts.stayQuiet()
    return this.#trace.sum
  }

  /** All that have an entry. */
  attached(): Attached[] {
    return [...this.clients, ...(this.cells?.all ?? []), ...this.nests.guests]
  }

  node(id: PeerId): SimNode | undefined {
    return this.#byId.get(id)
  }

  ids(): Iterable<PeerId> {
    return this.#byId.keys()
  }

  /** Nodes that clients can reach. */
  entries(): SimNode[] {
    return this.nodes.filter((node) => node.isRunning && !this.broken.has(node))
  }

  /** True if some tasks may run on no other node: then it keeps its name, and so its disk. */
  isTargeted({ name }: HostPlan): boolean {
    return this.plan.jobs.some(({ requires }) => requires.targets.some((one) => one.split('/')[0] === name))
  }

  planOf(job: JobId): JobPlan | undefined {
    return this.#plans.get(job)
  }

  /** What a job is like that no client is to submit. */
  planned(job: JobId, plan: JobPlan): void {
    this.#plans.set(job, plan)
  }

  taskMs(job: JobId): Millis {
    return this.#plans.get(job)?.taskMs ?? 1
  }

  isToBeCancelled(job: JobId): boolean {
    return this.checkers.isCancelled(job)
  }

  /** True if this job was accepted, and may still be asked for. */
  needsData(id: JobId): boolean {
    const job = this.job(id)
    return job !== undefined && !job.mayBeGone && !job.isCancelled && job.shards.some((one) => one.isAccepted)
  }

  isReleased(id: JobId): boolean {
    return this.job(id)?.isReleased === true
  }

  job(id: JobId): SimJob | undefined {
    return this.clients.flatMap(({ jobs }) => jobs).find((job) => job.id === id)
  }

  nonce(): number {
    return ++this.#nonce
  }

  trace(who: string, what: string, effects: number): void {
    this.#trace.add(this.clock.now, who, what, effects)
  }

  note(who: string, what: string): void {
    this.trace(who, what, 0)
    this.#onNote?.(this.clock.now, who, what)
  }

  tell(client: ClientId, what: 'accepted' | 'results' | 'complete', count: number): void {
    this.#onNote?.(this.clock.now, client, `${what} ${count}`)
    this.acts.heard(what)
  }

  bound(what: string, count: number, most: number): void {
    if (count > most) throw new Violation('bounded', `${count} ${what}`)
  }

  /** After every step of a node, before anything of it is done. */
  stepped(node: SimNode, input: CoreInput, effects: readonly CoreEffect[]): void {
    node.core?.check()
    this.fair.look(node)
    this.trace(node.id, input.kind, effects.length)
    this.#onStep?.(this.clock.now, node.id, input, effects)
    for (const effect of effects) {
      if (effect.kind === 'send') {
        const { message } = effect
        this.#lookForNext(message)
        if (isAboutCell(message)) this.cells?.judge.said(node.id, message)
        if (message.kind === 'store' && message.record.before.length > 0)
          this.acts.moves(node, message.record)
        if (message.kind === 'grant') this.checkers.granted(message)
        if (message.kind === 'forget') {
          if (!isJobId(message.name)) this.nests.letGo.add(message.name)
          else if (!this.#isReleased(message.name)) this.checkers.expired(message.name)
        }
        if (message.kind === 'awaited')
          this.checkers.awaited(message.key, message.outcomes, `by ${node.id} to ${effect.to}`)
        if (message.kind === 'committed')
          this.checkers.committed(message.key, message.outcomes, `by ${node.id} to ${effect.to}`)
      } else if (effect.kind === 'persist') {
        // Who alone keeps a shard says to nobody that it chose another list.
        for (const message of effect.messages) this.#lookForNext(message)
      } else if (effect.kind === 'reply') {
        const { message } = effect
        if (message.kind === 'results')
          this.checkers.committed(message.key, message.outcomes, `by ${node.id} to ${effect.client}`)
        if (message.kind === 'submitted') this.checkers.accepted(message.placement.key, message.copies)
      }
    }
  }

  #isReleased(job: JobId): boolean {
    return this.planOf(job)?.releaseAfter !== undefined
  }

  /** From an entry to a client: in order, and only on the stream on which it was said. */
  reply(node: SimNode, id: ClientId, message: EntryMessage): void {
    const client = this.attached().find((one) => one.streamId === id)
    if (client === undefined || client.entry !== node) return
    const { attachment } = client
    const bytes = entryMessages.encode(message)
    this.clock.after(0.3, () => {
      if (client.attachment === attachment) client.receive(entryMessages.parse(bytes))
    })
  }

  say(client: Attached, message: ClientMessage): void {
    const { attachment, entry } = client
    const bytes = clientMessages.encode(message)
    this.clock.after(0.3, () => {
      if (client.attachment !== attachment || entry === undefined) return
      const said = clientMessages.parse(bytes)
      if (said.kind === 'submit' && entry.isBusy) return this.reply(entry, client.streamId, busy(said))
      entry.step({ kind: 'client-said', client: client.streamId, messages: [said] })
    })
  }

  /** Gossip reaches some of those that it can reach, late. */
  publish(from: SimNode, message: GossipMessage): void {
    const bytes = gossipMessages.encode(message)
    const reached = this.network.reached(from.id)
    for (const node of this.nodes) {
      if (node === from || this.#random.chance(0.1 + this.weather.loss) || !reached.has(node.id)) continue
      this.clock.after(1 + this.#random.next() * 50, () => {
        if (!this.broken.has(node))
          node.step({ kind: 'gossiped', from: from.id, message: gossipMessages.parse(bytes) })
      })
    }
  }

  addClient(name: string): SimClient {
    const client = new SimClient(name as ClientId, this, this.#random.fork(name))
    this.clients.push(client)
    this.clock.after(150 + this.#random.next() * 300, () => client.attach())
    return client
  }

  join(node: SimNode): void {
    if (node.isRunning || this.broken.has(node)) return
    this.note(node.id, 'starts')
    node.start()
    for (const { id } of this.nodes) {
      if (id !== node.id) node.step({ kind: 'peer-found', peer: id, addresses: [`/sim/${id}`] })
    }
  }

  /** A node came out of an accident with another disk, and so under another name. */
  renamed(from: PeerId, node: SimNode): void {
    this.note(from, `will be ${node.id}`)
    this.#byId.delete(from)
    this.#byId.set(node.id, node)
  }

  until(isDone: () => boolean, within: Millis): void {
    const end = this.clock.now + within
    let lookAt = this.clock.now
    while (this.clock.tick(end)) {
      if (this.clock.now < lookAt) continue
      lookAt = this.clock.now + 250
      if (isDone()) return
    }
  }

  /** Chooses who stays broken: so few that every list that any disk knows keeps what it needs. */
  #heal(): void {
    this.acts.over()
    this.cells?.end()
    this.weather = CALM
    this.network.heal()
    if (this.plan.leavesBroken) for (const node of this.nodes) if (this.#canSpare(node)) this.broken.add(node)
    for (const node of this.nodes) {
      if (this.broken.has(node)) this.#break(node)
      else this.#mend(node)
    }
  }

  /** For good. */
  #mend(node: SimNode): void {
    node.goOn()
    node.attend('open', false)
    if (node.hasBadDisk || node.isLeaving) this.acts.crash(node, 'synced', false, undefined)
    this.join(node)
  }

  #canSpare(candidate: SimNode): boolean {
    const left = this.nodes.filter((node) => node !== candidate && !this.broken.has(node))
    if (this.cells?.judge.areEnough(left) === false || !this.goods.areEnough(left, this.acts.disksLost))
      return false
    // Who alone has what some tasks need is needed.
    const isNeeded = this.plan.jobs.some(
      ({ requires }) =>
        matches(requires, traitsOf(candidate.plan)) &&
        !left.some(({ plan }) => matches(requires, traitsOf(plan)))
    )
    if (isNeeded) return false
    const ids = new Set(left.map(({ id }) => id))
    const least = Math.max(...this.plan.jobs.map(({ copies }) => copies.least))
    if (left.length < least || left.every(({ plan }) => plan.slots === 0)) return false
    for (const keepers of this.checkers.durable.lists()) {
      const sound = keepers.filter((peer) => ids.has(peer)).length
      if (sound < neededOf(keepers)) return false
    }
    return true
  }

  /** For good: it is down, or can reach nobody and its clients go elsewhere. */
  #break(node: SimNode): void {
    if (this.#random.chance(0.5)) {
      if (node.isRunning) this.acts.crash(node, 'synced', this.#random.chance(0.5), undefined)
      return
    }
    this.#solitudes.set(node, this.network.isolate([node.id], this.ids()))
    // Those within its own tasks stay with it.
    const guests: ReadonlySet<unknown> = this.nests.guests
    for (const client of this.attached()) if (client.entry === node && !guests.has(client)) client.lose()
  }

  /** From now on, the list that is proposed may come to count. */
  #lookForNext(message: PeerMessage): void {
    const next = message.kind === 'accept' ? this.checkers.proposed(message) : undefined
    if (next !== undefined) this.suffice(next.keepers)
  }

  /** A list is chosen by those who do not yet know who stays broken: as many as it needs are healed after all. */
  suffice(keepers: readonly PeerId[]): void {
    for (const node of this.broken) {
      const sound = keepers.filter((peer) => {
        const keeper = this.node(peer)
        return keeper !== undefined && !this.broken.has(keeper)
      })
      if (sound.length >= neededOf(keepers) || !keepers.includes(node.id)) continue
      this.broken.delete(node)
      this.#solitudes.get(node)?.()
      this.clock.after(0, () => this.#mend(node))
    }
  }

  #submit(plan: JobPlan): void {
    const client = this.clients[plan.client]
    if (client?.session === undefined) return
    const id = `job-${String(++this.#jobs).padStart(6, '0')}` as JobId
    this.#plans.set(id, plan)
    if (plan.queueTimeoutMs > 0) this.checkers.hurried(id)
    const job = newJob(id, plan)
    if (job.mayBeGone || plan.releaseAfter !== undefined) this.checkers.graph.mayBeGone(id)
    this.goods.putAll(client, id, plan.data ?? 0, plan.copies, (data) => {
      job.data = data
      if (job.isCancelled) return
      client.submit(job, headerOf(id, plan, this.clock.now))
      if (plan.vanishes !== undefined) client.vanish(id, plan.vanishes)
    })
    this.note(client.id, `submits ${plan.shards.reduce((sum, count) => sum + count, 0)} tasks`)
    for (const { task, after } of plan.cancels ?? [])
      this.clock.after(after, () => client.cancelTask(job, task))
    if (plan.cancelAfter !== undefined) this.clock.after(plan.cancelAfter, () => client.cancel(job))
  }
}

/** Keepers that must be there for good: of two, both. */
const neededOf = ({ length }: readonly PeerId[]): number =>
  length <= 2 ? length : Math.floor(length / 2) + 1
