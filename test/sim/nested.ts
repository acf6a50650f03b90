/**
 * Jobs that simulated tasks submit from the nodes that run them, and wait for: the real session of an engine's client.
 *
 * Not here: slots that are lent meanwhile (engines.ts), and what counts of several attempts (src/tasks/rivals.ts).
 * As in an engine (src/client/within.ts), a job is named by its task and its place among the jobs of that, and each attempt
 * begins with an epoch above those of the attempts before it. The entry is the own node and is lost only together with it.
 */

import { epochsPerAttempt, firstEpoch } from '../../src/client/nest.ts'
import { type ClientMessage, type EntryMessage, triesMax } from '../../src/client/protocol.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionEffect } from '../../src/client/shards.ts'
import { type ClientId, type JobId, type PeerId, type ShardKey, shardName } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import { hash32, type Random } from '../../src/random.ts'
import { readOutcomeHeader, STATUS, valueAt } from '../../src/tasks/batch.ts'
import type { Run } from '../../src/tasks/effects.ts'
import type { Forgettable, Parent } from '../../src/tasks/messages.ts'
import { Violation } from './checkers.ts'
import { headerOf, inputsOf, newJob, type SimJob } from './jobs.ts'
import { depthsMax } from './nests-plan.ts'
import type { SimNode } from './node.ts'
import { type Act, type JobPlan, PLAIN_JOB } from './plan.ts'
import type { World } from './world.ts'

/** In one world, all attempts counted: each costs as much as a job of a client. */
const nestedMax = 24
/** Part of the tasks with such jobs whose node is lost to the others while they wait. */
const interrupted = 0.2
/** And of those whose entry is busy when they submit. */
const kept = 0.1
/** Nobody but their task knows of them: as a client says it, if its user does not. */
const retentionMs = 600_000

/** How the wait of a task ends; `superseded` if what it submitted is another attempt's by now. */
export type NestEnd = 'complete' | 'refused' | 'superseded'

export class Nests {
  readonly #world: World
  readonly #random: Random
  readonly guests = new Set<Guest>()
  /** Jobs that were submitted so far. */
  count = 0
  /** Of tasks that submitted any, the newest attempt that did. */
  readonly #newest = new Map<string, number>()
  /** Attempts that submitted any, by who granted them. */
  readonly #turns = new Set<string>()
  /** Shards that some node has said to forget: who hears it ends what tasks of them submitted, before that is on any disk. */
  readonly letGo = new Set<Forgettable>()
  /** Of jobs whose task was lost with its node, the epochs with which it began. */
  readonly #orphans = new Map<JobId, Set<number>>()

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
  }

  /** The task of this run submits one or two jobs and waits for them; `undefined` if it submits none. */
  begin(at: PeerId, run: Run, index: number, onEnd: (end: NestEnd) => void): Guest | undefined {
    const node = this.#world.node(at)
    const around = this.#world.planOf(run.header.job)
    const depth = run.header.depth + 1
    if (node === undefined || around === undefined || depth >= depthsMax || this.count >= nestedMax)
      return undefined
    const place = placeOf(run, index)
    const before = this.#newest.get(place)
    if (before === undefined && !this.#random.chance(0.7)) return undefined
    // Where a grant may come twice, or after it was handed back, two runs have the same number; on real streams none have.
    const turn = `${place} ${run.attempt} ${run.seat}`
    if (this.#turns.has(turn) && !this.#world.plan.weather.isOrdered) return undefined
    this.#turns.add(turn)
    this.#newest.set(place, Math.max(before ?? 0, run.attempt))
    const jobs = Array.from({ length: this.#random.chance(0.3) ? 2 : 1 }, (_, nth) => {
      const id = nameOf(`${place} ${nth}`)
      const plan = this.#draw(around, depth)
      this.#world.planned(id, plan)
      return newJob(id, plan)
    })
    this.count += jobs.length
    const id = `task${this.count} at ${at}` as ClientId
    const mayBeSuperseded = (): boolean =>
      this.#newest.get(place) !== run.attempt || this.#world.checkers.durable.hasPair(run.header.job)
    const parent = { key: run.key, keepers: run.keepers, index }
    const guest = new Guest(this.#world, node, { id, jobs, parent, onEnd, mayBeSuperseded })
    const epoch = firstEpoch(run.attempt, run.seat)
    this.#world.clock.after(0.2, () => guest.begin(epoch, this.#random))
    const busyMs = this.#random.chance(kept) ? this.#keepWaiting(node) : 0
    if (busyMs > 0 || this.#random.chance(interrupted)) this.#interrupt(node, busyMs)
    return guest
  }

  /** Guests of these nodes, those included whose jobs have no end. */
  at(nodes: readonly SimNode[]): Guest[] {
    return [...this.guests].filter(({ entry }) => entry !== undefined && nodes.includes(entry))
  }

  /** Who submitted this is lost with its node. */
  orphaned(job: JobId, epoch: number): void {
    this.#world.checkers.cancelled(job)
    this.#orphans.set(job, (this.#orphans.get(job) ?? new Set()).add(epoch))
  }

  /** Whoever submitted this shard cannot cancel it any more. */
  isOrphan(key: ShardKey): boolean {
    const { job, epoch } = shardName(key)
    const begun = this.#orphans.get(job) ?? []
    return [...begun].some((first) => Math.floor((epoch / triesMax - first) / epochsPerAttempt) === 0)
  }

  /** A task with these jobs has ended, or nobody knows it any more: they are nobody's. */
  isOver([parent]: readonly Parent[]): boolean {
    const { durable } = this.#world.checkers
    if (parent === undefined) return false
    return durable.outcomes(parent.key, parent.index).length > 0 || durable.isForgotten(parent.key)
  }

  /** Whether an attempt of this task before submitted jobs: then it does so again, under the same names. */
  isKnown(run: Run, index: number): boolean {
    return this.#newest.has(placeOf(run, index))
  }

  /** For so long it takes nothing more. */
  #keepWaiting({ id }: SimNode): Millis {
    const lasts = 1_000 + this.#random.next() * 8_000
    this.#world.acts.happen({ kind: 'busy', pick: id, lasts })
    return lasts
  }

  /** Its task runs elsewhere meanwhile, and here, too, unless the node crashes. */
  #interrupt({ id }: SimNode, after: Millis): void {
    const random = this.#random
    const lasts = 3_000 + random.next() * 12_000
    const act: Act = random.chance(0.3)
      ? { kind: 'crash', pick: id, disk: 'synced', isSilent: random.chance(0.5), backAfter: lasts }
      : random.chance(0.7)
        ? { kind: 'split', side: [id], lasts }
        : { kind: 'pause', pick: id, lasts }
    this.#world.clock.after(after + random.next() * (after > 0 ? 400 : 1_500), () =>
      this.#world.acts.happen(act)
    )
  }

  /** An attempt that follows may decide otherwise. */
  #draw({ copies, priority, submitter }: JobPlan, depth: number): JobPlan {
    const random = this.#random
    return {
      ...PLAIN_JOB,
      taskMs: random.pick([1, 20, 200, 800]) ?? 1,
      shards: Array.from({ length: 1 + random.below(3) }, () => 1 + random.below(4)),
      isOpen: random.chance(0.3),
      priority,
      copies,
      retentionMs,
      submitter,
      depth
    }
  }
}

interface Visit {
  readonly id: ClientId
  readonly jobs: readonly SimJob[]
  readonly parent: Parent
  readonly onEnd: (end: NestEnd) => void
  readonly mayBeSuperseded: () => boolean
}

/** The client of one task. Its entry never hears that it leaves: in an engine, it serves the tasks that follow. */
export class Guest {
  readonly id: ClientId
  readonly #world: World
  readonly #jobs: readonly SimJob[]
  readonly #parent: Parent
  #epoch = 0
  readonly #onEnd: (end: NestEnd) => void
  readonly #mayBeSuperseded: () => boolean
  readonly #session = new Session()
  entry: SimNode | undefined
  attachment = 0
  #isAbandoned = false
  #timerAt: Millis | undefined

  constructor(world: World, node: SimNode, { id, jobs, parent, onEnd, mayBeSuperseded }: Visit) {
    this.#world = world
    this.entry = node
    this.id = id
    this.#jobs = jobs
    this.#parent = parent
    this.#onEnd = onEnd
    this.#mayBeSuperseded = mayBeSuperseded
  }

  get streamId(): ClientId {
    return this.id
  }

  begin(epoch: number, random: Random): void {
    const { entry } = this
    if (entry === undefined || !entry.isRunning || this.#isAbandoned) return
    this.#world.nests.guests.add(this)
    entry.clients.add(this.id)
    entry.step({ kind: 'client-connected', client: this.id })
    this.#perform(this.#session.attached(this.#world.clock.now))
    this.#epoch = epoch
    for (const job of this.#jobs) this.#submit(job, random)
  }

  /** Its task is over: nobody will read what it submitted. */
  abandon(): void {
    this.#isAbandoned = true
    for (const job of this.#jobs) {
      if (job.isComplete || job.isCancelled) continue
      job.isCancelled = true
      this.#world.checkers.cancelled(job.id)
      this.#perform(this.#session.cancel(job.id))
    }
    this.#leaveIfOver()
  }

  /** With its node. */
  lose(): void {
    for (const job of this.#jobs) if (!job.isComplete) this.#world.nests.orphaned(job.id, this.#epoch)
    this.entry = undefined
    this.attachment++
    this.#world.nests.guests.delete(this)
  }

  receive(message: EntryMessage): void {
    this.#perform(this.#session.message(message, this.#world.clock.now))
  }

  #submit(job: SimJob, random: Random): void {
    const { id, plan } = job
    const epoch = this.#epoch
    this.#world.note(this.id, `submits ${id}, epoch ${epoch}`)
    const header = { ...headerOf(id, plan, this.#world.clock.now), parent: [this.#parent] }
    this.#perform(this.#session.begin(header, plan.copies, undefined, { epoch }))
    let first = 0
    let later = 0
    for (const [at, count] of plan.shards.entries()) {
      const inputs = inputsOf(job, first, count)
      const add = (): void => {
        if (this.entry !== undefined && !job.isCancelled)
          this.#perform(this.#session.add(id, inputs, at === plan.shards.length - 1))
      }
      if (at > 0 && plan.isOpen) {
        later += random.next() * 2_000
        this.#world.clock.after(later, add)
      } else add()
      first += count
    }
  }

  #perform(effects: readonly SessionEffect[]): void {
    this.#session.check()
    for (const effect of effects) {
      if (effect.kind === 'send') this.#world.say(this, effect.message as ClientMessage)
      else if (effect.kind === 'outcomes') this.#receives(effect)
      else if (effect.kind === 'complete') this.#ended(effect.job as JobId, 'complete')
      else if (effect.kind === 'refused') this.#ended(effect.job as JobId, 'refused')
      else if (effect.kind === 'absent') this.#ended(effect.job as JobId, 'superseded')
    }
    this.#setTimer()
  }

  #receives({ job: name, first, outcomes }: Extract<SessionEffect, { kind: 'outcomes' }>): void {
    const job = name as JobId
    const { nests, checkers } = this.#world
    const { job: around } = shardName(this.#parent.key)
    // Its task may have ended elsewhere, and not have heard of it.
    const isLetGo = nests.letGo.has(this.#parent.key)
    const mayBeOver = isLetGo || nests.isOver([this.#parent]) || checkers.durable.hasPair(around)
    if (mayBeOver) checkers.cancelled(job)
    checkers.delivered(this.id, job, first, outcomes)
    if (mayBeOver) return
    for (let at = 0; at < outcomes.indexes.length; at++)
      if (!this.#isAbandoned && readOutcomeHeader(valueAt(outcomes, at)).status === STATUS.cancelled)
        throw new Violation(
          'no-unexpected',
          `${this.id} hears that its ${job} was cancelled, and waits for it`
        )
  }

  #ended(id: JobId, end: NestEnd): void {
    const job = this.#jobs.find((one) => one.id === id)
    if (job === undefined || job.isComplete) return
    job.isComplete = true
    if (end === 'superseded' && !this.#mayBeSuperseded())
      throw new Violation('no-lost', `${id} gives way to another attempt's, and ${this.id} is the newest one`)
    if (end === 'refused') this.#perform(this.#session.forget(id))
    const isOver = this.#jobs.every(({ isComplete }) => isComplete)
    if (!this.#isAbandoned && (isOver || end !== 'complete')) this.#onEnd(end)
    this.#leaveIfOver()
  }

  #leaveIfOver(): void {
    if (this.entry === undefined || !this.#jobs.every(({ isComplete }) => isComplete)) return
    this.#world.nests.guests.delete(this)
    // Its last words are on their way.
    this.#world.clock.after(1, () => this.lose())
  }

  #setTimer(): void {
    const at = this.entry === undefined ? undefined : this.#session.wakeAt()
    if (at === undefined || (this.#timerAt !== undefined && this.#timerAt <= at)) return
    const { clock } = this.#world
    const due = Math.max(at, clock.now + 1)
    this.#timerAt = due
    clock.after(due - clock.now, () => {
      if (this.#timerAt !== due) return
      this.#timerAt = undefined
      if (this.entry !== undefined) this.#perform(this.#session.wake(clock.now))
    })
  }
}

const placeOf = ({ key, first }: Run, index: number): string => `${key} ${first + index}`
const nameOf = (place: string): JobId =>
  `nest-${hash32(place).toString(36)}-${hash32(`${place}.`).toString(36)}` as JobId
