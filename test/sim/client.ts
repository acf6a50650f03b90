/**
 * One simulated client: the real session, attached to some node, making jobs and reading those of others.
 *
 * Not here: the stream to its entry (world.ts). A client may die; what was acknowledged to it must be found by others.
 */

import { readerName } from '../../src/client/by-name.ts'
import type { ClientMessage, EntryMessage } from '../../src/client/protocol.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionEffect } from '../../src/client/shards.ts'
import { type ClientId, type JobId, type JobName, shardName } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import type { Random } from '../../src/random.ts'
import type { JobHeader } from '../../src/tasks/messages.ts'
import { drawnNeeds } from './graph.ts'
import { inputsOf, type SimJob } from './jobs.ts'
import type { SimNode } from './node.ts'
import type { Vanishing } from './plan.ts'
import type { World } from './world.ts'

/** A client as the world sees it. */
export type Attached = Pick<SimClient, 'id' | 'streamId' | 'attachment' | 'entry' | 'receive' | 'lose'>

export class SimClient {
  readonly id: ClientId
  readonly jobs: SimJob[] = []
  readonly completed = new Set<JobId>()
  /** Readers of its own jobs that have not ended, by their ids. */
  readonly open = new Set<JobName>()
  /** A job of somebody else. */
  reading: JobId | undefined
  /** Tasks of it that this client cancels, however often it has to look for it. */
  #cancels: readonly number[] | 'all' = []
  readonly #world: World
  readonly #random: Random
  session: Session | undefined = new Session()
  entry: SimNode | undefined
  /** Counts attachments: what was said on an earlier one does not arrive. */
  attachment = 0
  #timerAt: Millis | undefined
  #isAway = false
  /** Questions whether a job is forgotten. */
  readonly #releasing = new Map<number, SimJob>()

  constructor(id: ClientId, world: World, random: Random) {
    this.id = id
    this.#world = world
    this.#random = random
  }

  /** What its entry knows it by: another name on every stream. */
  get streamId(): ClientId {
    return `${this.id}#${this.attachment}` as ClientId
  }

  attach(): void {
    if (this.session === undefined || this.entry !== undefined || this.#isAway) return
    const node = this.#random.pick(this.#world.entries())
    this.attachment++
    if (node === undefined) return this.#world.clock.after(200, () => this.attach())
    this.entry = node
    node.clients.add(this.streamId)
    node.step({ kind: 'client-connected', client: this.streamId })
    this.#perform(this.session.attached(this.#world.clock.now))
  }

  /** The entry is gone; the client looks for another one. */
  lose(): void {
    this.entry = undefined
    this.attachment++
    this.session?.detached()
    this.#world.clock.after(20 + this.#random.next() * 200, () => this.attach())
  }

  /** Goes away, and comes back elsewhere. */
  leave(backAfter: Millis): void {
    if (this.session === undefined) return
    this.#isAway = true
    this.#leave()
    this.lose()
    this.#world.clock.after(backAfter, () => {
      this.#isAway = false
      this.attach()
    })
  }

  die(): void {
    this.#leave()
    this.session = undefined
    this.entry = undefined
    this.attachment++
  }

  /** It dies in the midst of this job, and another one reads what became of it. */
  vanish(job: JobId, { after, withEntry, readAfter }: Vanishing): void {
    const world = this.#world
    world.clock.after(after, () => {
      if (world.acts.isOver) return
      const { entry } = this
      this.die()
      world.note(this.id, `dies while it submits ${job}`)
      if (withEntry && entry?.isRunning) world.acts.crash(entry, 'synced', true, 1_000 + readAfter)
      world.clock.after(readAfter, () => world.addClient(`early-${job}`).read(job))
    })
  }

  /** `cancels`: tasks whose client may have gone before it cancelled them, or all. */
  read(job: JobId, cancels: readonly number[] | 'all' = []): void {
    this.reading = job
    this.#cancels = cancels
    if (this.session === undefined) return
    this.#perform(this.session.follow(job))
    if (cancels === 'all') return this.#perform(this.session.cancel(job))
    for (const task of cancels) {
      this.#world.checkers.cancelled(job, task)
      this.#perform(this.session.cancelTask(job, task))
    }
  }

  submit(job: SimJob, header: JobHeader): void {
    if (this.session === undefined) return
    this.jobs.push(job)
    const { shards, isOpen, copies } = job.plan
    this.#perform(this.session.begin(header, copies))
    for (const task of job.cancelled) this.#perform(this.session.cancelTask(job.id, task))
    this.#readOwn(job)
    if (job.plan.needs !== undefined) return this.#addNext(job)
    let later = 0
    let first = 0
    for (const [i, count] of shards.entries()) {
      const inputs = inputsOf(job, first, count)
      const isLast = !isOpen && i === shards.length - 1
      const from = first
      const add = (): void => {
        if (this.session === undefined || job.isCancelled) return
        job.shards.push({ first: from, count, isAccepted: false })
        if (isLast) job.isClosed = true
        this.#perform(this.session.add(job.id, inputs, isLast))
      }
      first += count
      if (!isOpen) add()
      else {
        later += this.#random.next() * 500
        this.#world.clock.after(later, add)
      }
    }
    if (!isOpen) return
    this.#world.clock.after(later + 10, () => {
      if (this.session === undefined) return
      job.isClosed = true
      this.#perform(this.session.close(job.id))
    })
  }

  #readOwn({ id, plan: { readers = [] } }: SimJob): void {
    for (const [nth, { begins, leaves }] of readers.entries()) {
      const name = readerName(id, nth)
      this.#world.clock.after(begins, () => this.#follow(name))
      if (leaves !== undefined) this.#world.clock.after(leaves, () => this.#unfollow(name))
    }
  }

  #follow(name: JobName): void {
    if (this.session === undefined) return
    this.open.add(name)
    this.#perform(this.session.follow(jobOf(name), name, true))
  }

  #unfollow(name: JobName): void {
    this.open.delete(name)
    if (this.session !== undefined) this.#perform(this.session.forget(name))
  }

  /** A shard whose tasks may wait for those of shards that were accepted. */
  #addNext(job: SimJob): void {
    const { shards, needs: plan } = job.plan
    const at = job.shards.length
    const count = shards[at]
    if (this.session === undefined || job.isCancelled || plan === undefined || count === undefined) return
    const first = job.shards.reduce((sum, shard) => sum + shard.count, 0)
    job.shards.push({ first, count, isAccepted: false })
    job.isClosed = at === shards.length - 1
    const needs = drawnNeeds(this.#random, plan, count, {
      own: job.placements,
      others: this.#world.placements.filter(({ key }) => shardName(key).job !== job.id)
    })
    this.#world.checkers.graph.submitted(job.id, first, count, needs)
    this.#perform(this.session.add(job.id, inputsOf(job, first, count), job.isClosed, needs))
  }

  cancel(job: SimJob): void {
    if (this.session === undefined || job.isComplete) return
    job.isCancelled = true
    job.isClosed = true
    this.#world.checkers.cancelled(job.id)
    this.#perform(this.session.cancel(job.id))
  }

  cancelTask(job: SimJob, task: number): void {
    if (this.session === undefined || job.isComplete || job.isCancelled) return
    job.cancelled.add(task)
    this.#world.checkers.cancelled(job.id, task)
    this.#perform(this.session.cancelTask(job.id, task))
  }

  receive(message: EntryMessage): void {
    if (this.session !== undefined) this.#perform(this.session.message(message, this.#world.clock.now))
  }

  #perform(effects: readonly SessionEffect[]): void {
    this.session?.check()
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          this.#world.say(this, effect.message as ClientMessage)
          break
        case 'outcomes':
          this.#world.checkers.delivered(
            this.#asTold(effect.job),
            jobOf(effect.job),
            effect.first,
            effect.outcomes
          )
          this.#world.tell(this.id, 'results', effect.outcomes.indexes.length)
          break
        case 'accepted': {
          const job = this.jobs.find(({ id }) => id === effect.job)
          const shard = job?.shards[effect.index]
          if (shard !== undefined) shard.isAccepted = true
          this.#world.tell(this.id, 'accepted', effect.copies)
          job?.placements.push(effect.placement)
          this.#world.placements.push(effect.placement)
          if (job !== undefined) this.#world.clock.after(0, () => this.#addNext(job))
          break
        }
        case 'complete': {
          if (this.open.delete(effect.job)) break
          this.completed.add(jobOf(effect.job))
          const job = this.jobs.find(({ id }) => id === effect.job)
          if (job !== undefined) job.isComplete = true
          if (job?.plan.releaseAfter !== undefined)
            this.#world.clock.after(job.plan.releaseAfter, () => this.#release(job))
          this.#world.tell(this.id, 'complete', effect.tasks)
          break
        }
        case 'refused': {
          const job = this.jobs.find(({ id }) => id === effect.job)
          if (effect.code !== 'SHOAL_NOT_FOUND' || job?.mayBeGone !== true) break
          // Its time was over before this client heard that it was accepted.
          job.isComplete = true
          this.#perform(this.session?.forget(job.id) ?? [])
          break
        }
        case 'cancelled': {
          const job = this.jobs.find(({ id }) => id === effect.job)
          if (job !== undefined) job.isCancelled = job.isClosed = true
          break
        }
        case 'answer':
          this.#released(effect.ask, effect.json)
          break
        case 'absent': {
          const job = this.jobs.find(({ id }) => id === jobOf(effect.job))
          if (this.open.delete(effect.job)) {
            this.#world.checkers.readsAnew(this.#asTold(effect.job), jobOf(effect.job))
            const isThere = job?.shards[0]?.isAccepted === true && !job.mayBeGone
            if (isThere) this.#world.clock.after(2_000, () => this.#follow(effect.job))
            break
          }
          // Its time was over before this client heard of its end.
          if (job?.mayBeGone === true) job.isComplete = true
          if (job !== undefined) break
          // Its keepers may be away for now. A reader that was told so may have had a part: it reads all of it anew.
          const absent = jobOf(effect.job)
          this.#world.checkers.readsAnew(this.id, absent)
          const cancels = this.#cancels
          this.#world.clock.after(2_000, () => this.read(absent, cancels))
          break
        }
        case 'leave-entry': {
          this.#leave()
          this.lose()
          break
        }
        default:
      }
    }
    this.#setTimer()
  }

  /** Each of its readers is one to the checkers. */
  #asTold(name: JobName): string {
    return name === jobOf(name) ? this.id : `${this.id} as ${name}`
  }

  #release(job: SimJob): void {
    if (this.session === undefined) return
    if (!job.mayBeGone) this.#losesKeeper(job)
    job.mayBeGone = true
    const { ask, effects } = this.session.query('release', job.id)
    this.#releasing.set(ask, job)
    this.#perform(effects)
  }

  #losesKeeper({ plan, placements }: SimJob): void {
    const keeper = this.#random.pick(placements.flatMap(({ keepers }) => keepers))
    if (plan.keeperAwayMs === undefined || keeper === undefined) return
    const crash = { kind: 'crash', pick: keeper, disk: 'synced', isSilent: true } as const
    this.#world.acts.happen({ ...crash, backAfter: plan.keeperAwayMs })
  }

  #released(ask: number, json: string): void {
    const job = this.#releasing.get(ask)
    this.#releasing.delete(ask)
    if (job === undefined) return
    const { value } = JSON.parse(json) as { value: unknown }
    // It may have been complete for its client and not yet everywhere.
    if (value === 'released') job.isReleased = true
    else this.#world.clock.after(1_000, () => this.#release(job))
  }

  #leave(): void {
    this.entry?.clients.delete(this.streamId)
    this.entry?.step({ kind: 'client-disconnected', client: this.streamId })
  }

  #setTimer(): void {
    const at = this.session?.wakeAt()
    if (at === undefined || (this.#timerAt !== undefined && this.#timerAt <= at)) return
    const { clock } = this.#world
    const due = Math.max(at, clock.now + 1)
    this.#timerAt = due
    clock.after(due - clock.now, () => {
      if (this.#timerAt !== due) return
      this.#timerAt = undefined
      if (this.session !== undefined) this.#perform(this.session.wake(clock.now))
    })
  }
}

const jobOf = (name: JobName): JobId => name.split(' ')[0] as JobId
