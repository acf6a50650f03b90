/**
 * A client's memory: which jobs it made or follows, what was acknowledged, what it has received.
 *
 * Not here: sockets and promises (client.ts), values (values.ts). The same session runs in the simulator.
 * An entry may be lost at any moment, so everything is kept until it is acknowledged, and said again to the next entry:
 * what has no acknowledgement under a new epoch, what has one by asking for what is missing.
 */
import { knownCode } from '../errors.ts'
import { type Digest, type JobId, type ShardKey, shardName } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { type Batch, pickAt } from '../tasks/batch.ts'
import {
  closedIndex,
  type JobHeader,
  type Needs,
  type Placement,
  parsePlacement,
  placementBase
} from '../tasks/messages.ts'
import { Asks } from './asks.ts'
import { Codes } from './codes.ts'
import { completionOf, cutOf, isLeftOut, learnTotal, takeLeftOut } from './cut.ts'
import { Hearing } from './hearing.ts'
import { type ClientMessage, type EntryMessage, type EntryMessageOf, triesMax } from './protocol.ts'
import {
  type Copies,
  cancelOf,
  checkJob,
  has,
  isAbout,
  isFinished,
  isHeard,
  type Job,
  newJob,
  newShard,
  newsOf,
  nextShard,
  restated,
  retryAt,
  type SessionEffect,
  type Shard,
  type Start,
  started,
  submitOf,
  takeBack,
  takeRefusal,
  takeUnread
} from './shards.ts'

/** Shards on their way to their keepers at once. */
export const unacknowledgedMax = 32

export class Session {
  readonly #jobs = new Map<JobId, Job>()
  readonly #byKey = new Map<ShardKey, { job: Job; shard: Shard }>()
  readonly #asks = new Asks()
  readonly #codes = new Codes()
  readonly #hearing = new Hearing()
  #isAttached = false

  /** A new job, and its code if that is to travel; shards follow by `add`, in order. Of two of one name the older `epoch` is forgotten. */
  begin(header: JobHeader, copies: Copies, code?: Uint8Array, start: Start = {}): SessionEffect[] {
    this.#jobs.set(header.job, newJob(header.job, copies, header, start))
    if (code !== undefined) this.#codes.add(header.code, code)
    return this.#give(header.code)
  }

  /** One more shard; `isLast` closes the job. Inputs are in order, indexes from 0. `needs` name shards that were accepted. */
  add(id: JobId, inputs: Batch, isLast: boolean, needs: readonly Needs[] = []): SessionEffect[] {
    const job = this.#jobs.get(id)
    if (job === undefined || job.isCancelled) return []
    assert(job.total === 0, `${id} was closed`)
    job.shards.push(nextShard(job, inputs, needs))
    if (isLast) job.total = job.shards.length
    return this.#push(job)
  }

  /** No more shards will come. A job without any tasks is complete at once and never leaves the client. */
  close(id: JobId): SessionEffect[] {
    const job = this.#jobs.get(id)
    if (job === undefined || job.total > 0 || job.isComplete) return []
    job.total = job.shards.length
    if (job.total > 0) return [...this.#push(job), ...this.#completed(job)]
    job.isComplete = true
    return [{ kind: 'complete', job: id, tasks: 0 }]
  }

  /** Reads a job that somebody made. */
  follow(id: JobId): SessionEffect[] {
    if (this.#jobs.has(id)) return []
    this.#jobs.set(id, newJob(id, { wanted: 0, least: 0 }, undefined))
    return this.#send({ kind: 'find', job: id })
  }

  followInstead(id: JobId): SessionEffect[] {
    return [...this.forget(id), ...this.follow(id)]
  }

  cancel(id: JobId): SessionEffect[] {
    const job = this.#jobs.get(id)
    if (!job || job.isComplete) return job ? [] : [{ kind: 'complete', job: id, tasks: 0 }] // It was not begun.
    job.isCancelled = true
    const effects = job.shards.flatMap((shard) => this.#cancelIn(job, shard))
    return job.isOwn ? [...effects, ...this.close(id)] : effects
  }

  /** Only the task at `index` of the job, also if it is still to be submitted. */
  cancelTask(id: JobId, index: number): SessionEffect[] {
    const job = this.#jobs.get(id)
    if (job === undefined || job.isComplete || job.isCancelled) return []
    job.cancelled.add(index)
    return job.shards.filter(has(index)).flatMap((shard) => this.#cancelIn(job, shard))
  }

  /** Nothing of this job is wanted any more. */
  forget(id: JobId): SessionEffect[] {
    const job = this.#jobs.get(id)
    this.#jobs.delete(id)
    this.#dropCode(job?.header?.code)
    const effects: SessionEffect[] = []
    for (const { placement, state } of job?.shards ?? []) {
      if (placement === undefined) continue
      this.#byKey.delete(placement.key)
      if (state === 'placed') effects.push(...this.#send({ kind: 'unfollow', key: placement.key }))
    }
    return effects
  }

  /** A question about the mesh; its answer carries the number returned here. */
  query(what: string, about = ''): { ask: number; effects: SessionEffect[] } {
    const query = this.#asks.begin(what, about)
    return { ask: query.ask, effects: this.#send(query) }
  }

  attached(now: Millis): SessionEffect[] {
    this.#isAttached = true
    this.#hearing.begin(now)
    const effects = [...this.#asks].flatMap((query) => this.#send(query))
    for (const job of this.#jobs.values()) effects.push(...this.#again(job))
    return effects
  }

  detached(): void {
    this.#isAttached = false
    this.#codes.entryLost()
    for (const job of this.#jobs.values()) takeBack(job)
  }

  message(message: EntryMessage, now: Millis): SessionEffect[] {
    this.#hearing.heard(now)
    switch (message.kind) {
      case 'submitted':
        return this.#submitted(message)
      case 'refused':
        return this.#refused(message, now)
      case 'results':
        return this.#results(message)
      case 'found':
        return this.#found(message)
      case 'absent':
        return this.#absent(message.job)
      case 'released':
        return this.#gone(message.job)
      case 'superseded':
        return this.#lookAgain(message.job)
      case 'misread':
        return this.#misread(message)
      case 'answer':
        return this.#asks.answered(message.ask) ? [message] : []
      case 'welcome':
        return [{ kind: 'welcome', peer: message.peer, others: message.others }]
      default:
        return []
    }
  }

  wake(now: Millis): SessionEffect[] {
    if (!this.#isAttached) return []
    const effects: SessionEffect[] = []
    for (const job of this.#jobs.values()) {
      if (retryAt(job) <= now) effects.push(...this.#push(job, now))
      for (const message of restated(job, now)) effects.push(...this.#send(message))
    }
    const verdict = this.#owes ? this.#hearing.look(now) : 'wait'
    if (verdict === 'leave') effects.push({ kind: 'leave-entry' })
    if (verdict === 'ping') effects.push(...this.#send(this.#asks.ping()))
    return effects
  }

  wakeAt(): Millis | undefined {
    if (!this.#isAttached || !this.#owes) return undefined
    return Math.min(this.#hearing.lookAt, ...[...this.#jobs.values()].map(retryAt))
  }

  check(): void {
    for (const job of this.#jobs.values()) checkJob(job, unacknowledgedMax)
  }

  get #owes(): boolean {
    return this.#asks.size > 0 || [...this.#jobs.values()].some(({ isComplete }) => !isComplete)
  }

  /** An entry keeps what it was given last: before each shard, as a job may rest for days. */
  #give(code: Digest): SessionEffect[] {
    return this.#isAttached ? [...this.#codes.toGive(code)].map((message) => ({ kind: 'send', message })) : []
  }

  #dropCode(code: Digest | undefined): void {
    const isUsed = [...this.#jobs.values()].some((job) => job.header?.code === code && !job.isComplete)
    if (code !== undefined && !isUsed) this.#codes.drop(code)
  }

  #send(message: ClientMessage): SessionEffect[] {
    return this.#isAttached ? [{ kind: 'send', message }] : []
  }

  /** Says everything of a job that an entry must know. */
  #again(job: Job): SessionEffect[] {
    if (job.isComplete) return []
    if (!job.isOwn && job.shards.length === 0) return this.#send({ kind: 'find', job: job.id })
    job.isCloseSent = false
    const open = job.shards.filter(isHeard)
    return [...open.flatMap((shard) => this.#listen(job, shard)), ...this.#push(job)]
  }

  /** Before it is accepted, an entry could do nothing about it. */
  #cancelIn(job: Job, shard: Shard): SessionEffect[] {
    return [...cancelOf(job, shard), ...cutOf(job, shard)].flatMap((message) => this.#send(message))
  }

  #listen(job: Job, shard: Shard): SessionEffect[] {
    const { placement, has, isStarted } = shard
    if (placement === undefined) return []
    const effects = this.#send({ kind: 'follow', placement, have: Uint32Array.from(has) })
    if (job.isOwn && job.header?.atMostOnce && !isStarted)
      effects.push(...this.#send({ kind: 'start', placement }))
    return [...effects, ...this.#cancelIn(job, shard)]
  }

  /** Sends what may be sent: the first shard alone, for it says where the job's register is; then the others, within bounds. */
  #push(job: Job, now: Millis = 0): SessionEffect[] {
    if (!this.#isAttached || !job.isOwn || job.header === undefined) return []
    const effects: SessionEffect[] = []
    const root = job.shards[0]?.placement
    let sent = job.shards.filter(({ state }) => state === 'sent').length
    for (const shard of job.shards) {
      if (shard.state !== 'new' || shard.inputs === undefined || shard.retryAt > now) continue
      if (sent >= unacknowledgedMax || (shard.index > 0 && root === undefined)) break
      shard.state = 'sent'
      shard.retryAt = 0
      sent++
      if (shard.index === 0) job.isClosed = job.total > 0
      effects.push(...this.#give(job.header.code))
      effects.push(...this.#send(submitOf(job, shard, job.header, shard.inputs)))
    }
    // Shard 0 says how many there are, if that was known when it was sent; else the register is told afterwards.
    if (job.total > 0 && root !== undefined && !job.isClosed && !job.isCloseSent) {
      job.isCloseSent = true
      effects.push(...this.#send({ kind: 'close', root, shards: job.total }))
    }
    return effects
  }

  #submitted({ job: id, index, placement, copies }: EntryMessageOf<'submitted'>): SessionEffect[] {
    const job = this.#jobs.get(id)
    const shard = job?.shards[index]
    if (job !== undefined && isLeftOut(job, index)) return this.#letGo(job, placement)
    if (job === undefined || shard === undefined || shard.placement !== undefined) return []
    // Nobody but this client knows which epoch of the first shard counts: the last one that it sent.
    if (index === 0 && Math.floor(shardName(placement.key).epoch / triesMax) !== shard.epoch) return []
    shard.placement = placement
    shard.state = 'placed'
    shard.inputs = undefined
    this.#byKey.set(placement.key, { job, shard })
    shard.copies = copies
    const effects: SessionEffect[] = job.isClosed ? [{ kind: 'closed', job: id }] : []
    if (job.header?.atMostOnce) effects.push(...this.#send({ kind: 'start', placement }))
    else effects.push({ kind: 'accepted', job: id, index, copies, placement })
    return [...effects, ...this.#cancelIn(job, shard), ...this.#push(job)]
  }

  #refused({ job: id, index, code, message }: EntryMessageOf<'refused'>, now: Millis): SessionEffect[] {
    const shard = this.#jobs.get(id)?.shards[index]
    if (shard === undefined || shard.state !== 'sent') return []
    const known = knownCode(code)
    takeRefusal(shard, known, now)
    return known === 'SHOAL_BUSY' ? [] : [{ kind: 'refused', job: id, code: known, message }]
  }

  /** No other entry could read it either: what it belongs to fails, and is not said again. */
  #misread({ of, about, code, message }: EntryMessageOf<'misread'>): SessionEffect[] {
    const known = knownCode(code)
    const meant = [...this.#jobs.values()].filter(isAbout(of, about))
    const ask = of === 'query' && this.#asks.answered(Number(about)) ? Number(about) : undefined
    if (meant.length === 0) return [{ kind: 'misread', ask, code: known, message }]
    return meant.flatMap(({ id }) => [
      ...this.forget(id),
      { kind: 'refused', job: id, code: known, message } as const
    ])
  }

  #results({ key, outcomes }: EntryMessageOf<'results'>): SessionEffect[] {
    const found = this.#byKey.get(key)
    if (found === undefined) return []
    const { job, shard } = found
    const { isStarted, entries, fresh } = newsOf(shard, outcomes)
    const effects = isStarted ? started(job, shard) : []
    for (const [index, value] of entries) effects.push(...this.#placed(job, index, value))
    if (fresh.length > 0)
      effects.push({ kind: 'outcomes', job: job.id, first: shard.first, outcomes: pickAt(outcomes, fresh) })
    if (shard.has.size === shard.count && shard.state === 'placed') {
      shard.state = 'complete'
      // The first shard still tells where the others are, and that the job is closed.
      if (shard.index > 0) effects.push(...this.#send({ kind: 'unfollow', key }))
      effects.push(...(job.isOwn ? started(job, shard) : this.#read(job)))
    }
    return [...effects, ...this.#completed(job)]
  }

  #completed(job: Job): SessionEffect[] {
    if (!isFinished(job)) return []
    job.isComplete = true
    this.#dropCode(job.header?.code)
    const root = job.shards[0]?.placement
    const effects: SessionEffect[] = root === undefined ? [] : this.#send({ kind: 'unfollow', key: root.key })
    return [...effects, completionOf(job)]
  }

  #found({ placement, header, shards }: EntryMessageOf<'found'>): SessionEffect[] {
    const job = this.#jobs.get(header.job)
    if (job === undefined || job.isOwn || job.shards.length > 0) return []
    job.header = header
    job.total = shards
    this.#know(job, 0, placement)
    return [{ kind: 'found', job: job.id, header }, ...this.#read(job)]
  }

  #absent(id: JobId): SessionEffect[] {
    const job = this.#jobs.get(id)
    return job === undefined || job.isOwn || job.shards.length > 0 ? [] : this.#gone(id)
  }

  /** It will not come any more, whatever was known of it. */
  #gone(id: JobId): SessionEffect[] {
    const job = this.#jobs.get(id)
    if (job === undefined || job.isComplete) return []
    for (const { placement } of job.shards) if (placement !== undefined) this.#byKey.delete(placement.key)
    this.#jobs.delete(id)
    this.#dropCode(job.header?.code)
    return [{ kind: 'absent', job: id }]
  }

  /** Unless something was received already, which may have been another truth. */
  #lookAgain(id: JobId): SessionEffect[] {
    const job = this.#jobs.get(id)
    if (job === undefined || job.isComplete) return []
    // An own one was submitted anew by somebody else: by another attempt of the task that this one is within.
    if (job.isOwn || job.shards.some(({ has }) => has.size > 0)) return this.#gone(id)
    return this.followInstead(id)
  }

  /** An entry of the job's register. */
  #placed(job: Job, index: number, value: Uint8Array): SessionEffect[] {
    if (index === closedIndex) return this.#closed(job, value)
    const placement = job.isOwn ? undefined : parsePlacement(value)
    if (placement === undefined || job.shards.some((shard) => shard.index === index - placementBase))
      return []
    if (isLeftOut(job, index - placementBase)) return this.#letGo(job, placement)
    this.#know(job, index - placementBase, placement)
    return this.#read(job)
  }

  #closed(job: Job, value: Uint8Array): SessionEffect[] {
    // Another attempt of the task that this one is within has submitted it, too, and was first.
    if (!learnTotal(job, value)) return this.#gone(job.id)
    const effects = takeLeftOut(job).flatMap((placement) => this.#letGo(job, placement))
    if (job.isOwn) effects.push({ kind: job.cut === undefined ? 'closed' : 'cancelled', job: job.id })
    return effects
  }

  /** The job does not have this shard. */
  #letGo(job: Job, placement: Placement): SessionEffect[] {
    this.#byKey.delete(placement.key)
    const cancels = job.isCancelled ? this.#send({ kind: 'cancel', placement }) : []
    return [...cancels, ...this.#send({ kind: 'unfollow', key: placement.key })]
  }

  #know(job: Job, index: number, placement: Placement): void {
    const shard = { ...newShard(index, placement, undefined), placement }
    job.shards.push(shard)
    this.#byKey.set(placement.key, { job, shard })
  }

  #read(job: Job): SessionEffect[] {
    return takeUnread(job).flatMap((shard) => this.#listen(job, shard))
  }
}
