/**
 * The engines of one simulated node: runs take virtual time, and end well, badly, twice, late, or never.
 *
 * Not here: what a node makes of it (src/tasks/runner.ts). An engine works off its runs in order, a few tasks at a time.
 * Every outcome carries a number of its own, so that two runs of one task can be told apart.
 */
import type { PeerId, ShardKey } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import type { CoreInput } from '../../src/node/effects.ts'
import { hash32, type Random } from '../../src/random.ts'
import type { Traits } from '../../src/routing/match.ts'
import { type Batch, encodeOutcome, pack, STATUS, type Status, valueAt } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import { openParcel } from '../../src/tasks/parcel.ts'
import { parkedFreely } from '../../src/tasks/runs.ts'
import { isToBeCancelledAlone } from './jobs.ts'
import type { Guest, NestEnd } from './nested.ts'
import { depthsMax } from './nests-plan.ts'
import type { World } from './world.ts'

interface Work {
  readonly run: Run
  /** Position of the next task. */
  at: number
  /** Tasks from there that have begun. */
  busy: number
  /** Position behind the last task that was not taken back. */
  end: number
  readonly cancelled: Set<number>
  /** Says that tasks of it were taken back; whatever ends later is said after that. */
  tellRecalled: (() => void) | undefined
}

/** A begun task that waits for jobs of its own, and left its slot to others; `wants`: and needs it again. */
interface Parked {
  readonly slot: number
  readonly work: Work
  wants: boolean
  /** If its jobs are real ones. */
  guest: Guest | undefined
  status: Status | undefined
}

/** After which a task of a job within a task that hangs ends by itself, unless the task around it has ended: somebody must see to that. */
const hangsWithinMs = 20_000

type Fate = 'ok' | 'fails' | 'dies' | 'hangs'

/** A task that waits for jobs of its own does so for less. */
const waitsMs = 3_000

/** A running task that is cancelled has ended by then. */
const cancelMs = 800

export interface EngineHost {
  readonly name: PeerId
  readonly traits: Traits
  /** Input for the core, unless the node has crashed since. */
  readonly report: (input: CoreInput) => void
}

export class Engines {
  readonly #world: World
  readonly #host: EngineHost
  readonly #random: Random
  readonly #lines: Work[][]
  /** Ends the task that hangs in a slot. */
  readonly #hanging = new Map<number, () => void>()
  /** What would have ended since it stands still, by slot. */
  readonly #still = new Map<number, () => void>()
  readonly #parked: Parked[] = []
  #isSuspended = false
  #isStopped = false

  constructor(world: World, host: EngineHost, slots: number, random: Random) {
    this.#world = world
    this.#host = host
    this.#random = random
    this.#lines = Array.from({ length: slots }, () => [])
  }

  /** The shards of what runs or waits here. */
  get busyWith(): ShardKey[] {
    const parked = this.#parked.map(({ work }) => work.run.key)
    return [...this.#lines.flatMap((line) => line.map(({ run }) => run.key)), ...parked]
  }

  stop(): void {
    this.#isStopped = true
  }

  suspend(isSuspended: boolean): void {
    this.#isSuspended = isSuspended
    if (isSuspended) return
    const over = [...this.#still.values()]
    this.#still.clear()
    for (const end of over) end()
  }

  run(run: Run): void {
    const line = this.#lines[run.slot] as Work[]
    line.push({
      run,
      at: 0,
      busy: 0,
      end: run.inputs.indexes.length,
      cancelled: new Set(),
      tellRecalled: undefined
    })
    if (line.length === 1) this.#next(run.slot)
  }

  cancel(run: number, indexes: Iterable<number>): void {
    this.#cancelParked(run, new Set(indexes))
    for (const [slot, line] of this.#lines.entries()) {
      const work = line.find((one) => one.run.run === run)
      if (work === undefined) continue
      for (const index of indexes) work.cancelled.add(index)
      const current = work.run.inputs.indexes[work.at]
      if (work !== line[0] || current === undefined || !work.cancelled.has(current)) continue
      this.#world.clock.after(this.#random.next() * cancelMs, () => this.#endCancelled(slot))
    }
  }

  /** Its task waits: all that had not begun in its slot goes back, and others may begin there. */
  #park(slot: number, work: Work): void {
    const line = this.#lines[slot] as Work[]
    for (const one of [...line]) this.recall(one.run.run)
    if (line.includes(work)) line.splice(line.indexOf(work), 1)
    const parked: Parked = { slot, work, wants: false, guest: undefined, status: undefined }
    this.#parked.push(parked)
    const here = this.#parked.filter((one) => one.slot === slot).length
    this.#world.bound('tasks that wait in one slot', here, parkedFreely * this.#lines.length + depthsMax + 2)
    this.#world.clock.after(0.2, () => {
      if (!this.#isStopped && this.#parked.includes(parked))
        this.#host.report({ kind: 'parked', run: work.run.run })
    })
    const index = work.run.inputs.indexes[work.at] as number
    parked.guest = this.#world.nests.begin(this.#host.name, work.run, index, (end) => this.#goOn(parked, end))
    if (parked.guest !== undefined) return
    this.#world.clock.after(1 + this.#random.next() * waitsMs, () => this.#goOn(parked, 'complete'))
  }

  /** What it waited for has ended; now and then its engine, too. */
  #goOn(parked: Parked, end: NestEnd): void {
    if (this.#isStopped || !this.#parked.includes(parked)) return
    const { slot, work } = parked
    if (this.#random.chance(this.#world.weather.taskCrash)) {
      const index = this.#unpark(parked)
      return this.#host.report({ kind: 'engine-lost', run: work.run.run, index })
    }
    if (end === 'superseded') return this.#yield(parked)
    // A task that has failed ends what else it submitted.
    if (end === 'refused') parked.guest?.abandon()
    parked.wants = true
    parked.status = end === 'refused' ? STATUS.error : undefined
    for (const one of [...(this.#lines[slot] as Work[])]) this.recall(one.run.run)
    this.#host.report({ kind: 'resumed', run: work.run.run })
    this.#turn(slot)
  }

  /** Its task is over. Returns which. */
  #unpark(parked: Parked): number {
    const { work, guest } = parked
    work.tellRecalled?.()
    this.#parked.splice(this.#parked.indexOf(parked), 1)
    guest?.abandon()
    return work.run.inputs.indexes[work.at++] as number
  }

  /** Whoever waits for its slot goes on, if nobody is at work there. */
  #turn(slot: number): boolean {
    const line = this.#lines[slot] as Work[]
    const at = this.#parked.findLastIndex((one) => one.slot === slot && one.wants)
    if (at < 0 || line.some(({ busy }) => busy > 0)) return false
    const [{ work, status }] = this.#parked.splice(at, 1) as [Parked]
    line.unshift(work)
    const { job } = work.run.header
    this.#world.clock.after(this.#world.taskMs(job), () => this.#conclude(slot, work, 1, status))
    return true
  }

  #cancelParked(run: number, indexes: ReadonlySet<number>): void {
    const parked = this.#parked.find(({ work }) => work.run.run === run)
    const index = parked?.work.run.inputs.indexes[parked.work.at]
    if (parked === undefined || index === undefined || !indexes.has(index)) return
    const { work } = parked
    work.cancelled.add(index)
    this.#world.clock.after(this.#random.next() * cancelMs, () => {
      if (!this.#isStopped && this.#parked.includes(parked)) this.#yield(parked)
    })
  }

  /** It ends without an outcome of its own. */
  #yield(parked: Parked): void {
    const { work } = parked
    const outcomes = this.#outcomes(work, 1, STATUS.cancelled)
    this.#unpark(parked)
    this.#host.report({ kind: 'ended', run: work.run.run, outcomes, done: work.at === work.end })
  }

  #endCancelled(slot: number): void {
    this.#hanging.get(slot)?.()
    const end = this.#still.get(slot)
    this.#still.delete(slot)
    end?.()
  }

  /** Takes back what has not begun. */
  recall(run: number): void {
    for (const line of this.#lines) {
      const work = line.find((one) => one.run.run === run)
      if (work === undefined) continue
      const from = work.at + work.busy
      const indexes = work.run.inputs.indexes.slice(from, work.end)
      if (indexes.length === 0) return
      work.end = from
      const done = work.busy === 0
      if (done) line.splice(line.indexOf(work), 1)
      work.tellRecalled?.()
      const tell = (): void => {
        if (this.#isStopped || work.tellRecalled !== tell) return
        work.tellRecalled = undefined
        this.#host.report({ kind: 'recalled', run, indexes, done })
      }
      work.tellRecalled = tell
      this.#world.clock.after(0.2, tell)
      return
    }
  }

  #next(slot: number): void {
    const line = this.#lines[slot] as Work[]
    if (this.#turn(slot)) return
    const work = line[0]
    if (work === undefined || this.#isStopped) return
    const { run } = work
    const index = run.inputs.indexes[work.at] as number
    const fate = this.#fate(run, index)
    const left = work.end - work.at
    const { nests = 0 } = this.#world.plan
    const parks = nests > 0 && fate === 'ok' && (this.#random.chance(nests) || this.#hasNested(work))
    const count = fate === 'ok' && !parks ? 1 + this.#random.below(Math.min(4, left)) : 1
    work.busy = count
    const inWork = this.#lines.flatMap(([first]) =>
      first !== undefined && first.busy > 0 ? [first.run] : []
    )
    this.#world.checkers.fits(this.#host.traits, inWork)
    const taskMs = this.#world.taskMs(run.header.job)
    const isRepeatable = !this.#world.plan.weather.isOrdered
    for (let i = 0; i < count; i++) {
      const index = run.inputs.indexes[work.at + i] as number
      if (!work.cancelled.has(index)) this.#world.checkers.started(this.#host.name, isRepeatable, run, index)
    }
    if (parks) return this.#park(slot, work)
    const isHung = fate === 'hangs' && !work.cancelled.has(index)
    const { timeoutMs } = run.header
    if (isHung && timeoutMs === 0) return this.#hang(slot, work)
    const lasts: Millis = isHung ? timeoutMs : taskMs * count
    let isOver = false
    const end = (status?: Status): void => {
      if (isOver || this.#isStopped) return
      isOver = true
      this.#hanging.delete(slot)
      if (fate === 'dies') this.#die(slot, work)
      else if (status === undefined && count === 1 && this.#isEndless(work)) this.#hang(slot, work)
      else this.#conclude(slot, work, count, status ?? (isHung ? STATUS.error : undefined))
    }
    if (isHung) this.#hanging.set(slot, () => end(STATUS.cancelled))
    this.#world.clock.after(lasts, () => {
      const isCancelled = work.cancelled.has(index)
      if (this.#isSuspended && !isCancelled && !isOver) this.#still.set(slot, end)
      else end()
    })
  }

  /** Until somebody ends it. */
  #hang(slot: number, work: Work): void {
    const cancelled = (): void => this.#conclude(slot, work, 1, STATUS.cancelled)
    this.#hanging.set(slot, cancelled)
    const { depth, parent } = work.run.header
    if (depth === 0) return
    this.#world.clock.after(hangsWithinMs, () => {
      const isFree = this.#hanging.get(slot) === cancelled && !this.#world.nests.isOver(parent)
      if (isFree) this.#conclude(slot, work, 1)
    })
  }

  /** A task that nobody is left to cancel, if it is not the mesh. */
  #isEndless({ run, at, cancelled }: Work): boolean {
    if (cancelled.has(run.inputs.indexes[at] as number)) return false
    return this.#world.nests.isOrphan(run.key) && this.#random.chance(0.5)
  }

  #hasNested({ run, at }: Work): boolean {
    return this.#world.nests.isKnown(run, run.inputs.indexes[at] as number)
  }

  #fate(run: Run, index: number): Fate {
    const { weather } = this.#world
    if (this.#random.chance(weather.taskCrash + weather.taskMemory)) return 'dies'
    // Somebody must be there to end what hangs.
    const isEnded = run.header.timeoutMs > 0 || this.#world.isToBeCancelled(run.header.job)
    if (isEnded && this.#random.chance(weather.taskHang)) return 'hangs'
    // Of what two keepers took, one may have cancelled it alone: then nobody does so again for the other (DESIGN 3).
    const isPair = this.#world.checkers.durable.hasPair(run.header.job)
    if (
      !isPair &&
      isToBeCancelledAlone(this.#world.job(run.header.job), run, index) &&
      this.#random.chance(0.5)
    )
      return 'hangs'
    return this.#random.chance(weather.taskFailure) ? 'fails' : 'ok'
  }

  #die(slot: number, work: Work): void {
    const index = work.run.inputs.indexes[work.at] as number
    work.tellRecalled?.()
    this.#advance(slot, work, 1)
    this.#host.report({ kind: 'engine-lost', run: work.run.run, index })
  }

  #conclude(slot: number, work: Work, count: number, status?: Status): void {
    if (this.#isStopped) return
    this.#hanging.delete(slot)
    work.tellRecalled?.()
    const outcomes = this.#outcomes(work, count, status)
    this.#advance(slot, work, count)
    const done = work.at === work.end
    const report = (): void => this.#host.report({ kind: 'ended', run: work.run.run, outcomes, done })
    report()
    if (done && this.#random.chance(this.#world.weather.taskTwice)) {
      this.#world.clock.after(this.#random.next() * 2_000, () => {
        if (!this.#isStopped) report()
      })
    }
  }

  #advance(slot: number, work: Work, count: number): void {
    work.at += count
    work.busy = 0
    const line = this.#lines[slot] as Work[]
    if (work.at === work.end) line.shift()
    this.#next(slot)
  }

  #outcomes({ run, at, cancelled }: Work, count: number, forced?: Status): Batch {
    const indexes = run.inputs.indexes.subarray(at, at + count)
    const values = [...indexes].map((index, i) => {
      const { slot, attempt, header, first } = run
      const fails = this.#random.chance(this.#world.weather.taskFailure)
      const status = cancelled.has(index) ? STATUS.cancelled : (forced ?? (fails ? STATUS.error : STATUS.ok))
      const input = textOf(valueAt(run.inputs, at + i))
      const payload = status === STATUS.cancelled ? '' : `${input}#${this.#world.nonce()}`
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
}

/** Of an input with the values of others in it, those are told as one number: or they would grow and grow. */
function textOf(input: Uint8Array): string {
  const [own, ...others] = openParcel(input) ?? [input]
  const text = Buffer.from(own ?? []).toString('latin1')
  return others.length === 0 ? text : `${text}+${hash32(Buffer.concat(others).toString('latin1'))}`
}
