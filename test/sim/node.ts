/**
 * One simulated node: the real core, with a disk, engines, a clock and an event loop of its own that all may fail.
 *
 * Not here: the network between nodes (network.ts), and what goes wrong when (acts.ts). A restart keeps the disk and forgets
 * everything else; a lost disk takes the node's name along, because its key was on it.
 */
import type { ClientId, DataId, PeerId, ShardKey } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { NodeCore } from '../../src/node/core.ts'
import type { CoreEffect, CoreInput, DiskRecord } from '../../src/node/effects.ts'
import { hash32, type Random, seededRandom } from '../../src/random.ts'
import { Awaited } from '../../src/tasks/awaited.ts'
import type { Availability, Run } from '../../src/tasks/effects.ts'
import { Disk } from './disk.ts'
import { Engines } from './engines.ts'
import type { DiskFate, HostPlan } from './plan.ts'
import type { World } from './world.ts'

/** Inputs that wait for a node that stands still; beyond it the network would hold them back. */
const waitingMax = 20_000
/** A timer that fires this late means, to the real driver, that the node is slow. */
const lateMs = 100

export class SimNode {
  id: PeerId
  readonly plan: HostPlan
  readonly #world: World
  readonly #seed: number
  readonly #rooms: Random
  readonly #isNarrow: boolean
  readonly #random: Random
  core: NodeCore | undefined
  /** Counts lives, so that what belongs to an earlier one is ignored. */
  life = 0
  /** Counts disks: each has a name of its own. */
  names = 1
  #disk = new Disk()
  #engines: Engines | undefined
  #isSyncing = false
  #hasFailed = false
  #isFull = false
  #written = 0
  #timerAt: Millis | undefined
  #steppedMs: Millis = 0
  #pausedUntil: Millis = 0
  #busyUntil: Millis = 0
  #waiting: CoreInput[] = []
  #isDraining = false
  readonly clients = new Set<ClientId>()
  /** Runs whose data is being brought, and what of them was cancelled meanwhile. */
  readonly #awaited = new Awaited()
  /** Data on its disk, all of it synced. */
  data = new Set<DataId>()

  constructor(plan: HostPlan, world: World, seed: number) {
    this.id = plan.name as PeerId
    this.plan = plan
    this.#world = world
    this.#seed = hash32(`${seed} ${plan.name}`)
    this.#random = seededRandom(this.#seed)
    this.#rooms = seededRandom(hash32(`${seed} rooms`))
    this.#isNarrow = this.#rooms.chance(0.15)
  }

  /** In some worlds clients read slowly, and now and then have room for nothing more. */
  readonly #room = (): number => {
    return this.#isNarrow && this.#rooms.chance(0.7) ? 0 : Number.POSITIVE_INFINITY
  }

  get isRunning(): boolean {
    return this.core !== undefined
  }

  /** False while it stands still: a dial then waits for ever. */
  get isAnswering(): boolean {
    return this.core !== undefined && this.#pausedUntil <= this.#world.clock.now
  }

  get busyWith(): readonly ShardKey[] {
    return this.#engines?.busyWith ?? []
  }

  get isLeaving(): boolean {
    return this.core?.membership.me.isLeaving === true
  }

  /** True if it has said that it keeps no more shards. */
  get hasBadDisk(): boolean {
    return this.#hasFailed || this.#isFull
  }

  /** This node's own clock. */
  get now(): Millis {
    return this.#world.clock.now * this.plan.rate + this.#steppedMs
  }

  start(): void {
    this.life++
    const me = {
      peer: this.id,
      addresses: [`/sim/${this.id}`],
      boot: this.life,
      storeId: `store${this.names}`,
      slots: this.plan.slots,
      isKeeper: true,
      isLeaving: false,
      isFull: false,
      zone: '',
      labels: this.plan.labels,
      resources: this.plan.resources,
      sources: [],
      version: '0',
      incarnation: 0
    }
    const { replaceAfterMs, reach } = this.#world.plan
    const random = seededRandom(this.#seed + this.life)
    const room = this.#room
    this.core = new NodeCore({
      me,
      random,
      now: this.now,
      replaceAfterMs,
      rewriteAboveBytes: 100,
      openShardsMax: 1,
      reach,
      room
    })
    const { life } = this
    const report = (input: CoreInput): void => {
      if (this.life === life) this.step(input)
    }
    this.#engines = new Engines(
      this.#world,
      { name: this.id, traits: me, report },
      this.plan.slots,
      this.#random
    )
    this.#written = 0
    this.#isSyncing = false
    this.#hasFailed = false
    this.#isFull = false
    this.#timerAt = undefined
    this.#pausedUntil = 0
    this.#waiting = []
    this.#isDraining = false
    this.#awaited.clear()
    const records = this.#disk.read()
    // By luck, more may have reached the disk than was synced.
    for (const record of records) this.#synced(record)
    this.#apply({ kind: 'data-here', ids: [...this.data], isRestored: true })
    const half = records.length >> 1
    for (const part of [records.slice(0, half), records.slice(half)])
      this.#apply({ kind: 'restoring', records: part })
    this.#apply({ kind: 'restored' })
  }

  /** Whoever starts this node again finds its disk as `fate` says. True if the disk was lost. */
  crash(fate: DiskFate): boolean {
    this.core = undefined
    this.life++
    this.#engines?.stop()
    this.clients.clear()
    this.#waiting = []
    if (this.#disk.crash(fate, this.#random)) return false
    this.#disk = new Disk()
    this.data = new Set()
    this.id = `${this.plan.name}${++this.names}` as PeerId
    return true
  }

  pause(lasts: Millis): void {
    if (this.core === undefined) return
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#world.clock.now + lasts)
    const { life } = this
    this.#world.clock.after(lasts, () => {
      if (this.life === life) this.#drain()
    })
  }

  /** Whether its owner leaves this machine to the mesh; `stops` whether engines stand still if not. */
  attend(availability: Availability, stops: boolean): void {
    if (this.core === undefined) return
    this.#engines?.suspend(stops && availability !== 'open')
    this.step({ kind: 'availability-changed', availability })
  }

  /** For so long, clients that submit are asked to wait. */
  refuse(lasts: Millis): void {
    this.#busyUntil = this.#world.clock.now + lasts
  }

  get isBusy(): boolean {
    return this.#busyUntil > this.#world.clock.now
  }

  /** Ends a pause. */
  goOn(): void {
    this.#pausedUntil = 0
    this.#busyUntil = 0
    this.#drain()
  }

  /** Its clock jumps ahead, as after a sleep of the whole machine. */
  stepClock(by: Millis): void {
    this.#steppedMs += by
    this.#timerAt = undefined
    this.#setTimer()
  }

  /** No write succeeds any more, until a restart. */
  fillDisk(): void {
    this.#isFull = true
  }

  step(input: CoreInput): void {
    if (this.core === undefined) return
    const isLate = this.#pausedUntil > this.#world.clock.now
    if (!isLate && this.plan.loopMs === 0 && this.#waiting.length === 0) return this.#apply(input)
    this.#waiting.push(input)
    this.#world.bound(`inputs that wait at ${this.id}`, this.#waiting.length, waitingMax)
    if (!isLate) this.#drainSoon()
  }

  #drainSoon(): void {
    if (this.#isDraining) return
    this.#isDraining = true
    const { life } = this
    this.#world.clock.after(this.#random.next() * this.plan.loopMs, () => {
      if (this.life !== life) return
      this.#isDraining = false
      this.#drain()
    })
  }

  /** Timers first, as in a real event loop, then everything that came meanwhile. */
  #drain(): void {
    if (this.core === undefined || this.#pausedUntil > this.#world.clock.now) return
    const late = this.now - (this.#timerAt ?? Number.POSITIVE_INFINITY)
    if (late >= 0) this.#wake(late)
    const inputs = this.#waiting
    this.#waiting = []
    for (const input of inputs) this.#apply(input)
  }

  #apply(input: CoreInput): void {
    const { core } = this
    if (core === undefined) return
    const effects = core.step(input, this.now)
    this.#world.stepped(this, input, effects)
    for (const effect of effects) this.#perform(effect)
    this.#setTimer()
  }

  #perform(effect: CoreEffect): void {
    switch (effect.kind) {
      case 'send':
        return this.#world.network.send(this, effect.to, effect.message)
      case 'reply':
        return this.#world.reply(this, effect.client, effect.message)
      case 'persist':
        this.#disk.write(effect)
        this.#written = effect.id
        return this.#sync()
      case 'run':
        this.#world.checkers.isOpen(this.id, this.core?.runner.attendance.availability)
        this.#world.goods.begun(effect.inputs)
        return this.#provide(effect)
      case 'cancel-run':
        if (this.#awaited.has(effect.run)) return this.#soon(this.#awaited.cancel(effect.run, effect.indexes))
        return this.#engines?.cancel(effect.run, effect.indexes)
      case 'recall-run':
        if (this.#awaited.has(effect.run)) return this.#soon(this.#awaited.recall(effect.run))
        return this.#engines?.recall(effect.run)
      case 'dial':
        return this.#world.network.dial(this, effect.peer)
      case 'drop-peer':
        return this.#world.network.drop(this.id, effect.peer)
      case 'fetch-data':
      case 'drop-data':
      case 'data-kept':
      case 'data-refused':
        return this.#world.goods.perform(this, effect)
      case 'publish':
        return this.#world.publish(this, effect.message)
      default:
        return
    }
  }

  /** A run begins when its data is here. */
  #provide(run: Run): void {
    const lacking = this.#world.goods.lacking(this, run.inputs)
    if (lacking.length === 0) return this.#engines?.run(run)
    this.#awaited.add(run)
    this.#world.goods.bring(this, lacking, () => {
      const left = this.#awaited.take(run.run)
      if (left === undefined) return
      this.#world.checkers.isOpen(this.id, this.core?.runner.attendance.availability)
      this.#engines?.run(left)
    })
  }

  /** In a turn of its own. */
  #soon(input: CoreInput | undefined): void {
    const { life } = this
    if (input === undefined) return
    this.#world.clock.after(0, () => {
      if (this.life === life) this.step(input)
    })
  }

  #sync(): void {
    if (this.#isSyncing || this.#hasFailed) return
    this.#isSyncing = true
    const { life } = this
    const { clock, weather } = this.#world
    const slow = this.#random.chance(weather.slowDisk) ? weather.slowDiskMs : 3
    const fails = this.#isFull || this.#random.chance(weather.syncError)
    clock.after(0.2, () => {
      if (this.life !== life) return
      const [length, upTo] = [this.#disk.length, this.#written]
      clock.after(this.#random.next() * slow, () => {
        if (this.life !== life) return
        this.#isSyncing = false
        // What was to fail before the faults ended does not fail after them.
        if (fails && !this.#world.acts.isOver) {
          this.#hasFailed = true
          return this.step({ kind: 'persist-failed', reason: this.#isFull ? 'disk is full' : 'sync failed' })
        }
        const fresh = this.#disk.sync(length)
        for (const record of fresh) this.#synced(record)
        if (this.#disk.length > length) this.#sync()
        this.step({ kind: 'persisted', upTo })
      })
    })
  }

  #synced(record: DiskRecord): void {
    this.#world.checkers.durable.synced(this.id, record)
    this.#world.cells?.judge.synced(this.id, record)
  }

  #setTimer(): void {
    const at = this.core?.wakeAt()
    if (at === undefined || (this.#timerAt !== undefined && this.#timerAt <= at)) return
    const { clock } = this.#world
    const { life } = this
    const due = Math.max(at, this.now + 0.5)
    this.#timerAt = due
    clock.after((due - this.now) / this.plan.rate, () => {
      if (this.life !== life || this.#timerAt !== due) return
      // A node that stands still looks at its clock when it goes on.
      if (this.#pausedUntil > clock.now) return
      this.#wake(this.now - due)
    })
  }

  /** As the real driver does it. */
  #wake(late: Millis): void {
    this.#timerAt = undefined
    this.#apply({ kind: 'slowed', delayMs: late > lateMs ? late : 0 })
    this.#apply({ kind: 'wake' })
  }
}
