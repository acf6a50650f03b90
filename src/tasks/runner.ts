/**
 * A node's appetite: how much work it asks for, what it runs when, and which outcomes it still has to keep.
 *
 * Not here: running (executor/), and who is asked (the claims go to every owner below 16 members; routing/board.ts above).
 * A node holds about `aheadMs` of work beyond its slots, by what tasks of the same function took before; short tasks
 * travel by the hundred and long ones singly. Outcomes stay here until their owner says that they are committed, so a
 * dying owner loses no finished work.
 */
import type { Attempt, PeerId, ShardKey } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { type Batch, pickAt } from './batch.ts'
import { Claims } from './claims.ts'
import { type CancelRun, type Run, type Send, seek, send } from './effects.ts'
import { ownerBy } from './keepers.ts'
import { type Chunk, Line } from './line.ts'
import type { TaskMessage, TaskMessageOf } from './messages.ts'
import { Speeds } from './speeds.ts'
import { Trail } from './trail.ts'

/** Work beyond its slots that a node holds, in time. */
export const aheadMs = 50
/** Tasks that a node holds unstarted at most; more are handed back. */
export const aheadTasksMax = 1_024
/** Time of work in one run, and the tasks in it at most. */
const runMs = 10
const runTasksMax = 128
/** Runs given to one engine at a time: the second keeps it busy while the first one's outcomes travel. */
const runsPerSlot = 2
/** A node that has more than half of what it would hold asks for more only so often. */
const claimEveryMs = 500
/** Between two sendings of outcomes that nobody confirmed. */
const repeatMs = 1_000
const HELD = { none: 0, queued: 1, running: 2, ended: 3 } as const

/** Everything held of one shard. */
interface Held {
  readonly trail: Trail
  readonly state: Uint8Array
  live: number
  attempt: Attempt
  outcomes: Batch[]
  sentAt: Millis
}

interface Running extends Chunk {
  readonly slot: number
  readonly startedAt: Millis
  left: number
}

export interface RunnerView {
  readonly self: PeerId
  readonly slots: number
  readonly isUp: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  /** Whom to ask: every node, or those that are known to have work. */
  readonly owners: () => readonly PeerId[]
}

export type RunnerEffect = Send | Run | CancelRun

export class Runner {
  readonly #view: RunnerView
  readonly #held = new Map<ShardKey, Held>()
  readonly #line = new Line()
  readonly #running = new Map<number, Running>()
  readonly #slotRuns: number[]
  readonly #asked = new Claims()
  readonly #speeds = new Speeds()
  #run = 0
  #tendAt: Millis = 0
  #claimAt: Millis = 0
  #isLeaving = false

  constructor(view: RunnerView) {
    this.#view = view
    this.#slotRuns = new Array(view.slots).fill(0)
  }

  get running(): number {
    return [...this.#running.values()].reduce((sum, { left }) => sum + left, 0)
  }

  get queued(): number {
    return this.#line.length
  }

  message(from: PeerId, message: TaskMessage, now: Millis): RunnerEffect[] {
    switch (message.kind) {
      case 'grant':
        return this.#granted(from, message, now)
      case 'confirm':
        this.#confirmed(message)
        return []
      case 'revoke':
        return this.#revoked(message, now)
      case 'probe':
        return this.#probed(from, message)
      case 'leading':
        return this.#led(from, message, now)
      case 'disowned':
        this.#held.get(message.key)?.trail.next(this.#view.isUp)
        return []
      default:
        return []
    }
  }

  peerDown(peer: PeerId, now: Millis): RunnerEffect[] {
    this.#asked.forget(peer)
    const effects: RunnerEffect[] = []
    for (const [key, held] of this.#held) {
      if (held.trail.owner === peer && held.trail.next(this.#view.isUp))
        effects.push(...this.#report(key, held, now))
    }
    return effects
  }

  /** Tasks of a run ended; `done` with the last of the run. */
  ended(run: number, outcomes: Batch, done: boolean, now: Millis): RunnerEffect[] {
    const running = this.#running.get(run)
    if (running === undefined) return []
    const { key } = running
    running.left -= outcomes.indexes.length
    if (done) this.#finish(run, running)
    this.#speeds.measure(running.header, outcomes)
    const held = this.#held.get(key)
    if (held === undefined || outcomes.indexes.length === 0) return this.#work(now)
    // What was given back meanwhile is none of ours any more.
    const ours = [...outcomes.indexes.keys()].filter(
      (at) => held.state[outcomes.indexes[at] as number] === HELD.running
    )
    if (ours.length === 0) return this.#work(now)
    const own = { ...pickAt(outcomes, ours), node: this.#view.self }
    for (const index of own.indexes) held.state[index] = HELD.ended
    held.outcomes.push(own)
    held.sentAt = now
    return [send(held.trail.owner, { kind: 'outcomes', key, outcomes: own }), ...this.#work(now)]
  }

  /** An engine ended with the task at `index`; what it had not begun runs on another one. */
  engineLost(run: number, index: number | undefined, now: Millis): RunnerEffect[] {
    const running = this.#running.get(run)
    const held = running === undefined ? undefined : this.#held.get(running.key)
    if (running === undefined || held === undefined || index === undefined) return []
    running.left--
    this.#forget(running.key, held, index)
    if (running.left === 0) this.#finish(run, running)
    const { key, attempt } = running
    const lost = send(held.trail.owner, { kind: 'lost', key, attempt, indexes: Uint32Array.of(index) })
    return [lost, ...this.#work(now)]
  }

  /** Gives back what was not begun, and asks for nothing more. What runs may go on. */
  leave(): RunnerEffect[] {
    this.#isLeaving = true
    return [...this.#line.chunks()].flatMap((chunk) => this.#returnQueued(chunk, [...chunk.inputs.indexes]))
  }

  /** Ends what runs and gives it back: nobody's failure. */
  giveBack(): RunnerEffect[] {
    const effects: RunnerEffect[] = []
    for (const [run, { key, attempt, inputs }] of this.#running) {
      const held = this.#held.get(key)
      const indexes = inputs.indexes.filter((index) => held?.state[index] === HELD.running)
      if (held === undefined || indexes.length === 0) continue
      effects.push({ kind: 'cancel-run', run, indexes })
      effects.push(send(held.trail.owner, { kind: 'handback', key, attempt, isStarted: true, indexes }))
      for (const index of indexes) this.#forget(key, held, index)
    }
    return effects
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
    if (now < this.#tendAt) return []
    this.#tendAt = now + repeatMs / 2
    const effects: RunnerEffect[] = []
    for (const [key, held] of this.#held) {
      if (held.outcomes.length === 0 || now - held.sentAt < repeatMs) continue
      const { isUp, peers } = this.#view
      if (isUp(held.trail.owner) || held.trail.next(isUp)) effects.push(...this.#report(key, held, now))
      else {
        held.sentAt = now
        effects.push(...seek(key, peers()))
      }
    }
    return [...effects, ...this.#handBack(now)]
  }

  wakeAt(): Millis | undefined {
    return this.#held.size === 0 && this.#view.slots === 0 ? undefined : this.#tendAt
  }

  check(): void {
    this.#line.check()
    for (const [key, { live, state }] of this.#held) {
      const counted = state.reduce((sum, one) => sum + (one === HELD.none ? 0 : 1), 0)
      assert(live === counted && live > 0, `${key}: ${live} held, ${counted} counted`)
    }
  }

  #granted(from: PeerId, grant: TaskMessageOf<'grant'>, now: Millis): RunnerEffect[] {
    const { key, header, first, attempt, inputs } = grant
    this.#asked.granted(from, inputs.indexes.length, grant.waiting)
    if (this.#view.slots === 0 || this.#isLeaving)
      return [send(from, { kind: 'handback', key, attempt, isStarted: false, indexes: inputs.indexes })]
    const held = this.#held.get(key) ?? this.#hold(grant)
    // Who grants is the owner, which after a takeover is not the first keeper.
    if (held.live === 0 || !this.#view.isUp(held.trail.owner)) held.trail.met(from)
    const fresh: number[] = []
    let isHeld = false
    for (const [at, index] of inputs.indexes.entries()) {
      if (index >= held.state.length) continue
      if (held.state[index] === HELD.none) {
        held.state[index] = HELD.queued
        held.live++
        fresh.push(at)
      } else isHeld ||= held.state[index] === HELD.ended
    }
    held.attempt = Math.max(held.attempt, attempt)
    if (held.live === 0) this.#held.delete(key)
    if (fresh.length > 0) this.#line.add({ key, header, first, attempt, from, inputs: pickAt(inputs, fresh) })
    // Granted again what ended here already: the outcome is all that the owner needs.
    return isHeld ? this.#report(key, held, now) : []
  }

  #hold({ key, keepers, list }: TaskMessageOf<'grant'>): Held {
    const trail = new Trail(keepers, list)
    const held: Held = {
      trail,
      state: new Uint8Array(aheadTasksMax),
      live: 0,
      attempt: 0,
      outcomes: [],
      sentAt: 0
    }
    this.#held.set(key, held)
    return held
  }

  #forget(key: ShardKey, held: Held, index: number): void {
    if (index >= held.state.length || held.state[index] === HELD.none) return
    held.state[index] = HELD.none
    if (--held.live === 0) this.#held.delete(key)
  }

  #confirmed({ key, indexes }: TaskMessageOf<'confirm'>): void {
    const held = this.#held.get(key)
    if (held === undefined) return
    for (const index of indexes) if (held.state[index] === HELD.ended) this.#forget(key, held, index)
    // Whole batches go as soon as nothing of them is waited for; that is the common case.
    held.outcomes = held.outcomes.filter(({ indexes }) =>
      indexes.some((index) => held.state[index] === HELD.ended)
    )
  }

  #revoked({ key, indexes }: TaskMessageOf<'revoke'>, now: Millis): RunnerEffect[] {
    const held = this.#held.get(key)
    if (held === undefined) return []
    const gone = new Set(indexes)
    this.#unqueue(key, gone)
    const effects: RunnerEffect[] = []
    for (const [run, running] of this.#running) {
      if (running.key === key) effects.push({ kind: 'cancel-run', run, indexes })
    }
    return [...effects, ...this.#work(now)]
  }

  #probed(from: PeerId, { key, indexes }: TaskMessageOf<'probe'>): RunnerEffect[] {
    const held = this.#held.get(key)
    const missing = indexes.filter((index) => (held?.state[index] ?? HELD.none) === HELD.none)
    return missing.length === 0 ? [] : [send(from, { kind: 'missing', key, indexes: missing })]
  }

  /** A new owner: it gets what ended, and hears what runs. */
  #led(from: PeerId, message: TaskMessageOf<'leading'>, now: Millis): RunnerEffect[] {
    const { key, ballot } = message
    const held = this.#held.get(key)
    if (held === undefined) return []
    const isNew = held.trail.hint(message, now)
    const isItself = held.trail.owner === from && ownerBy(message, ballot) === from
    if (!isItself) return isNew ? this.#report(key, held, now) : []
    const open: number[] = []
    for (const [index, state] of held.state.entries()) {
      if (state === HELD.queued || state === HELD.running) open.push(index)
    }
    const { attempt } = held
    const holding = send(from, { kind: 'holding', key, attempt, indexes: Uint32Array.from(open) })
    return open.length === 0 ? this.#report(key, held, now) : [holding, ...this.#report(key, held, now)]
  }

  #report(key: ShardKey, held: Held, now: Millis): Send[] {
    held.sentAt = now
    return held.outcomes.map((outcomes) => send(held.trail.owner, { kind: 'outcomes', key, outcomes }))
  }

  /** Gives engines that have room the work that waited longest. */
  #work(now: Millis): Run[] {
    const runs: Run[] = []
    for (let chunk = this.#line.first; chunk !== undefined; chunk = this.#line.first) {
      const taskMs = this.#speeds.of(chunk.header)
      const slot = this.#freeSlot(taskMs * 2 > runMs ? 1 : runsPerSlot)
      if (slot === undefined) break
      const most = Number.isFinite(taskMs)
        ? Math.max(1, Math.min(runTasksMax, Math.floor(runMs / taskMs)))
        : 1
      runs.push(this.#start(chunk, slot, most, now))
    }
    return runs
  }

  #freeSlot(most: number): number | undefined {
    let best = 0
    for (let slot = 1; slot < this.#slotRuns.length; slot++) {
      if ((this.#slotRuns[slot] as number) < (this.#slotRuns[best] as number)) best = slot
    }
    return (this.#slotRuns[best] ?? most) < most ? best : undefined
  }

  #start(chunk: Chunk, slot: number, most: number, now: Millis): Run {
    const { key, first, attempt, header } = chunk
    const inputs = this.#line.take(most) ?? chunk.inputs
    const run = ++this.#run
    this.#running.set(run, { ...chunk, inputs, slot, startedAt: now, left: inputs.indexes.length })
    this.#slotRuns[slot] = (this.#slotRuns[slot] as number) + 1
    const held = this.#held.get(key)
    for (const index of inputs.indexes) if (held !== undefined) held.state[index] = HELD.running
    return { kind: 'run', run, slot, key, keepers: held?.trail.keepers ?? [], header, first, attempt, inputs }
  }

  #finish(run: number, { slot }: Running): void {
    this.#running.delete(run)
    this.#slotRuns[slot] = (this.#slotRuns[slot] as number) - 1
  }

  /** Unstarted tasks that this node would like to hold, while it runs what it ran last. */
  #ahead(taskMs: number): number {
    const { slots } = this.#view
    return Number.isFinite(taskMs) ? Math.min(aheadTasksMax, Math.floor((aheadMs * slots) / taskMs)) : slots
  }

  #claims(now: Millis): Send[] {
    const { slots, owners } = this.#view
    if (this.#isLeaving) return this.#asked.renew(owners(), 0, 0, now)
    const isIdle = this.#running.size === 0 && this.#line.length === 0
    const free = Math.max(0, slots - this.#running.size)
    const ahead = isIdle ? slots : this.#ahead(this.#speeds.last)
    // Not for every few tasks that ended: little claims bring little grants, and those never grow again.
    if (free === 0 && 2 * this.#line.length > ahead && now < this.#claimAt) return []
    this.#claimAt = now + claimEveryMs
    const want = Math.max(0, free + ahead - this.#line.length)
    return this.#asked.renew(owners(), want, 2 * slots, now)
  }

  /** Work that turned out longer than was believed goes back to its owners, who may know an idle node. */
  #handBack(now: Millis): Send[] {
    let taskMs = this.#speeds.last
    for (const { startedAt, left } of this.#running.values()) {
      if (left === 1) taskMs = Number.isFinite(taskMs) ? Math.max(taskMs, now - startedAt) : now - startedAt
    }
    if (!Number.isFinite(taskMs) || taskMs < aheadMs) return []
    let keep = this.#ahead(taskMs)
    const back = new Map<Chunk, number[]>()
    for (const chunk of this.#line.chunks()) {
      const kept = Math.min(keep, chunk.inputs.indexes.length)
      keep -= kept
      const rest = [...chunk.inputs.indexes.subarray(kept)]
      if (rest.length > 0) back.set(chunk, rest)
    }
    return [...back].flatMap(([chunk, indexes]) => this.#returnQueued(chunk, indexes))
  }

  #returnQueued({ key, attempt }: Chunk, indexes: readonly number[]): Send[] {
    const owner = this.#held.get(key)?.trail.owner
    const gone = new Set(indexes)
    this.#unqueue(key, gone)
    if (owner === undefined) return []
    const packed = Uint32Array.from(indexes)
    return [send(owner, { kind: 'handback', key, attempt, isStarted: false, indexes: packed })]
  }

  #unqueue(key: ShardKey, indexes: ReadonlySet<number>): void {
    const held = this.#held.get(key)
    for (const index of this.#line.remove(key, indexes))
      if (held !== undefined) this.#forget(key, held, index)
  }
}
