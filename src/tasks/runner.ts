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
import type { JobHeader, TaskMessage, TaskMessageOf } from './messages.ts'
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

interface Chunk {
  readonly key: ShardKey
  readonly header: JobHeader
  readonly first: number
  readonly attempt: Attempt
  readonly from: PeerId
  inputs: Batch
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
  #chunks: Chunk[] = []
  #queued = 0
  readonly #running = new Map<number, Running>()
  readonly #slotRuns: number[]
  readonly #asked = new Claims()
  readonly #speeds = new Speeds()
  #run = 0
  #tendAt: Millis = 0
  #claimAt: Millis = 0

  constructor(view: RunnerView) {
    this.#view = view
    this.#slotRuns = new Array(view.slots).fill(0)
  }

  get running(): number {
    let sum = 0
    for (const { left } of this.#running.values()) sum += left
    return sum
  }

  get queued(): number {
    return this.#queued
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
    const own = { ...outcomes, node: this.#view.self }
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
    const lost = {
      kind: 'lost',
      key: running.key,
      attempt: running.attempt,
      indexes: Uint32Array.of(index)
    } as const
    return [send(held.trail.owner, lost), ...this.#work(now)]
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
    const queued = this.#chunks.reduce((sum, { inputs }) => sum + inputs.indexes.length, 0)
    assert(queued === this.#queued, `${this.#queued} queued, ${queued} counted`)
    for (const [key, { live, state }] of this.#held) {
      const counted = state.reduce((sum, one) => sum + (one === HELD.none ? 0 : 1), 0)
      assert(live === counted && live > 0, `${key}: ${live} held, ${counted} counted`)
    }
  }

  #granted(from: PeerId, grant: TaskMessageOf<'grant'>, now: Millis): RunnerEffect[] {
    const { key, header, first, attempt, inputs } = grant
    this.#asked.granted(from, inputs.indexes.length, grant.waiting)
    if (this.#view.slots === 0)
      return [send(from, { kind: 'handback', key, attempt, indexes: inputs.indexes })]
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
    if (fresh.length > 0) {
      this.#chunks.push({ key, header, first, attempt, from, inputs: pickAt(inputs, fresh) })
      this.#queued += fresh.length
    }
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
    this.#unqueue((chunk, index) => chunk.key === key && gone.has(index))
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
    while (this.#chunks.length > 0) {
      const chunk = this.#chunks[0] as Chunk
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
    const size = chunk.inputs.indexes.length
    const inputs = size <= most ? chunk.inputs : pickAt(chunk.inputs, range(0, most))
    if (size <= most) this.#chunks.shift()
    else chunk.inputs = pickAt(chunk.inputs, range(most, size))
    this.#queued -= inputs.indexes.length
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
    const { slots } = this.#view
    const isIdle = this.#running.size === 0 && this.#queued === 0
    const free = Math.max(0, slots - this.#running.size)
    const ahead = isIdle ? slots : this.#ahead(this.#speeds.last)
    // Not for every few tasks that ended: little claims bring little grants, and those never grow again.
    if (free === 0 && 2 * this.#queued > ahead && now < this.#claimAt) return []
    this.#claimAt = now + claimEveryMs
    const want = Math.max(0, free + ahead - this.#queued)
    return this.#asked.renew(this.#view.owners(), want, 2 * slots, now)
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
    for (const chunk of this.#chunks) {
      const kept = Math.min(keep, chunk.inputs.indexes.length)
      keep -= kept
      const rest = [...chunk.inputs.indexes.subarray(kept)]
      if (rest.length > 0) back.set(chunk, rest)
    }
    const effects: Send[] = []
    for (const [{ key, attempt }, indexes] of back) {
      const held = this.#held.get(key)
      const owner = held?.trail.owner
      const gone = new Set(indexes)
      this.#unqueue((chunk, index) => chunk.key === key && gone.has(index))
      if (owner !== undefined)
        effects.push(send(owner, { kind: 'handback', key, attempt, indexes: Uint32Array.from(indexes) }))
    }
    return effects
  }

  #unqueue(isGone: (chunk: Chunk, index: number) => boolean): void {
    for (const chunk of this.#chunks) {
      const kept: number[] = []
      const held = this.#held.get(chunk.key)
      for (const [at, index] of chunk.inputs.indexes.entries()) {
        if (!isGone(chunk, index)) kept.push(at)
        else if (held !== undefined) this.#forget(chunk.key, held, index)
      }
      this.#queued -= chunk.inputs.indexes.length - kept.length
      chunk.inputs = pickAt(chunk.inputs, kept)
    }
    this.#chunks = this.#chunks.filter(({ inputs }) => inputs.indexes.length > 0)
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)
