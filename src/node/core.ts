/**
 * A node minus the world: routes inputs to the machines, and one machine's effect to the next one's input.
 *
 * Not here: any policy (routing/, tasks/), and any clock, socket or disk (driver.ts, or the simulator).
 * Keep it a switchboard. Messages to oneself never leave it; what may only be said after a write waits for that write.
 */
import { Cells } from '../cells/cells.ts'
import { isCellQuestion } from '../cells/client-messages.ts'
import type { CellEffect } from '../cells/effects.ts'
import { type CellMessage, isAboutCell, isCellRecord } from '../cells/messages.ts'
import type { ClientMessage } from '../client/protocol.ts'
import type { DataEffect } from '../data/effects.ts'
import { type DataMessage, isAboutData } from '../data/messages.ts'
import type { ClientId, DataId, PeerId, ShardKey } from '../ids.ts'
import { assert, earlier, type Machine, type Millis } from '../machine.ts'
import { Board } from '../routing/board.ts'
import type { MembershipEffect } from '../routing/effects.ts'
import { usualReach } from '../routing/links.ts'
import { Membership } from '../routing/membership.ts'
import { isAboutSource, isSourceQuestion } from '../routing/source-messages.ts'
import { surroundingsOf } from '../routing/surroundings.ts'
import type { TaskEffect } from '../tasks/effects.ts'
import { Entry, type EntryEffect } from '../tasks/entry.ts'
import { bindingKinds, Keeper } from '../tasks/keeper.ts'
import type { TaskMessage } from '../tasks/messages.ts'
import { Owner } from '../tasks/owner.ts'
import { Release } from '../tasks/release.ts'
import { Runner } from '../tasks/runner.ts'
import { settlesWithinMs } from '../tasks/search.ts'
import { Upkeep } from '../tasks/upkeep.ts'
import { AfterWrites } from './after.ts'
import { Desk } from './desk.ts'
import { Doorstep } from './doorstep.ts'
import type { CoreEffect, CoreInput } from './effects.ts'
import { Leftovers } from './leftovers.ts'
import type { GossipMessage, PeerMessage } from './messages.ts'
import { reportsOf } from './report.ts'
import { type CoreOptions, defaultQuota, keeperReplaceAfterMs, type Quota, refillBelow } from './settings.ts'
import { type SourceInput, Sources } from './sources.ts'
import { Stock } from './stock.ts'
import { worldly } from './worldly.ts'

/** Messages to oneself in one step; more is a loop. */
const ownMessagesMax = 1_000_000

/** What is done about a question. */
type Answering = Exclude<CoreEffect, { kind: 'persist' }>
/** What a node says to itself. */
type OwnMessage = TaskMessage | DataMessage | CellMessage

export class NodeCore implements Machine<CoreInput, CoreEffect> {
  readonly self: PeerId
  readonly membership: Membership
  readonly keeper: Keeper
  readonly owner: Owner
  readonly runner: Runner
  readonly entry: Entry
  readonly release: Release
  readonly stock: Stock
  readonly cells: Cells
  readonly leftovers: Leftovers
  readonly #upkeep: Upkeep
  readonly #board: Board
  readonly #desk: Desk
  readonly #sources: Sources
  readonly #disk: AfterWrites
  readonly #doorstep: Doorstep
  readonly #quota: Quota
  readonly #inbox: OwnMessage[] = []
  #now: Millis = 0
  #effects: CoreEffect[] = []

  constructor(options: CoreOptions) {
    const { me, random, now, replaceAfterMs = keeperReplaceAfterMs, disk = 'sound' } = options
    const { reach = usualReach, room = () => Number.POSITIVE_INFINITY } = options
    this.#quota = options.quota ?? defaultQuota
    this.self = me.peer
    this.#disk = new AfterWrites(disk)
    this.keeper = new Keeper(me.peer, options.rewriteAboveBytes, options.openShardsMax)
    this.membership = new Membership(me, random.fork('membership'), now, reach)
    const around = surroundingsOf(this.membership, replaceAfterMs, random.fork('seek'))
    const holders = (id: DataId): ReadonlySet<PeerId> => this.stock.holders(id)
    const keeping = { ...around, keeper: this.keeper, holders }
    this.owner = new Owner(keeping, random.fork('owner'))
    this.#doorstep = new Doorstep(this.membership, this.owner.leads)
    if (!this.#disk.isSound) this.owner.retire()
    const aloneAt = now + (options.meetsWithinMs ?? 0)
    this.entry = new Entry({ ...around, room }, Math.min(aloneAt, now + settlesWithinMs))
    this.release = new Release(around)
    this.#upkeep = new Upkeep({ ...keeping, release: this.release }, random.fork('reconcile'), now)
    this.stock = new Stock(around, this.keeper, this.#quota.data)
    const isSound = (): boolean => this.#disk.isSound
    this.cells = new Cells({ ...around, boot: me.boot, isSound, aloneAt }, random.fork('cells'))
    const { self, membership, keeper, release } = this
    const reports = reportsOf(this, () => ({ disk: this.#disk.state, now: this.#now }))
    this.#desk = new Desk({ self, membership, keeper, release, reports })
    this.#sources = new Sources({ self, members: () => membership.members() })
    this.#board = new Board(around, reach, random.fork('claims'))
    const owners = (): readonly PeerId[] => [self, ...this.#board.whomToAsk(this.#now)]
    this.runner = new Runner({ ...keeping, slots: me.slots, me: () => membership.me, owners })
    this.leftovers = new Leftovers(this, this.#disk)
  }

  step(input: CoreInput, now: Millis): CoreEffect[] {
    this.#effects = []
    this.#apply(input, now)
    this.#drain(now)
    // What this node grants itself begins in this step, and what it then asks of itself is granted in it.
    for (let round = 0; round < 2 && (round === 0 || this.owner.hasNews); round++) {
      this.#task(this.owner.flush(now))
      this.#drain(now)
      this.#task(this.runner.flush(now))
      this.#drain(now)
    }
    this.#notice(now)
    this.#weigh()
    return this.#leaving(now)
  }

  wakeAt(): Millis | undefined {
    let at = earlier(this.membership.wakeAt(), this.owner.wakeAt(this.#now))
    at = earlier(at, this.runner.wakeAt())
    at = earlier(at, this.entry.wakeAt())
    at = earlier(at, this.#upkeep.wakeAt())
    at = earlier(at, this.stock.wakeAt())
    at = earlier(at, this.cells.wakeAt())
    return earlier(at, this.#desk.wakeAt())
  }

  check(): void {
    this.membership.check()
    this.#board.check()
    this.#sources.check()
    this.#doorstep.check()
    this.keeper.check()
    this.owner.check()
    this.runner.check()
    this.entry.check()
    this.stock.check()
    this.cells.check()
    assert(this.#inbox.length === 0, 'messages to oneself are left over')
  }

  #apply(input: CoreInput, now: Millis): void {
    this.#now = now
    this.keeper.uptime.pass(now)
    switch (input.kind) {
      case 'restoring':
        for (const record of input.records)
          if (isCellRecord(record)) this.cells.restore(record)
          else this.keeper.restore(record)
        return
      case 'restored':
        for (const part of [this.#upkeep, this.stock, this.cells]) this.#task(part.restored(now))
        return this.owner.restored(now)
      case 'peer-found':
        return this.#member(this.membership.found(input.peer, input.addresses, now), now)
      case 'peer-connected':
        this.#member(this.membership.connected(input.peer, input.addresses, now), now)
        return void this.#effects.push(...this.#doorstep.take(input.peer))
      case 'peer-disconnected':
        this.#effects.push(...this.#sources.peerGone(input.peer))
        return this.#member(this.membership.disconnected(input.peer, now), now)
      case 'received':
        for (const message of input.messages) this.#receive(input.from, message, now)
        return
      case 'gossiped':
        return this.#gossip(input.from, input.message, now)
      case 'client-connected':
        return this.#welcome(input.client)
      case 'client-disconnected':
        this.#effects.push(...this.#sources.clientGone(input.client))
        this.#task(this.cells.clientGone(input.client))
        return this.#task(this.entry.clientGone(input.client))
      case 'client-said':
        for (const message of input.messages) this.#clientSaid(input.client, message, now)
        return
      case 'persisted':
        return this.#task(this.#disk.done(input.upTo))
      case 'persist-failed':
        return this.#diskFailed(input.reason, now)
      case 'ended':
      case 'said':
      case 'engine-lost':
      case 'recalled':
      case 'parked':
      case 'resumed':
        return this.#task(this.runner.heard(input, now))
      case 'addresses-changed':
        return this.#member(this.membership.change({ addresses: [...input.addresses] }), now)
      case 'slowed':
        return this.#member(this.membership.slowed(input.delayMs, now), now)
      case 'source-offered':
      case 'source-gave':
      case 'source-over':
        return this.#source(input, now)
      case 'availability-changed':
        return this.#task(this.runner.attend(input))
      case 'leave':
        return this.#leave(input.runs, now)
      case 'wake':
        return this.#wake(now)
      default:
        return this.#task(this.stock.input(input, now))
    }
  }

  #leave(runs: 'finish' | 'give back', now: Millis): void {
    if (!this.membership.me.isLeaving) this.#member(this.membership.change({ isLeaving: true }), now)
    this.stock.leave()
    // What was not begun here is back before it is handed over, so that its next run is its first.
    this.#task(this.runner.leave())
    this.#drain(now)
    this.#task(this.owner.leave(now))
    if (runs === 'give back') this.#task(this.runner.giveBack())
  }

  #wake(now: Millis): void {
    this.#member(this.membership.wake(now), now)
    this.#doorstep.wake(now)
    this.#task(this.owner.wake(now))
    this.#task(this.runner.wake(now))
    this.#task(this.entry.wake(now))
    this.#task(this.#upkeep.wake(now))
    this.#task(this.#desk.wake(now))
    this.#task(this.stock.wake(now))
    this.#task(this.cells.wake(now))
  }

  #receive(from: PeerId, message: PeerMessage, now: Millis): void {
    switch (message.kind) {
      case 'hello':
        return this.#member(this.membership.greeted(from, message, now), now)
      case 'heartbeat':
        return this.membership.heartbeat(from, now, message.delayMs)
      case 'ping':
      case 'pong':
      case 'ping-for':
      case 'roll':
      case 'roster':
      case 'rest':
        return this.#member(this.membership.message(from, message, now), now)
      case 'ask':
        return this.#task(this.#desk.asked(from, message.ask, message.what, message.about))
      case 'told':
        return this.#task(this.#desk.told(from, message.ask, message.json))
      default:
        this.membership.heartbeat(from, now)
        this.membership.used(from, now)
        if (isAboutSource(message)) this.#effects.push(...this.#sources.peer(from, message))
        else this.#hear(from, message, now)
    }
  }

  #hear(from: PeerId, message: OwnMessage, now: Millis): void {
    if (isAboutCell(message)) this.#task(this.cells.message(from, message, now))
    else if (isAboutData(message)) {
      this.#task(this.stock.message(from, message, now))
      // Tasks may wait for whoever has their data.
      if (message.kind === 'held') this.owner.look()
    } else this.#taskMessage(from, message, now)
  }

  /** Each kind concerns some of the machines; the others ignore it. */
  #taskMessage(from: PeerId, message: TaskMessage, now: Millis): void {
    if (!this.#disk.isSound && bindingKinds.has(message.kind)) return
    const listOf = (key: ShardKey): number => this.keeper.record(key)?.list ?? -1
    const before = message.kind === 'store' ? listOf(message.record.key) : 0
    this.#task(this.keeper.step(from, message))
    this.#task(this.stock.recorded(message, now))
    if (message.kind === 'store' && listOf(message.record.key) > before) this.owner.kept(from, message, now)
    this.#task(this.owner.message(from, message, now))
    this.#task(this.runner.message(from, message, now))
    if (message.kind === 'grant') this.#board.gave(from)
    this.#task(this.#upkeep.message(from, message, now))
    this.#task(this.entry.message(from, message, now))
    if (message.kind === 'forgotten') this.#task(this.#desk.forgotten(from, message.name, now))
  }

  #gossip(from: PeerId, message: GossipMessage, now: Millis): void {
    if (message.kind === 'work') this.#board.note(from, message.waiting, now)
    else this.#member(this.membership.announced(message, now), now)
  }

  #clientSaid(client: ClientId, message: ClientMessage, now: Millis): void {
    if (isSourceQuestion(message)) this.#effects.push(...this.#sources.client(client, message))
    else if (isCellQuestion(message)) this.#task(this.cells.client(client, message, now))
    else if (message.kind !== 'query') this.#task(this.entry.client(client, message, now))
    else this.#task(this.#desk.query(client, message, now))
  }

  #source(input: SourceInput, now: Millis): void {
    const before = this.#sources.names.length
    this.#effects.push(...this.#sources.step(input))
    const { names } = this.#sources
    if (names.length !== before) this.#member(this.membership.change({ sources: names }), now)
  }

  /** A node that keeps as much as it may takes nothing more, until some of it is forgotten. */
  #weigh(): void {
    const { isFull } = this.membership.me
    const share = isFull ? refillBelow : 1
    const { bytes, size } = this.keeper
    const isOver =
      bytes > share * this.#quota.bytes || size >= share * this.#quota.shards || this.stock.isFull(share)
    if (isOver !== isFull) this.#member(this.membership.change({ isFull: isOver }), this.#now)
  }

  #welcome(client: ClientId): void {
    const others = this.membership.members().flatMap(({ addresses }) => addresses.slice(0, 4))
    const message = { kind: 'welcome', peer: this.self, others: others.slice(0, 64) } as const
    this.#effects.push({ kind: 'reply', client, message })
  }

  #member(effects: readonly MembershipEffect[], now: Millis): void {
    for (const effect of effects) {
      if (effect.kind === 'peer-down') this.#peerDown(effect.peer, now)
      else if (effect.kind === 'peer-up') {
        this.#effects.push({ kind: 'note', text: `${effect.peer} is up` })
        this.#task(this.owner.peerUp(effect.peer, now))
        this.#task(this.#upkeep.peerUp(effect.peer, now))
        this.#task(this.entry.peerUp(effect.peer))
        this.stock.peerUp(effect.peer, now)
        this.#task(this.cells.peerUp(effect.peer, now))
      } else this.#effects.push(worldly(effect, this.membership, this.membership.slowness(now)))
    }
  }

  /** What leaves in this step. What is for members without a stream waits until there is one. */
  #leaving(now: Millis): CoreEffect[] {
    const leaving: CoreEffect[] = []
    while (this.#effects.length > 0) {
      const effects = this.#effects
      this.#effects = []
      for (const peer of this.#doorstep.sort(effects, leaving, now))
        this.#member(this.membership.reach(peer, now), now)
    }
    return leaving
  }

  #peerDown(peer: PeerId, now: Millis): void {
    this.#effects.push({ kind: 'note', text: `${peer} is down` })
    this.#doorstep.drop(peer)
    this.#board.forget(peer)
    this.#effects.push(...this.#sources.peerGone(peer))
    this.#task(this.owner.peerDown(peer, now))
    this.#task(this.runner.peerDown(peer, now))
    this.#task(this.entry.peerDown(peer, now))
    this.#task(this.cells.peerDown(peer, now))
    this.#task(this.#desk.peerDown(peer))
  }

  /** What the machines ask of the world. What they say to this node itself stays here. */
  #task(effects: readonly (TaskEffect | EntryEffect | DataEffect | CellEffect | Answering)[]): void {
    for (const effect of effects) {
      if (effect.kind === 'persist') this.#effects.push(...this.#disk.write(effect))
      else if (effect.kind === 'send' && effect.to === this.self)
        this.#inbox.push(effect.message as OwnMessage)
      else this.#effects.push(effect)
    }
  }

  /** A keeper that cannot write says nothing more as a keeper; the mesh goes on with the others. */
  #diskFailed(reason: string, now: Millis): void {
    if (!this.#disk.isSound) return
    const text = this.#disk.fail(reason)
    this.owner.retire()
    this.#effects.push({ kind: 'note', text })
    this.#member(this.membership.change({ isKeeper: false }), now)
  }

  /** Delivers what the machines of this node said to each other. */
  #drain(now: Millis): void {
    if (this.#inbox.length === 0) return
    // What is said meanwhile comes behind it.
    for (const [at, message] of this.#inbox.entries()) {
      this.#hear(this.self, message, now)
      assert(at < ownMessagesMax, 'a node talks to itself without end')
    }
    this.#inbox.length = 0
  }

  #notice(now: Millis): void {
    if (this.owner.leads.size === 0 || !this.#board.mayTell(now) || this.owner.dealer.left === 0) return
    const waiting = this.owner.waiting(now)
    if (waiting === 0) return
    this.#board.told(now)
    this.#effects.push({ kind: 'publish', message: { kind: 'work', waiting } })
  }
}
