/**
 * What must be true of every run, whatever goes wrong: judged from outside, from messages, disks and what clients see.
 *
 * Not here: how faults come about (acts.ts), and what is demanded once they end (verdicts.ts). A checker knows nothing of how the machines work.
 * Two keepers cannot keep one outcome in a split (DESIGN 3), so jobs that ever had two are judged by less.
 */
import { type JobId, type PeerId, type ShardKey, shardName } from '../../src/ids.ts'
import { matches, slotsFor, type Traits } from '../../src/routing/match.ts'
import {
  type Batch,
  OUTCOME_HEADER_BYTES,
  pickAt,
  readOutcomeHeader,
  STATUS,
  valueAt
} from '../../src/tasks/batch.ts'
import type { Availability, Run } from '../../src/tasks/effects.ts'
import { nextIndex, parseNext, startIndex, type TaskMessageOf } from '../../src/tasks/messages.ts'
import { splitStory } from '../../src/tasks/story.ts'
import { Durable, text } from './durable.ts'
import { Graph } from './graph.ts'

export type Checker =
  /** What clients were told of a variable or a lock can have happened in one order. */
  | 'linear'
  /** Nobody believes to hold a lock that another one holds; later holders have higher tokens. */
  | 'exclusive'
  /** Everything acknowledged gets an outcome, and can be read by its job's id. */
  | 'no-lost'
  /** An outcome is what an engine produced for this very task, or was brought about by a cancel or by three lost engines. */
  | 'no-unexpected'
  /** No two committed values for one task. */
  | 'one-commit'
  /** No attempt of a task begins on two engines; a task that is to run at most once begins once. */
  | 'at-most-once'
  /** What is acknowledged is on as many disks as promised at that very instant. */
  | 'durable-before-ack'
  /** A client receives no outcome twice, in one reading. */
  | 'delivered-once'
  /** What was once seen by anybody is never seen differently, nor taken back. */
  | 'monotone'
  /** After healing, keepers of a shard agree. */
  | 'converged'
  /** What is over does not begin again. */
  | 'no-zombie'
  | 'known'
  /** Nothing grows without end, and nothing is left over. */
  | 'bounded'
  /** Everything accepted completes in time once a sufficient core is healed. */
  | 'live'
  /** A task begins only where it may, and no more of a node's resources are in use than there are. */
  | 'fits'
  /** On a machine that somebody uses nothing begins. */
  | 'at-rest'
  /** A task begins when what it waits for is committed, with the values of that, or it fails because it never will (graph.ts). */
  | 'depends'
  /** While two submitters have tasks waiting at one owner, neither gets much more than the other (fair.ts). */
  | 'fair'

export class Violation extends Error {
  override readonly name = 'Violation'
  readonly checker: Checker

  constructor(checker: Checker, message: string) {
    super(message)
    this.checker = checker
  }
}

/** Engines that a task must have ended before it may be called poisoned. */
const lossesMax = 3

export class Checkers {
  readonly durable = new Durable()
  readonly graph = new Graph(this.durable)
  /** What engines produced, by task. */
  readonly #produced = new Map<string, Set<string>>()
  /** What was said to be committed, by shard and index. */
  readonly #committed = new Map<string, string>()
  /** Same, of shards with two keepers: each of them may be right. */
  readonly #committedByTwo = new Map<string, Set<string>>()
  /** What each client received. */
  readonly #delivered = new Map<string, string>()
  /** Where each attempt began. */
  readonly #begun = new Map<string, string>()
  readonly #begunOnce = new Map<string, string>()
  /** Attempts of each task that were granted, or begun by who granted them to itself. */
  readonly #attempts = new Map<string, Set<string>>()
  /** Shards that were acknowledged; one that was not is the business of nobody but its keepers. */
  readonly #accepted = new Set<ShardKey>()
  readonly #hurried = new Set<JobId>()
  /** Jobs, and single tasks. */
  readonly #cancelled = new Set<string>()
  /** Jobs with a shard that may run once and that nobody let start in time: its tasks end as cancelled. */
  readonly #neverStarted = new Set<JobId>()
  /** Nodes on which nothing of these shards may begin any more. */
  readonly over = new Map<PeerId, ReadonlySet<ShardKey>>()
  outcomes = 0
  runs = 0

  /** Without a task, all of it. */
  cancelled(job: JobId, task?: number): void {
    this.#cancelled.add(task === undefined ? job : `${job}:${task}`)
  }

  isCancelled(job: JobId, task?: number): boolean {
    return this.#cancelled.has(task === undefined ? job : `${job}:${task}`)
  }

  /** A job whose tasks may not wait for ever. */
  hurried(job: JobId): void {
    this.#hurried.add(job)
  }

  granted({ key, header, first, attempt, inputs }: TaskMessageOf<'grant'>): void {
    for (const index of inputs.indexes) {
      this.#tried(`${header.job}:${first + index}`, `${key} ${attempt}`)
    }
  }

  #tried(task: string, attempt: string): void {
    this.#attempts.set(task, (this.#attempts.get(task) ?? new Set()).add(attempt))
  }

  /** An engine begins a task. */
  started(node: PeerId, isRepeatable: boolean, whole: Run, index: number): void {
    const { key, header, first, attempt, run } = whole
    this.runs++
    this.graph.began(whole, index)
    const task = `${header.job}:${first + index}`
    this.#tried(task, `${key} ${attempt}`)
    const where = `${node} run ${run}`
    if (header.atMostOnce && !this.durable.hasPair(header.job))
      this.#once(`${task} (${key})`, `${where}, attempt ${attempt}`)
    const before = this.#begun.get(`${key} ${task} ${attempt}`)
    // Where grants and what is handed back may overtake each other, a number can be used twice.
    if (before !== undefined && before !== where && !isRepeatable && !this.durable.hasPair(header.job)) {
      throw new Violation(
        'at-most-once',
        `attempt ${attempt} of ${task} (${key}) began as ${where}, and before as ${before}`
      )
    }
    if (this.over.get(node)?.has(key) === true && !this.durable.hasPair(header.job))
      throw new Violation('no-zombie', `${task} (${key}) began on ${node} after everything was over`)
    if (this.durable.hasForgotten(node, header.job) && !isRepeatable)
      throw new Violation('no-zombie', `${task} (${key}) began on ${node}, which has forgotten its job`)
    this.#begun.set(`${key} ${task} ${attempt}`, where)
  }

  /** Tasks of these runs are in work at the same time. */
  isOpen(peer: PeerId, availability: Availability | undefined): void {
    if (availability !== 'open')
      throw new Violation('at-rest', `${peer} begins a run, and is ${availability}`)
  }

  fits(node: Traits, runs: readonly Run[]): void {
    for (const { header, slot } of runs) {
      const { requires } = header
      const isElsewhere = slotsFor(requires.targets, node)?.includes(slot) === false
      if (isElsewhere || !matches(requires, node))
        throw new Violation(
          'fits',
          `${header.job} began on ${node.peer}/${slot}, which is not what it requires`
        )
    }
    for (const { name, amount } of node.resources) {
      const needs = runs.map(
        ({ header }) => header.requires.resources.find(([one]) => one === name)?.[1] ?? 0
      )
      const used = needs.reduce((sum, one) => sum + one, 0)
      if (used > amount)
        throw new Violation('fits', `${used} of ${name} are in use on ${node.peer}, which has ${amount}`)
    }
  }

  #once(task: string, where: string): void {
    const before = this.#begunOnce.get(task)
    if (before !== undefined)
      throw new Violation(
        'at-most-once',
        `${task} may begin once; it began as ${where}, and before as ${before}`
      )
    this.#begunOnce.set(task, where)
  }

  produced(job: JobId, index: number, outcome: Uint8Array): void {
    const key = `${job}:${index}`
    const all = this.#produced.get(key) ?? new Set()
    this.#produced.set(key, all.add(text(outcome)))
  }

  /** What keepers are to accept. Gives the next list of keepers, if it is that. */
  proposed({ key, outcomes }: TaskMessageOf<'accept'>): ReturnType<typeof parseNext> {
    const [first] = outcomes.indexes
    // Nothing of a job that was never started runs, and its tasks end as if somebody had cancelled them.
    if (first === startIndex && text(valueAt(outcomes, 0)) !== '') this.#neverStarted.add(shardName(key).job)
    const next = first === nextIndex ? parseNext(valueAt(outcomes, 0)) : undefined
    if (next !== undefined) this.durable.proposed(next.keepers)
    return next
  }

  /** Anything that anybody says to be committed. */
  committed(key: ShardKey, outcomes: Batch, where: string): void {
    const keepers = this.durable.keepers(key)
    const isPair = this.durable.hasPair(shardName(key).job)
    const quorum = isPair ? 1 : Math.floor(keepers / 2) + 1
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const name = `${key}:${outcomes.indexes[at]}`
      const value = text(valueAt(outcomes, at))
      const before = this.#committed.get(name)
      if (outcomes.indexes[at] === startIndex && value !== '') this.#neverStarted.add(shardName(key).job)
      if (before === value) continue
      if (before !== undefined && !isPair)
        throw new Violation('one-commit', `${name} was committed twice with different values; now ${where}`)
      const holders = this.durable.holders(key, outcomes, at)
      if (holders < quorum) {
        throw new Violation(
          'durable-before-ack',
          `${name} is said to be committed ${where}, and ${holders} of ${keepers} keepers have it on disk`
        )
      }
      this.#committed.set(name, value)
      if (isPair) this.#committedByTwo.set(name, (this.#committedByTwo.get(name) ?? new Set()).add(value))
    }
  }

  /** An owner is told of tasks that others of its wait for; of some only how they ended. */
  awaited(key: ShardKey, outcomes: Batch, where: string): void {
    const whole = [...outcomes.indexes.keys()].filter(
      (at) => valueAt(outcomes, at).byteLength > OUTCOME_HEADER_BYTES
    )
    this.committed(key, pickAt(outcomes, whole), where)
  }

  /** A client is told that a shard is accepted. */
  accepted(key: ShardKey, copies: number): void {
    this.#accepted.add(key)
    const keepers = this.durable.keepers(key)
    const [found, needed] = [this.durable.copies(key), Math.floor(keepers / 2) + 1]
    if (found < needed || copies > found) {
      throw new Violation(
        'durable-before-ack',
        `${key} is said to have ${copies} copies, and ${found} of ${keepers} keepers have it on disk`
      )
    }
  }

  /** All by now. */
  get acceptedKeys(): ReadonlySet<ShardKey> {
    return new Set(this.#accepted)
  }

  isAccepted(key: ShardKey): boolean {
    return this.#accepted.has(key)
  }

  /** Somebody has a job forgotten that nobody released: everything of it that was acknowledged must have ended. */
  expired(job: JobId): void {
    if (this.durable.hasPair(job)) return
    const keys = [...this.#accepted].filter((key) => shardName(key).job === job)
    // Of first shards the last one counts.
    const isLast = (key: ShardKey): boolean =>
      shardName(key).index > 0 ||
      keys.every((one) => shardName(one).index > 0 || shardName(one).epoch <= shardName(key).epoch)
    const open = keys.find((key) => isLast(key) && !this.durable.isWhole(key))
    if (open !== undefined) throw new Violation('no-lost', `${job} is forgotten, and ${open} has not ended`)
  }

  delivered(client: string, job: JobId, first: number, outcomes: Batch): void {
    for (let at = 0; at < outcomes.indexes.length; at++) {
      const index = first + (outcomes.indexes[at] as number)
      const bytes = valueAt(outcomes, at)
      const value = text(bytes)
      const name = `${client} ${job}:${index}`
      if (this.#delivered.has(name)) throw new Violation('delivered-once', `${name} was delivered twice`)
      this.#expected(job, index, bytes, value)
      this.#delivered.set(name, value)
      this.outcomes++
    }
  }

  /** What a client had of a job is void: it was told so, and looks again. */
  readsAnew(client: string, job: JobId): void {
    for (const name of this.#delivered.keys())
      if (name.startsWith(`${client} ${job}:`)) this.#delivered.delete(name)
  }

  #expected(job: JobId, index: number, bytes: Uint8Array, value: string): void {
    const task = `${job}:${index}`
    // What an owner wrote behind the outcome is no engine's.
    const isProduced = this.#produced.get(task)?.has(text(splitStory(bytes).outcome)) === true
    const wrong = (why: string): never => {
      throw new Violation('no-unexpected', `${task} has an outcome that ${why}`)
    }
    if (readOutcomeHeader(bytes).status === STATUS.cancelled) {
      if (!this.isCancelled(job) && !this.isCancelled(job, index) && !this.#neverStarted.has(job))
        wrong('is a cancellation, and nobody cancelled it or its job')
    } else if (value.includes('TASK_DEPENDENCY')) {
      if (!this.graph.isHopeless(job, index))
        wrong('blames tasks that it waited for, and they did not fail it')
    } else if (value.includes('TASK_POISONED')) {
      // What a node grants to itself is no message, but it begins.
      const tried = this.#attempts.get(task)?.size ?? 0
      if (tried < lossesMax) wrong(`blames it for ${lossesMax} engines, and had ${tried} attempts`)
    } else if (value.includes('TASK_UNKNOWN')) {
      if (!this.durable.hasPermit(job, index))
        wrong('says that nobody knows whether it ran, and it never might')
    } else if (value.includes('TASK_QUEUE_TIMEOUT')) {
      if (!this.#hurried.has(job)) wrong('says that it waited too long, and it may wait for ever')
    } else if (!isProduced) wrong('no engine produced for its input')
  }

  /** What a client received of a task. */
  received(client: string, job: JobId, index: number): string | undefined {
    return this.#delivered.get(`${client} ${job}:${index}`)
  }

  /** After healing: keepers of a settled shard have the same outcomes, the committed ones. */
  agree(key: ShardKey, copies: readonly ReadonlyMap<number, { batch: Batch; at: number }>[]): void {
    const [first, ...others] = copies.map((copy) => {
      const values = [...copy].map(([index, { batch, at }]) => [index, text(valueAt(batch, at))] as const)
      return new Map(values.sort(([a], [b]) => a - b))
    })
    if (first === undefined) return
    for (const [index, value] of first) {
      const name = `${key}:${index}`
      const known = this.#committed.get(name)
      if (known === undefined || known === value || this.#committedByTwo.get(name)?.has(value)) continue
      throw new Violation('monotone', `${name} changed after it was committed`)
    }
    const same = JSON.stringify([...first])
    for (const other of others) {
      if (JSON.stringify([...other]) !== same) throw new Violation('converged', `keepers of ${key} differ`)
    }
  }

  /** Two readers of one task must have received the same. */
  same(job: JobId, index: number, one: string, other: string): void {
    const [a, b] = [one, other].map((who) => this.received(who, job, index))
    if (a === undefined || b === undefined || a === b || this.durable.hasPair(job)) return
    throw new Violation('monotone', `${job}:${index} differs between ${one} and ${other}`)
  }
}
