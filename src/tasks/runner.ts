/**
 * What a node does with tasks: when they begin, when more are asked for, and which outcomes it still has to keep.
 *
 * Not here: running (executor/), how much is asked for (fitting.ts), and who is asked (every owner below 16 members;
 * routing/board.ts above). Outcomes stay here until their owner says that they are committed, so a dying owner loses no
 * finished work.
 */
import type { PeerId, ShardKey } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { type Batch, pack, pickAt } from './batch.ts'
import { Claims, nothing } from './claims.ts'
import { type Attendance, type Run, type RunnerEffect, type Send, seek, send } from './effects.ts'
import { Fitting } from './fitting.ts'
import {
  checkHeld,
  dropConfirmed,
  HELD,
  type Held,
  holdingOf,
  inState,
  isDue,
  isForNobody,
  newHeld,
  ownOf
} from './held.ts'
import { ownerBy } from './keepers.ts'
import { type Chunk, Line, unstarted } from './line.ts'
import { everyTask, type TaskMessage, type TaskMessageOf } from './messages.ts'
import { patienceMs } from './patience.ts'
import { UsedPermits } from './permits.ts'
import { lostOutcome, type RunNews, type RunNewsOf, type Running, Runs, stillRunning } from './runs.ts'
import { ShardMap } from './shard-map.ts'
import { Speeds } from './speeds.ts'
import type { RunnerView } from './surroundings.ts'

/** Time of work in one run, and the tasks in it at most. */
const runMs = 10
const runTasksMax = 128
/** Runs given to one engine at a time: the second keeps it busy while the first one's outcomes travel. */
const runsPerSlot = 2
/** A node that has more than half of what it would hold asks for more only so often. */
const claimEveryMs = 500
/** Between two looks whether the owner still wants what runs here for long. */
const confirmRunsMs = 5_000

export class Runner {
  readonly #view: RunnerView
  readonly #held = new ShardMap<Held>()
  readonly #line = new Line()
  readonly #runs: Runs
  readonly fitting: Fitting
  readonly #speeds = new Speeds()
  readonly #asked = new Claims(this.#speeds)
  readonly #used = new UsedPermits()
  #tendAt: Millis = 0
  #confirmAt: Millis = 0
  #claimAt: Millis = 0
  #isLeaving = false
  attendance: Attendance = { availability: 'open' }

  constructor(view: RunnerView) {
    this.#view = view
    this.#runs = new Runs(view.slots)
    this.fitting = new Fitting(view.me, this.#line, this.#runs)
  }

  get running(): number {
    return this.#runs.runningTasks
  }

  get queued(): number {
    return this.#line.length + this.#runs.behind
  }

  message(from: PeerId, message: TaskMessage, now: Millis): RunnerEffect[] {
    switch (message.kind) {
      case 'grant':
        return this.#granted(from, message, now)
      case 'confirm':
        return this.#confirmed(message)
      case 'revoke':
        return this.#revoked(message.key, message.indexes, now)
      case 'probe':
        return this.#probed(from, message)
      case 'leading':
        return this.#led(from, message, now)
      case 'disowned':
        return this.#disowned(from, message.key, now)
      case 'waits':
        if (this.#view.isUp(from)) this.#asked.turns.heard(from, message)
        return []
      case 'forget':
        return this.#held.covered(message.name).flatMap((key) => this.#revoked(key, everyTask, now))
      default:
        return []
    }
  }

  peerDown(peer: PeerId, now: Millis): RunnerEffect[] {
    this.#asked.forget(peer)
    const lost = [...this.#held].filter(
      ([, { trail }]) => trail.owner === peer && trail.next(this.#view.isUp)
    )
    return lost.flatMap(([key, held]) => this.#tell(key, held, now))
  }

  heard(news: RunNews, now: Millis): RunnerEffect[] {
    if (news.kind === 'said') return this.#said(news)
    if (news.kind === 'ended') return this.ended(news.run, news.outcomes, news.done, now)
    if (news.kind === 'parked' || news.kind === 'resumed') return this.#parked(news, now)
    return news.kind === 'recalled' ? this.#recalled(news, now) : this.#engineLost(news, now)
  }

  /** Its task waits for a job of its own, and others may have the slot unless too many wait already; or it has it again. */
  #parked({ kind, run }: RunNewsOf<'parked' | 'resumed'>, now: Millis): RunnerEffect[] {
    this.#runs.park(run, kind === 'parked', now)
    const back = this.fitting
      .barred()
      .flatMap((chunk) => this.#returnQueued(chunk, [...chunk.inputs.indexes]))
    // First it is said what is wanted, or the same would come back at once.
    return [...(back.length > 0 ? this.#claims(now) : []), ...back, ...this.#work(now)]
  }

  #said({ run, words }: RunNewsOf<'said'>): Send[] {
    const running = this.#runs.get(run)
    const held = running && this.#held.get(running.key)
    if (running === undefined || held === undefined) return []
    return [send(held.trail.owner, { kind: 'say', key: running.key, first: running.first, words })]
  }

  /** Tasks of a run ended; `done` with the last of the run. */
  ended(run: number, outcomes: Batch, done: boolean, now: Millis): RunnerEffect[] {
    const running = this.#runs.get(run)
    if (running === undefined) return []
    const { key } = running
    this.#runs.ended(run, outcomes.indexes.length, done, now)
    this.#speeds.measure(running.header, outcomes)
    const held = this.#held.get(key)
    const isOwn = ownOf(held, this.#runs.later(run, key))
    const ours = [...outcomes.indexes.keys()].filter((at) => isOwn(outcomes.indexes[at] as number))
    if (held === undefined || ours.length === 0) return this.#work(now)
    const own = { ...pickAt(outcomes, ours), node: this.#view.self }
    for (const index of own.indexes) held.state[index] = HELD.ended
    held.outcomes.push(own)
    held.sentAt = now
    return [send(held.trail.owner, { kind: 'outcomes', key, outcomes: own }), ...this.#work(now)]
  }

  /** An engine ended: an outcome like any other for the task that it ran. What it had not begun runs on another one. */
  #engineLost(news: RunNewsOf<'engine-lost'>, now: Millis): RunnerEffect[] {
    const { run, index } = news
    const running = this.#runs.get(run)
    if (running === undefined || index === undefined) return []
    return this.ended(run, pack('', [index], [lostOutcome(running, news)]), running.left === 1, now)
  }

  /** Tasks that were taken back before they began. */
  #recalled({ run, indexes, done }: RunNewsOf<'recalled'>, now: Millis): RunnerEffect[] {
    const running = this.#runs.get(run)
    if (running === undefined) return []
    this.#runs.left(run, indexes.length, done)
    return [...this.#returnRun(run, running, indexes, false), ...this.#work(now)]
  }

  /** Gives back what was not begun, and asks for nothing more. What runs may go on. */
  leave(): RunnerEffect[] {
    this.#isLeaving = true
    return this.#returnAll()
  }

  /** Asks for nothing as long as it is not open. What was not begun goes back, and then what runs. */
  attend(attendance: Attendance): RunnerEffect[] {
    this.attendance = attendance
    const { availability } = attendance
    if (availability === 'open') return []
    const recalls = [...this.#runs.entries()].map(([run]): RunnerEffect => ({ kind: 'recall-run', run }))
    return [...this.#returnAll(), ...recalls, ...(availability === 'closed' ? this.giveBack() : [])]
  }

  get #takesWork(): boolean {
    return this.#view.slots > 0 && !this.#isLeaving && this.attendance.availability === 'open'
  }

  /** Ends what runs and gives it back: nobody's failure. */
  giveBack(): RunnerEffect[] {
    const runs = [...this.#runs.entries()]
    return runs.flatMap(([run, running]) => this.#returnRun(run, running, running.inputs.indexes, true))
  }

  /** Of these tasks of a run, what is still its own goes back to the owner, and is ended if it was begun. */
  #returnRun(run: number, { key, attempt }: Running, tasks: Uint32Array, isStarted: boolean): RunnerEffect[] {
    const held = this.#held.get(key)
    const indexes = tasks.filter(ownOf(held, this.#runs.later(run, key)))
    if (held === undefined || indexes.length === 0) return []
    for (const index of indexes) this.#forget(key, held, index)
    const back = send(held.trail.owner, { kind: 'handback', key, attempt, isStarted, indexes })
    return isStarted ? [{ kind: 'cancel-run', run, indexes }, back] : [back]
  }

  /** Shards of which anything is queued, runs, or waits to be confirmed. */
  get held(): number {
    return this.#held.size
  }

  /** Starts what it may, and asks for more where that says something new. */
  flush(now: Millis): RunnerEffect[] {
    return this.#view.slots === 0 ? [] : [...this.#work(now), ...this.#claims(now)]
  }

  wake(now: Millis): RunnerEffect[] {
    this.#asked.turns.pass(now)
    if (now < this.#tendAt) return []
    this.#tendAt = now + patienceMs / 2
    const effects: RunnerEffect[] = []
    for (const [key, held] of this.#held) {
      if (isForNobody(held, now)) effects.push(...this.#revoked(key, everyTask, now))
      else if (isDue(held, this.#view.isUp, now)) effects.push(...this.#again(key, held, now))
    }
    const back = this.#handBack(now)
    if (back.length === 0) return effects
    // First it is said that less is wanted, or the same work would come back at once.
    this.#claimAt = now
    return [...effects, ...this.#claims(now), ...back]
  }

  wakeAt(): Millis | undefined {
    const isIdle = this.#held.size === 0 && this.#view.slots === 0
    return isIdle ? undefined : earlier(this.#tendAt, this.#asked.turns.passAt)
  }

  check(): void {
    this.#line.check()
    this.fitting.check()
    for (const [key, held] of this.#held) checkHeld(held, key)
  }

  #granted(from: PeerId, grant: TaskMessageOf<'grant'>, now: Millis): RunnerEffect[] {
    // Of who is no member nobody would hear that it is gone. A member that is taken for lost asks, and grants again.
    if (!this.#view.isUp(from)) return []
    const { key, header, first, attempt, seat, inputs } = grant
    this.#asked.granted(from, inputs.indexes.length, grant.waiting, header)
    if (this.#view.keeper.isForgotten(key)) return [send(from, this.#view.keeper.epitaph(key))]
    const held = this.#held.get(key) ?? newHeld(grant)
    this.#held.set(key, held)
    // Who grants is the owner, which after a takeover is not the first keeper.
    if (held.live === 0 || !this.#view.isUp(held.trail.owner)) held.trail.met(from)
    const [taskMs, isLate] = [this.#runs.pace(this.#speeds.last, now), this.#asked.turns.isLate(from)]
    let room = this.#takesWork ? this.fitting.accepts(header, inputs.indexes.length, taskMs, isLate) : 0
    const [fresh, back]: [number[], number[]] = [[], []]
    let isHeld = false
    for (const [at, index] of inputs.indexes.entries()) {
      if (index >= held.state.length) continue
      const isUsed = header.atMostOnce && !this.#used.use(key, index, attempt)
      if (held.state[index] !== HELD.none || isUsed) isHeld ||= held.state[index] === HELD.ended
      else if (room-- > 0) {
        held.state[index] = HELD.queued
        held.live++
        fresh.push(at)
      } else back.push(index)
    }
    if (held.live === 0) this.#held.delete(key)
    const chunk = { key, header, first, attempt, seat, from, at: now, inputs: pickAt(inputs, fresh) }
    if (fresh.length > 0) this.#line.add(chunk)
    this.#asked.turns.took(from, header, fresh.length, back.length)
    const returned = back.length > 0 ? [send(from, unstarted(chunk, back))] : []
    // Granted again what ended here already: the outcome is all that the owner needs.
    return isHeld ? [...returned, ...this.#report(key, held, now)] : returned
  }

  #forget(key: ShardKey, held: Held, index: number): void {
    if (index >= held.state.length || held.state[index] === HELD.none) return
    held.state[index] = HELD.none
    if (--held.live === 0) this.#held.delete(key)
  }

  #confirmed({ key, indexes }: TaskMessageOf<'confirm'>): RunnerEffect[] {
    const held = this.#held.get(key)
    if (held === undefined) return []
    for (const index of indexes) if (held.state[index] === HELD.ended) this.#forget(key, held, index)
    dropConfirmed(held)
    return []
  }

  #revoked(key: ShardKey, indexes: Uint32Array, now: Millis): RunnerEffect[] {
    const held = this.#held.get(key)
    if (held === undefined) return []
    this.#unqueue(key, new Set(indexes))
    // Of what is forgotten nobody waits for what ended, either.
    if (indexes === everyTask) this.#held.delete(key)
    const runs = [...this.#runs.entries()].filter(([, running]) => running.key === key)
    const effects = runs.map(([run]): RunnerEffect => ({ kind: 'cancel-run', run, indexes }))
    return [...effects, ...this.#work(now)]
  }

  #probed(from: PeerId, { key, indexes }: TaskMessageOf<'probe'>): RunnerEffect[] {
    const held = this.#held.get(key)
    const missing = inState(held, indexes, HELD.none)
    return missing.length === 0 ? [] : [send(from, { kind: 'missing', key, indexes: missing })]
  }

  /** A new owner: it gets what ended, and hears what runs. */
  #led(from: PeerId, message: TaskMessageOf<'leading'>, now: Millis): RunnerEffect[] {
    const { key, ballot } = message
    const held = this.#held.get(key)
    if (held === undefined) return []
    const isNew = held.trail.hint(message, from, now)
    const isItself = held.trail.owner === from && ownerBy(message, ballot) === from
    if (isItself) return this.#tell(key, held, now)
    return isNew ? this.#report(key, held, now) : []
  }

  /** If none of its keepers has it, others may know who does, or that nobody needs it. */
  #disowned(from: PeerId, key: ShardKey, now: Millis): Send[] {
    const trail = this.#held.get(key)?.trail
    if (trail?.owner === from) trail.next(this.#view.isUp)
    return trail?.disowned(from, now) === true ? seek(key, this.#view.mayKnow(key)) : []
  }

  /** To who owns it now: what runs, and what ended. */
  #tell(key: ShardKey, held: Held, now: Millis): Send[] {
    return [...holdingOf(key, held, this.#line.chunks(), this.#runs.all()), ...this.#report(key, held, now)]
  }

  #again(key: ShardKey, held: Held, now: Millis): Send[] {
    if (this.#view.isUp(held.trail.owner) || held.trail.next(this.#view.isUp))
      return this.#report(key, held, now)
    held.sentAt = now
    return seek(key, this.#view.mayKnow(key))
  }

  #report(key: ShardKey, held: Held, now: Millis): Send[] {
    held.sentAt = now
    return held.outcomes.map((outcomes) => send(held.trail.owner, { kind: 'outcomes', key, outcomes }))
  }

  /** Gives engines that have room the work that waited longest. */
  #work(now: Millis): RunnerEffect[] {
    const runs: RunnerEffect[] = []
    const runsFor = ({ header }: Chunk): number => (this.#speeds.of(header) * 2 > runMs ? 1 : runsPerSlot)
    for (;;) {
      const next = this.fitting.next(runsFor, now)
      if (next === undefined) return runs
      const { chunk, slot } = next
      runs.push(...this.#start(chunk, slot, this.#speeds.batchOf(chunk.header, runMs, runTasksMax), now))
    }
  }

  #start(chunk: Chunk, slot: number, most: number, now: Millis): RunnerEffect[] {
    const { key, first, attempt, seat, header } = chunk
    const inputs = this.#line.take(chunk, most)
    const run = this.#runs.start(chunk, inputs, slot, now)
    const held = this.#held.get(key)
    for (const index of inputs.indexes) if (held !== undefined) held.state[index] = HELD.running
    const keepers = held?.trail.keepers ?? []
    const begin: Run = { kind: 'run', run, slot, key, keepers, header, first, attempt, seat, inputs }
    if (attempt === 1 || held === undefined) return [begin]
    return [send(held.trail.owner, { kind: 'begun', key, attempt, indexes: inputs.indexes }), begin]
  }

  #claims(now: Millis): Send[] {
    const wants = this.#takesWork ? this.fitting.wants(this.#runs.pace(this.#speeds.last, now)) : nothing
    // Not for every few tasks that ended: little claims bring little grants, and those never grow again.
    if (wants.isSated && now < this.#claimAt) return []
    this.#claimAt = now + claimEveryMs
    return this.#asked.renew(this.#view.owners(), wants, now)
  }

  /** Work that turned out longer than was believed goes back to its owners, who may know an idle node. */
  #handBack(now: Millis): RunnerEffect[] {
    const recalls = this.#runs.stuck(now).map((run): RunnerEffect => ({ kind: 'recall-run', run }))
    const back = this.fitting.surplus(this.#runs.pace(this.#speeds.last, now), now)
    const returned = [...back].flatMap(([chunk, indexes]) => this.#returnQueued(chunk, indexes))
    return [...recalls, ...returned, ...this.#confirmRuns(now)]
  }

  /** What runs for long may have been ended elsewhere, and the word of it been lost: the owner revokes it then. */
  #confirmRuns(now: Millis): Send[] {
    if (now < this.#confirmAt) return []
    this.#confirmAt = now + confirmRunsMs
    return stillRunning(this.#runs, this.#held, this.#view, now - confirmRunsMs)
  }

  #returnAll(): Send[] {
    return [...this.#line.chunks()].flatMap((chunk) => this.#returnQueued(chunk, [...chunk.inputs.indexes]))
  }

  #returnQueued(chunk: Chunk, indexes: readonly number[]): Send[] {
    const owner = this.#held.get(chunk.key)?.trail.owner
    this.#unqueue(chunk.key, new Set(indexes))
    return owner === undefined ? [] : [send(owner, unstarted(chunk, indexes))]
  }

  #unqueue(key: ShardKey, indexes: ReadonlySet<number>): void {
    const held = this.#held.get(key)
    for (const index of this.#line.remove(key, indexes))
      if (held !== undefined) this.#forget(key, held, index)
  }
}
