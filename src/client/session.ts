/**
 * A client's memory: which jobs it made or follows, what was acknowledged, what it has received.
 *
 * Not here: sockets and promises (client.ts), values (values.ts). The same session runs in the simulator.
 * An entry may be lost at any moment, so everything is kept until it is acknowledged, and said again to the next entry:
 * what has no acknowledgement under a new epoch, what has one by asking for what is missing.
 */
import { knownCode } from '../errors.ts'
import { type Digest, type JobId, type JobName, type ShardKey, shardName } from '../ids.ts'
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
import { ByName } from './by-name.ts'
import { Codes } from './codes.ts'
import { completionOf, cutOf, isLeftOut, learnTotal, takeLeftOut } from './cut.ts'
import { Hearing } from './hearing.ts'
import { type ClientMessage, type EntryMessage, type EntryMessageOf, triesMax } from './protocol.ts'
import { type Reader, Readers } from './readers.ts'
import {
  type Copies,
  cancelOf,
  checkJob,
  closeOf,
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
  startOf,
  submitOf,
  submittedAs,
  takeBack,
  takeRefusal,
  takeUnread,
  takeUnsent,
  type Whereabouts,
  whole
} from './shards.ts'

export class Session {
  readonly #jobs = new ByName<Job>()
  readonly #readers = new Readers((id) => this.#jobs.get(id))
  readonly #asks = new Asks()
  readonly #codes = new Codes()
  readonly #hearing = new Hearing()
  #isAttached = false

  /** A new job, and its code if that is to travel; shards follow by `add`, in order. Of two of one name the older `epoch` is forgotten. */
  begin(header: JobHeader, copies: Copies, code?: Uint8Array, start: Start = {}): SessionEffect[] {
    this.#jobs.set(newJob(header.job, copies, header, start))
    if (code !== undefined) this.#codes.add(header.code, code)
    return this.#isAttached ? this.#send([...this.#codes.toGive(header.code)]) : []
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
    return [{ kind: 'complete', job: id, tasks: 0 }, ...this.#lookAfter(id)]
  }

  /** Says where a job is, to a reader of this name. `isAwaited`: nobody is asked before this client has submitted it, or will not. */
  find(id: JobId, name: JobName = id, isAwaited = false): SessionEffect[] {
    if (this.#jobs.get(name) !== undefined) return []
    const here = this.#jobs.get(id)
    const job = newJob(id, { wanted: 0, least: 0 }, undefined, { name })
    job.isAwaited = isAwaited && (here === undefined || (here.isOwn && !here.isComplete))
    this.#jobs.set(job)
    return this.#look(job)
  }

  /** And reads it. */
  follow(id: JobId, name: JobName = id, isAwaited = false): SessionEffect[] {
    const effects = this.find(id, name, isAwaited)
    const job = this.#jobs.get(name)
    if (job === undefined || job.isOwn || job.isRead) return effects
    job.isRead = true
    return [...effects, ...this.#read(job)]
  }

  followInstead(id: JobId, name: JobName = id): SessionEffect[] {
    return [...this.forget(name), ...this.follow(id, name)]
  }

  cancel(name: JobName): SessionEffect[] {
    const job = this.#jobs.get(name)
    if (!job || job.isComplete) return job ? [] : [{ kind: 'complete', job: name, tasks: 0 }] // It was not begun.
    job.isCancelled = true
    const effects = job.shards.flatMap((shard) => this.#cancelIn(job, shard))
    return job.isOwn ? [...effects, ...this.close(job.id)] : effects
  }

  /** Only the task at `index` of the job, also if it is still to be submitted. */
  cancelTask(name: JobName, index: number): SessionEffect[] {
    const job = this.#jobs.get(name)
    if (job === undefined || job.isComplete || job.isCancelled) return []
    job.cancelled.add(index)
    return job.shards.filter(has(index)).flatMap((shard) => this.#cancelIn(job, shard))
  }

  /** Nothing of this job is wanted any more, under this name. */
  forget(name: JobName): SessionEffect[] {
    const job = this.#jobs.get(name)
    if (job !== undefined) this.#jobs.delete(job)
    this.#dropCode(job?.header?.code)
    const effects = job === undefined ? [] : this.#send(this.#readers.leaveAll(job))
    // Also if it was never begun.
    return [...effects, ...this.#lookAfter(name as JobId)]
  }

  /** A question about the mesh; its answer carries the number returned here. */
  query(what: string, about = ''): { ask: number; effects: SessionEffect[] } {
    const query = this.#asks.begin(what, about)
    return { ask: query.ask, effects: this.#send([query]) }
  }

  attached(now: Millis): SessionEffect[] {
    this.#isAttached = true
    this.#hearing.begin(now)
    const effects = this.#send([...this.#asks])
    for (const job of this.#jobs) effects.push(...this.#again(job))
    return effects
  }

  detached(): void {
    this.#isAttached = false
    this.#codes.entryLost()
    for (const job of this.#jobs) takeBack(job)
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
        return this.#jobs.named(message.header.job).flatMap((job) => this.#foundAt(job, message))
      case 'absent':
        return this.#jobs.named(message.job).flatMap((job) => this.#absent(job))
      case 'released':
        return this.#jobs.named(message.job).flatMap((job) => this.#gone(job))
      case 'superseded':
        return this.#jobs.named(message.job).flatMap((job) => this.#lookAgain(job))
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
    for (const job of this.#jobs) {
      if (retryAt(job) <= now) effects.push(...this.#push(job, now))
      effects.push(...this.#send(restated(job, now)))
    }
    const verdict = this.#owes ? this.#hearing.look(now) : 'wait'
    if (verdict === 'leave') effects.push({ kind: 'leave-entry' })
    if (verdict === 'ping') effects.push(...this.#send([this.#asks.ping()]))
    return effects
  }

  wakeAt(): Millis | undefined {
    if (!this.#isAttached || !this.#owes) return undefined
    return Math.min(this.#hearing.lookAt, ...[...this.#jobs].map(retryAt))
  }

  check(): void {
    for (const job of this.#jobs) checkJob(job)
  }

  get #owes(): boolean {
    return this.#asks.size > 0 || [...this.#jobs].some(({ isComplete }) => !isComplete)
  }

  #dropCode(code: Digest | undefined): void {
    const isUsed = [...this.#jobs].some((job) => job.header?.code === code && !job.isComplete)
    if (code !== undefined && !isUsed) this.#codes.drop(code)
  }

  #send(messages: readonly ClientMessage[]): SessionEffect[] {
    return this.#isAttached ? messages.map((message) => ({ kind: 'send', message })) : []
  }

  #again(job: Job): SessionEffect[] {
    if (job.isComplete) return []
    if (!job.isOwn && job.shards.length === 0) return this.#look(job)
    job.isCloseSent = false
    const open = job.shards.filter(isHeard)
    return [...open.flatMap((shard) => this.#listenAgain(job, shard)), ...this.#push(job)]
  }

  /** Asks where a job is, unless that is known here, or will be. */
  #look(job: Job): SessionEffect[] {
    const here = submittedAs(this.#jobs.get(job.id))
    if (here !== undefined) return this.#foundAt(job, here)
    return job.isAwaited ? [] : this.#send([{ kind: 'find', job: job.id }])
  }

  /** Whoever waited for this client to submit it. */
  #lookAfter(id: JobId): SessionEffect[] {
    const waiting = this.#jobs.named(id).filter(({ isAwaited }) => isAwaited)
    for (const job of waiting) job.isAwaited = false
    return waiting.flatMap((job) => this.#look(job))
  }

  /** Before it is accepted, an entry could do nothing about it. */
  #cancelIn(job: Job, shard: Shard): SessionEffect[] {
    return this.#send([...cancelOf(job, shard), ...cutOf(job, shard)])
  }

  #listen(job: Job, shard: Shard): SessionEffect[] {
    return [...this.#send(this.#readers.enter({ job, shard })), ...this.#cancelIn(job, shard)]
  }

  #listenAgain(job: Job, shard: Shard): SessionEffect[] {
    const messages = [...this.#readers.again({ job, shard }), ...startOf(job, shard)]
    return [...this.#send(messages), ...this.#cancelIn(job, shard)]
  }

  #push(job: Job, now: Millis = 0): SessionEffect[] {
    const { header } = job
    if (!this.#isAttached || !job.isOwn || header === undefined) return []
    // An entry keeps what it was given last: before each shard, as a job may rest for days.
    const submitted = takeUnsent(job, now).flatMap(([shard, inputs]) => [
      ...this.#codes.toGive(header.code),
      submitOf(job, shard, header, inputs)
    ])
    return this.#send([...submitted, ...closeOf(job)])
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
    const follow = this.#readers.enter({ job, shard })
    shard.copies = copies
    // Its entry tells of it by itself.
    const effects = job.isLeft ? this.#send(follow) : []
    if (job.isClosed) effects.push({ kind: 'closed', job: id })
    if (job.header?.atMostOnce) effects.push(...this.#send([{ kind: 'start', placement }]))
    else effects.push({ kind: 'accepted', job: id, index, copies, placement })
    return [...effects, ...this.#cancelIn(job, shard), ...this.#push(job), ...this.#lookAfter(id)]
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
    const meant = [...this.#jobs].filter(isAbout(of, about))
    const ask = of === 'query' && this.#asks.answered(Number(about)) ? Number(about) : undefined
    if (meant.length === 0) return [{ kind: 'misread', ask, code: known, message }]
    return meant.flatMap(({ name }) => [
      ...this.forget(name),
      { kind: 'refused', job: name, code: known, message } as const
    ])
  }

  #results({ key, outcomes }: EntryMessageOf<'results'>): SessionEffect[] {
    return [...this.#readers.of(key)].flatMap((reader) => this.#heard(reader, key, outcomes))
  }

  #heard({ job, shard }: Reader, key: ShardKey, outcomes: Batch): SessionEffect[] {
    const { isStarted, entries, fresh } = newsOf(shard, outcomes)
    const effects = isStarted ? started(job, shard) : []
    for (const [index, value] of entries) effects.push(...this.#placed(job, index, value))
    if (fresh.length > 0)
      effects.push({ kind: 'outcomes', job: job.name, first: shard.first, outcomes: pickAt(outcomes, fresh) })
    if (shard.has.size === shard.count && shard.state === 'placed') {
      shard.state = 'complete'
      // The first shard still tells where the others are, and that the job is closed.
      if (shard.index > 0) effects.push(...this.#send(this.#readers.leave(job, key)))
      effects.push(...(job.isOwn ? started(job, shard) : this.#read(job)))
    }
    return [...effects, ...this.#completed(job)]
  }

  #completed(job: Job): SessionEffect[] {
    if (!isFinished(job)) return []
    job.isComplete = true
    this.#dropCode(job.header?.code)
    const root = job.shards[0]?.placement
    return [...this.#send(root ? this.#readers.leave(job, root.key) : []), completionOf(job)]
  }

  #foundAt(job: Job, { placement, header, shards }: Whereabouts): SessionEffect[] {
    if (job.isOwn || job.shards.length > 0) return []
    Object.assign(job, { header, total: shards, isAwaited: false })
    this.#know(job, 0, placement)
    return [{ kind: 'found', job: job.name, header }, ...this.#read(job)]
  }

  #absent(job: Job): SessionEffect[] {
    return job.isOwn || job.isAwaited || job.shards.length > 0 ? [] : this.#gone(job)
  }

  /** It will not come any more, whatever was known of it. */
  #gone(job: Job): SessionEffect[] {
    if (job.isComplete) return []
    this.#readers.leaveAll(job)
    this.#jobs.delete(job)
    this.#dropCode(job.header?.code)
    return [{ kind: 'absent', job: job.name }]
  }

  /** Unless something was received already, which may have been another truth. */
  #lookAgain(job: Job): SessionEffect[] {
    if (job.isComplete) return []
    // An own one was submitted anew by somebody else: by another attempt of the task that this one is within.
    if (job.isOwn || job.shards.some(({ has }) => has.size > 0)) return this.#gone(job)
    return job.isRead ? this.followInstead(job.id, job.name) : []
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
    if (!learnTotal(job, value)) return this.#gone(job)
    const effects = takeLeftOut(job).flatMap((placement) => this.#letGo(job, placement))
    if (!job.isOwn) return [...effects, ...whole(job)]
    return [...effects, { kind: job.cut === undefined ? 'closed' : 'cancelled', job: job.name }]
  }

  /** The job does not have this shard. */
  #letGo(job: Job, placement: Placement): SessionEffect[] {
    const cancels: ClientMessage[] = job.isCancelled ? [{ kind: 'cancel', placement }] : []
    return this.#send([...cancels, ...this.#readers.leave(job, placement.key)])
  }

  #know(job: Job, index: number, placement: Placement): void {
    job.shards.push({ ...newShard(index, placement, undefined), placement })
  }

  #read(job: Job): SessionEffect[] {
    if (!job.isRead) return []
    return [...takeUnread(job).flatMap((shard) => this.#listen(job, shard)), ...whole(job)]
  }
}
