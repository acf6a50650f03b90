/**
 * One simulated node: the real core, with a disk that loses its unsynced end and engines that take virtual time.
 *
 * Not here: the network between nodes (world.ts). A restart keeps the disk and forgets everything else.
 */
import type { ClientId, PeerId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { NodeCore } from '../../src/node/core.ts'
import type { CoreEffect, CoreInput } from '../../src/node/effects.ts'
import { peerMessages } from '../../src/node/messages.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import { type Batch, encodeOutcome, pack, STATUS, valueAt } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import type { TaskMessage } from '../../src/tasks/messages.ts'
import type { World } from './world.ts'

interface SlotRun {
  readonly run: Run
  at: number
  readonly cancelled: Set<number>
}

export class SimNode {
  readonly id: PeerId
  readonly #world: World
  readonly #random: Random
  readonly #slots: number
  readonly #seed: number
  core: NodeCore | undefined
  /** Counts lives, so that what belongs to an earlier one is ignored. */
  life = 0
  /** Records in order; those before `synced` survive a crash. */
  #disk: Uint8Array[] = []
  #synced = 0
  #isSyncing = false
  #written = 0
  #timerAt: Millis | undefined
  #engines: SlotRun[][] = []
  readonly clients = new Set<ClientId>()

  constructor(id: PeerId, world: World, seed: number, slots: number) {
    this.id = id
    this.#world = world
    this.#seed = seed
    this.#slots = slots
    this.#random = seededRandom(seed)
  }

  get isRunning(): boolean {
    return this.core !== undefined
  }

  start(): void {
    this.life++
    const { clock } = this.#world
    const me = {
      peer: this.id,
      addresses: [`/sim/${this.id}`],
      boot: this.life,
      storeId: 'store',
      slots: this.#slots,
      isKeeper: true,
      isLeaving: false,
      isFull: false,
      zone: '',
      labels: [],
      version: '0'
    }
    const { replaceAfterMs } = this.#world
    this.core = new NodeCore({
      me,
      random: seededRandom(this.#seed + this.life),
      now: clock.now,
      replaceAfterMs
    })
    this.#engines = Array.from({ length: this.#slots }, () => [])
    this.#written = 0
    this.#isSyncing = false
    this.#timerAt = undefined
    const records = this.#disk.map((bytes) => peerMessages.parse(bytes) as TaskMessage)
    this.step({ kind: 'restored', records })
  }

  /** The disk keeps what was synced, and by chance some of what was not, in order. */
  crash(): void {
    this.core = undefined
    this.life++
    const luck = this.#random.below(this.#disk.length - this.#synced + 1)
    this.#disk.length = this.#synced + luck
    this.#synced = this.#disk.length
    this.clients.clear()
  }

  step(input: CoreInput): void {
    const { core } = this
    if (core === undefined) return
    const { now } = this.#world.clock
    const effects = core.step(input, now)
    if (this.#world.checksSteps) core.check()
    this.#world.trace(this.id, input.kind, effects.length)
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
        for (const message of effect.messages) this.#disk.push(peerMessages.encode(message))
        this.#written = effect.id
        return this.#sync()
      case 'run':
        return this.#run(effect)
      case 'cancel-run':
        for (const runs of this.#engines) {
          for (const { run, cancelled } of runs)
            if (run.run === effect.run) for (const i of effect.indexes) cancelled.add(i)
        }
        return
      case 'dial':
        return this.#world.network.dial(this, effect.peer)
      case 'drop-peer':
        return this.#world.network.drop(this.id, effect.peer)
      default:
        return
    }
  }

  #sync(): void {
    if (this.#isSyncing) return
    this.#isSyncing = true
    const { life } = this
    const { clock, faults } = this.#world
    const slow = this.#random.chance(faults.slowDisk) ? 300 : 3
    clock.after(0.2, () => {
      if (this.life !== life) return
      const [length, upTo] = [this.#disk.length, this.#written]
      clock.after(this.#random.next() * slow, () => {
        if (this.life !== life) return
        this.#synced = length
        this.#isSyncing = false
        if (this.#disk.length > length) this.#sync()
        this.step({ kind: 'persisted', upTo })
      })
    })
  }

  #run(run: Run): void {
    const engine = this.#engines[run.slot] as SlotRun[]
    engine.push({ run, at: 0, cancelled: new Set() })
    if (engine.length === 1) this.#work(run.slot)
  }

  /** Runs the next few tasks of a slot, then reports them. */
  #work(slot: number): void {
    const engine = this.#engines[slot] as SlotRun[]
    const current = engine[0]
    if (current === undefined) return
    const { life } = this
    const { run } = current
    const size = run.inputs.indexes.length
    const count = 1 + this.#random.below(Math.min(4, size - current.at))
    const dies = this.#random.chance(this.#world.faults.engineLoss)
    this.#world.clock.after(this.#world.taskMs(run.header.job) * count, () => {
      if (this.life !== life) return
      if (dies) {
        const index = run.inputs.indexes[current.at] as number
        current.at++
        if (current.at === size) engine.shift()
        this.#work(slot)
        return this.step({ kind: 'engine-lost', run: run.run, index })
      }
      const outcomes = this.#outcomes(current, count)
      current.at += count
      const done = current.at === size
      if (done) engine.shift()
      this.#work(slot)
      this.step({ kind: 'ended', run: run.run, outcomes, done })
    })
  }

  #outcomes({ run, at, cancelled }: SlotRun, count: number): Batch {
    const indexes = run.inputs.indexes.subarray(at, at + count)
    const values = [...indexes].map((index, i) => {
      const { slot, attempt, header, first } = run
      const isCancelled = cancelled.has(index)
      const fails = this.#random.chance(this.#world.faults.taskFailure)
      const status = isCancelled ? STATUS.cancelled : fails ? STATUS.error : STATUS.ok
      const input = Buffer.from(valueAt(run.inputs, at + i)).toString('latin1')
      const payload = isCancelled ? '' : `${input}#${this.#world.nonce()}`
      const elapsedMs = this.#world.taskMs(header.job)
      const outcome = encodeOutcome(
        { status, slot, attempt, elapsedMs, startedAt: 0 },
        Buffer.from(payload, 'latin1')
      )
      this.#world.checkers.produced(header.job, first + index, outcome)
      return outcome
    })
    return pack('', indexes, values)
  }

  #setTimer(): void {
    const at = this.core?.wakeAt()
    if (at === undefined || (this.#timerAt !== undefined && this.#timerAt <= at)) return
    const { clock } = this.#world
    const { life } = this
    const due = Math.max(at, clock.now + 0.5)
    this.#timerAt = due
    clock.after(due - clock.now, () => {
      if (this.life !== life || this.#timerAt !== due) return
      this.#timerAt = undefined
      this.step({ kind: 'wake' })
    })
  }
}
