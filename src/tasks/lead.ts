/**
 * One shard as its owner sees it: its register, its tasks, and who wants to hear of its outcomes.
 *
 * Not here: claims and the choice among shards (owner.ts), becoming owner (succession.ts).
 * An outcome is proposed when it arrives and confirmed to its producer when it is committed; between the two the producer
 * keeps it, so that an owner that dies takes no finished work with it.
 */
import { type Attempt, type PeerId, type ShardKey, shardName } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { Audience } from './audience.ts'
import { type Batch, pickAt, readOutcomeHeader, STATUS, valueAt } from './batch.ts'
import { isClosed } from './closing.ts'
import { Deadline } from './deadline.ts'
import type { LeadView } from './dealer.ts'
import { Dependents, type News } from './dependents.ts'
import { confirm, type Send, send } from './effects.ts'
import { Entries } from './entries.ts'
import { grantsOf, revoke, revokesOf } from './grants.ts'
import { type Asked, Locality } from './locality.ts'
import { lossesMax } from './losses.ts'
import { Marks } from './marks.ts'
import { closedIndex, type ShardRecord, type TaskMessageOf } from './messages.ts'
import { holdPermitted, Once } from './once.ts'
import { permitsFor, permitsMax } from './permits.ts'
import { type Picked, Queue, type Return, TASK } from './queue.ts'
import type { Register } from './register.ts'
import { Silence } from './silence.ts'
import { never, startOf, startWithinMs } from './start.ts'
import { earlier, Story, untold } from './story.ts'
import { Unfit } from './unfit.ts'
import { concluded, hopeless, notBegun, poisoned, unknown, type Verdict } from './verdicts.ts'
import { Dropped } from './waste.ts'

/** How long a new owner waits to be told what runs already. */
export const inheritMs = 150

/** What the owner before said when it left. */
export type Inheritance = Pick<TaskMessageOf<'handover'>, 'ballot' | 'states' | 'untried'>

export class Lead {
  readonly register: Register
  readonly audience: Audience
  /** Only where tasks wait for others. */
  readonly dependents: Dependents | undefined
  /** Only where tasks name data. */
  readonly locality: Locality | undefined
  #queue: Queue
  readonly #entries: Entries
  readonly #silence = new Silence()
  readonly #inherited: Inheritance | undefined
  readonly #marks = new Marks()
  readonly #story = new Story()
  readonly #view: LeadView
  readonly #dropped: Dropped
  readonly #deadline: Deadline
  /** Tasks to run at most once whose run is lost. */
  readonly #once = new Once(this.#story)
  readonly #unfit = new Unfit()
  #isOpen: boolean
  #grantsFrom: Millis = 0

  /** `inherited`: what the owner before this one handed over. */
  constructor(register: Register, view: LeadView, now: Millis, inherited?: Inheritance) {
    this.register = register
    this.audience = new Audience(register)
    this.dependents = Dependents.of(register.record, view.member)
    this.locality = Locality.of(register.record, view)
    this.#entries = new Entries(register)
    this.#view = view
    this.#dropped = new Dropped(view.waste)
    this.#inherited = inherited
    // In round 0 nothing can have been proposed before.
    this.#isOpen = register.phase === 'storing' || register.phase === 'leading'
    this.#queue = this.#newQueue(1)
    this.#grantsFrom = now
    this.#deadline = new Deadline(register.record.header.queueTimeoutMs, now)
  }

  get record(): ShardRecord {
    return this.register.record
  }

  get key(): ShardKey {
    return this.register.record.key
  }

  get queue(): Queue {
    return this.#queue
  }

  /** Tasks that may be granted now. */
  waiting(now: Millis): number {
    // A settled shard has no inputs any more, and nothing waits in it.
    const { inputs, count } = this.record
    // Its record is on disk: who forgot that it had granted would grant the same attempt again.
    const mayGrant = this.#isStarted && this.#isOpen && this.register.phase !== 'storing'
    const isReady = mayGrant && now >= this.#grantsFrom && inputs.indexes.length === count
    // Nor may anything be granted before the number of its attempt is marked.
    return isReady && this.#marks.has(this.#queue.highestAttempt) ? this.#queue.waiting : 0
  }

  /** When tasks that wait may be granted, if that is later than `now`. */
  opensAt(now: Millis): Millis | undefined {
    if (!this.#isOpen || this.#queue.waiting === 0) return undefined
    return [this.#grantsFrom, this.locality?.opensAt].find((at) => at !== undefined && at > now)
  }

  /** What was taken over is known now: the rest may be granted, once those who run some of it had time to say so. */
  open(now: Millis): boolean {
    const { phase } = this.register
    const isKnown = phase === 'recommitting' || phase === 'marking' || this.register.isInForce
    if (this.#isOpen || !isKnown) return false
    this.#isOpen = true
    this.#grantsFrom = now + inheritMs
    this.#deadline.countFrom(this.#grantsFrom)
    const taken = [...this.register.taken()]
    this.#marks.found(taken)
    // What the owner before granted is not known, unless that one said so itself: no attempt of its is used again.
    const isHeir = this.#inherited !== undefined && this.#inherited.ballot >= this.register.newestTaken
    this.#queue = this.#newQueue(isHeir ? 1 : this.#marks.highest + 1)
    if (isHeir) this.#queue.inherit(this.#inherited.states, this.#inherited.untried)
    this.#take(taken)
    for (const index of this.register.committed.keys())
      if (index < this.record.count) this.#queue.commit(index)
    holdPermitted(this.register.batches(), this.#queue, !isHeir)
    return true
  }

  promised(from: PeerId, message: TaskMessageOf<'promised'>, now: Millis): Send[] {
    const effects = this.register.promised(from, message, now)
    // The other one of a pair may have told what it committed alone.
    if (this.#isOpen && effects.length > 0) this.#take(this.register.taken())
    return effects
  }

  /** Values that are proposed without having been heard here. */
  #take(taken: Iterable<number>): void {
    for (const index of taken) {
      if (index < this.record.count) this.#queue.propose(index)
      else this.#entries.took(index)
    }
  }

  /** Marks the attempts that are about to be granted. Nothing is granted before that is committed. */
  mark(now: Millis): Send[] {
    const { highestAttempt, waiting } = this.#queue
    const mark = this.#isOpen && waiting > 0 ? this.#marks.upTo(highestAttempt) : undefined
    return mark === undefined ? [] : this.register.propose(mark, now)
  }

  /** What the next owner should know, if it is told in good order. */
  handover(): TaskMessageOf<'handover'> | undefined {
    // Who does not know yet what was granted before has nothing to tell.
    if (!this.#isOpen) return undefined
    const states = this.#queue.states(this.#isOnce)
    const untried = Uint32Array.from(this.#queue.untried().filter((index) => this.#queue.attempt(index) > 1))
    return { kind: 'handover', key: this.key, ballot: this.register.ballot, states, untried }
  }

  /** True if every task, and every entry of the job's register, is committed and at every keeper. */
  get isComplete(): boolean {
    if (!this.#isOpen || this.#queue.unfinished > 0 || !this.register.isEverywhere) return false
    return shardName(this.key).index > 0 || isClosed(this.register)
  }

  grant(asked: Asked, now: Millis): { effects: Send[]; tasks: number } | undefined {
    const { to, most, elsewhere, suited } = asked
    const picked =
      this.locality === undefined
        ? this.#queue.take(to, most, elsewhere, suited)
        : this.locality.take(this.#queue, asked, now)
    if (picked === undefined) return undefined
    this.#silence.heard(to, now)
    const { indexes, attempt } = picked
    if (!this.#isOnce) return { effects: this.#grant(to, picked), tasks: indexes.length }
    if (attempt > permitsMax) for (const index of indexes) this.#once.give(index)
    const permits = permitsFor(to, attempt > permitsMax ? [] : indexes, attempt)
    this.#once.asked(permits)
    const effects = permits.indexes.length === 0 ? [] : this.register.propose(permits, now)
    return { effects, tasks: indexes.length }
  }

  #grant(to: PeerId, picked: Picked): Send[] {
    return grantsOf(this.register, to, picked, { waiting: this.#queue.waiting, dependents: this.dependents })
  }

  #newQueue(firstAttempt: Attempt): Queue {
    const queue = new Queue(this.record.count, firstAttempt)
    if (this.locality !== undefined) queue.lineUp()
    if (this.dependents === undefined) return queue
    queue.holdBack()
    for (const task of this.dependents.news.ready) queue.ready(task, this.dependents.place(task))
    return queue
  }

  get #isStarted(): boolean {
    return !this.#isOnce || startOf(this.register) === 'started'
  }

  get #isOnce(): boolean {
    return this.record.header.atMostOnce
  }

  /** Ends what was to run at most once, and may have run, nobody knows how far. */
  giveUp(now: Millis): Send[] {
    return this.#conclude(this.#once.take(), STATUS.error, unknown(this.record, this.#story), now)
  }

  outcomes(from: PeerId, outcomes: Batch, now: Millis): Send[] {
    this.#silence.heard(from, now)
    if (!this.#isOpen) return []
    const [fresh, stale, fatal]: [number[], number[], number[]] = [[], [], []]
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const index = outcomes.indexes[at] as number
      if (index >= this.record.count) continue
      const state = this.#queue.state(index)
      if (state === TASK.committed) {
        this.#dropped.count(index, outcomes, at, this.register.committed.get(index))
        stale.push(index)
      } else if (state !== TASK.proposed && this.#retries(outcomes, at, now)) {
        stale.push(index)
        if (this.#queue.losses.of(index) >= lossesMax) fatal.push(index)
      } else if (this.#queue.propose(index)) fresh.push(at)
    }
    const effects =
      fresh.length === 0 ? [] : this.register.propose(this.#story.tell(pickAt(outcomes, fresh)), now)
    if (stale.length > 0 && outcomes.node !== '') effects.push(confirm(outcomes.node, this.key, stale))
    return fatal.length === 0 ? effects : [...effects, ...this.#poison(fatal, now)]
  }

  /** Tells those who follow or wait, and lets the producer forget. */
  committed(all: Batch, now: Millis): Send[] {
    const told: number[] = []
    for (const [at, index] of all.indexes.entries()) {
      if (index < this.record.count) this.#queue.commit(index)
      if (index <= closedIndex) told.push(at)
      else this.#marks.committed(index)
    }
    // Who has a permit that is committed may begin.
    const permitted = told.length === 0 ? this.#once.permitted(all, this.#queue) : []
    if (told.length === 0) return permitted.flatMap((one) => this.#grant(one.holder, one))
    const batch = pickAt(all, told)
    const effects = this.audience.hear(batch)
    const tasks = batch.indexes.filter((index) => index < this.record.count)
    if (batch.node !== '' && tasks.length > 0)
      effects.push(send(batch.node, { kind: 'confirm', key: this.key, indexes: tasks }))
    const news = this.dependents?.committed(batch)
    return news === undefined ? effects : [...effects, ...this.heed(news, now)]
  }

  /** Tasks here may begin, or never will. What comes too early is told again. */
  heed({ ready, hopeless: ended }: News, now: Millis): Send[] {
    if (!this.#isOpen || !this.#isStarted) return []
    for (const task of ready) this.#queue.ready(task, this.dependents?.place(task))
    const over = this.#unfit.sort(ended, this.#queue, now >= this.#grantsFrom)
    return this.#conclude([...over.keys()], STATUS.error, hopeless(this.record, over), now)
  }

  /** Entries of the job's register. First come, first kept; the proposer hears what is committed. */
  propose(from: PeerId, entries: Batch, now: Millis): Send[] {
    this.audience.watchers.add(from)
    if (!this.#isOpen) return []
    const { known, effects } = this.#entries.propose(entries, now)
    return [...known.map(({ outcomes }) => this.audience.committed(from, outcomes)), ...effects]
  }

  /** Without `only`, all that have no outcome. */
  cancel(now: Millis, only?: Uint32Array): Send[] {
    if (!this.#isOpen) return []
    const chosen = only && new Set(only)
    const revokes = this.revoke(chosen)
    const open = this.#queue.open().filter((index) => chosen?.has(index) ?? true)
    return [...this.#conclude(open, STATUS.cancelled, () => new Uint8Array(0), now), ...revokes]
  }

  /** Ends what others run of it; of some tasks, or of all. */
  revoke(only?: ReadonlySet<number>): Send[] {
    return revokesOf(this.key, this.#queue, only)
  }

  /** Tasks that came back from `peer`, or never reached it. What is said of an earlier grant of theirs counts for nothing. */
  returned(peer: PeerId, indexes: Iterable<number>, because: Return, attempt?: Attempt): number {
    let count = 0
    for (const index of indexes) {
      if (index >= this.record.count || !this.#queue.isHeldBy(index, peer, attempt)) continue
      if (this.#once.isAsked(index, this.#queue)) continue
      const last = untold(peer, this.#queue.attempt(index), 'handed back')
      // What was not begun may be, under another permit; of anything else nobody knows.
      if (this.#isOnce && because !== 'unstarted') this.#once.give(index, last)
      else {
        if (because === 'handed-back') this.#story.add(index, last)
        this.#queue.release(index, this.#isOnce ? 'handed-back' : because)
      }
      if (because === 'unstarted') this.locality?.returned(peer, index)
      count++
    }
    // Overdue tasks that come back unbegun are not granted again.
    if (count > 0) this.#deadline.again()
    return count
  }

  /** `peer` ended with all that it held. */
  lost(peer: PeerId, now: Millis): Send[] {
    if (this.#isOnce) return []
    const fatal: number[] = []
    for (const index of this.#queue.heldBy(peer)) {
      // Once suspected, it is blamed only for what it had begun.
      const isSuspect = this.#queue.losses.of(index) === 0 || this.#queue.isRunning(index)
      if (isSuspect) this.#story.add(index, untold(peer, this.#queue.attempt(index), 'lost'))
      this.#view.waste.lost += isSuspect ? 1 : 0
      this.#queue.release(index, isSuspect ? 'lost' : 'missing', peer)
      if (this.#queue.losses.of(index) >= lossesMax) fatal.push(index)
    }
    return this.#poison(fatal, now)
  }

  begun(peer: PeerId, indexes: Iterable<number>, attempt: Attempt): void {
    for (const index of indexes) if (this.#queue.isHeldBy(index, peer, attempt)) this.#queue.begin(index)
  }

  /** What runs at `peer`. What has ended by now is to stop there. */
  holding(peer: PeerId, indexes: Iterable<number>, attempt: number, now: Millis): Send[] {
    this.#silence.heard(peer, now)
    if (!this.#isOpen) return []
    const over: number[] = []
    for (const index of indexes) {
      if (index >= this.record.count) continue
      if (this.#queue.state(index) >= TASK.proposed) over.push(index)
      // Nothing ended a run whose node was away, so that is not held against the task.
      else if (this.#story.cameBack(index, attempt, peer, this.#queue.hold(index, peer, attempt)))
        this.#queue.losses.forgive(index)
    }
    return revoke(peer, this.key, over)
  }

  /** Fails what nobody began within the job's `queueTimeout`. What may have begun once is never touched. */
  expire(now: Millis): Send[] {
    const start = this.#isOnce && this.#isOpen ? startOf(this.register) : 'started'
    if (start === 'never') return this.cancel(now)
    if (start === 'open' && now >= this.#grantsFrom + startWithinMs)
      return this.#entries.propose(never, now).effects
    if (!this.#isOpen || !this.#deadline.passes(now)) return []
    return this.#conclude(this.#queue.untried(), STATUS.error, notBegun(this.record, this.#view), now)
  }

  get expiresAt(): Millis | undefined {
    return this.#isOpen ? this.#deadline.at : undefined
  }

  /** Asks silent holders whether they have what they were granted. */
  probes(now: Millis, isUp: (peer: PeerId) => boolean): Send[] {
    if (this.#isOnce) this.#once.look(this.#queue, now, isUp)
    const { dependents } = this
    if (dependents !== undefined) this.#queue.unplace((engine) => dependents.fits(engine))
    const probes = this.#silence.silent(this.#queue.holders().filter(isUp), now).flatMap((peer) => {
      const indexes = Uint32Array.from(this.#once.granted(peer, this.#queue))
      return indexes.length === 0 ? [] : [send(peer, { kind: 'probe', key: this.key, indexes })]
    })
    const unfit = dependents === undefined ? [] : this.heed({ ready: [], hopeless: new Map() }, now)
    return [...unfit, ...probes]
  }

  /** True if this end is not the last word: the task waits again, or has been waiting already. */
  #retries(outcomes: Batch, at: number, now: Millis): boolean {
    const index = outcomes.indexes[at] as number
    const value = valueAt(outcomes, at)
    const { status, attempt } = readOutcomeHeader(value)
    if (status === STATUS.ok) return false
    const isLost = status === STATUS.lost
    // A run that was ended by an owner before this one: what that had proposed instead may be lost with it.
    const isEnded = isLost || status === STATUS.cancelled
    if (attempt < this.#queue.attempt(index)) return true
    if (this.#queue.state(index) !== TASK.granted) return isEnded || status === STATUS.noRoom
    const moved = this.#view.roomless.moved(this.record.header, this.#queue, { outcomes, at }, now)
    const isVoid = isEnded || moved !== undefined
    if (!isVoid && (this.#isOnce || this.#queue.failures(index) >= this.record.header.retries)) return false
    const { last, printed } = earlier(outcomes.node, value)
    if (this.#isOnce && moved === undefined) {
      this.#once.give(index, last, printed)
      return true
    }
    const isFatal = isLost && this.#queue.losses.of(index) + 1 >= lossesMax
    this.#story.add(index, last, isFatal ? printed : undefined)
    if (isLost) this.#view.waste.lost++
    if (moved === 'unfed') this.#deadline.again()
    const because = moved ?? (isLost ? 'lost' : isVoid ? 'handed-back' : 'failed')
    this.#queue.release(index, because, outcomes.node === '' ? undefined : outcomes.node)
    return true
  }

  #poison(indexes: number[], now: Millis): Send[] {
    return this.#conclude(indexes, STATUS.error, poisoned(this.record, this.#story), now)
  }

  /** Outcomes that the owner states itself: no node produced them. */
  #conclude(indexes: number[], status: 1 | 2, payload: Verdict, now: Millis): Send[] {
    const outcomes = concluded(this.#queue, this.#story, indexes, { status, payload })
    return outcomes === undefined ? [] : this.register.propose(outcomes, now)
  }
}
