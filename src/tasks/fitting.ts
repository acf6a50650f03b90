/**
 * Which of the tasks that a node holds may begin now, and on which engine, and for how many more it has room: the node alone
 * decides over what it has.
 *
 * Not here: when that is asked (runner.ts), and who is granted what (standings.ts). What a task needs is taken all at once
 * when its run begins and given back when that run has ended, so nobody waits for the second half of something.
 * Tasks that cannot begin are stepped over; what they wait for is kept for them, so that they are not overtaken for ever.
 */
import type { JobId } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { type Amount, amountOf, isOnlyAt, matches, slotsFor, type Traits } from '../routing/match.ts'
import { isNarrow } from '../routing/requirement.ts'
import type { Wants } from './claims.ts'
import type { Chunk, Line } from './line.ts'
import type { JobHeader } from './messages.ts'
import type { Runs } from './runs.ts'
import { fitting, take } from './standings.ts'

/** A task that needs more than is free now waits for so long at one node; then it is given back, and may go to another. */
export const waitHereMs = 10_000
/** Work beyond what runs that a node holds, by what tasks of a function took before: short ones by the hundred, long ones singly. */
export const aheadMs = 50
/** Tasks that a node asks for beyond those that it can run now. */
export const aheadTasksMax = 1_024
/** Further tasks for one unit of a resource that a node holds while one runs. */
const aheadEach = 64

export interface Start {
  readonly chunk: Chunk
  readonly slot: number
}

export class Fitting {
  readonly #me: () => Traits
  readonly #line: Line
  readonly #runs: Runs

  constructor(me: () => Traits, line: Line, runs: Runs) {
    this.#me = me
    this.#line = line
    this.#runs = runs
  }

  /** What begins next. `runsFor`: how many runs an engine may have, this one included. */
  next(runsFor: (chunk: Chunk) => number, now: Millis): Start | undefined {
    const { first } = this.#line
    if (first === undefined) return undefined
    // Nothing that waits is choosy, as usual: then whatever is first begins, or nothing.
    if (this.#line.narrow === 0) {
      const slot = this.#runs.freeSlot(
        runsFor(first),
        now,
        (one) => this.#runs.depthAt(one) <= first.header.depth
      )
      return slot === undefined ? undefined : { chunk: first, slot }
    }
    return this.#scan(runsFor, now)
  }

  #scan(runsFor: (chunk: Chunk) => number, now: Millis): Start | undefined {
    const free = this.#free()
    const kept = new Set<number>()
    for (const chunk of this.#line.chunks()) {
      const { requires } = chunk.header
      const { resources, targets } = requires
      const isShort = resources.some(([name, amount]) => (free.get(name) ?? 0) < amount)
      const slots = slotsFor(targets, this.#me())
      if (!isShort) {
        const most = resources.length > 0 ? 1 : runsFor(chunk)
        const slot = this.#runs.freeSlot(
          most,
          now,
          (one) => !this.#isKept(one, kept, chunk) && this.#mayTake(one, chunk, slots)
        )
        if (slot !== undefined) return { chunk, slot }
        if (slots === undefined) return undefined
        for (const one of slots) kept.add(one)
      }
      take(free, requires, 1)
    }
    return undefined
  }

  /** Who waits for an engine whose task has lent its slot waits for that task, too, and so for what the task waits for. */
  #isKept(slot: number, kept: ReadonlySet<number>, { header }: Chunk): boolean {
    return kept.has(slot) && header.depth < this.#runs.lentFrom(slot)
  }

  /** What may not begin in any slot as long as so many wait there for what is nested more deeply. */
  barred(): Chunk[] {
    const { depth } = this.#runs
    return depth === 0 ? [] : this.#line.chunks().filter(({ header }) => header.depth < depth)
  }

  /** Who is to run on one engine does not run on its stand-in. */
  #mayTake(slot: number, { header }: Chunk, slots: readonly number[] | undefined): boolean {
    if (this.#runs.depthAt(slot) > header.depth) return false
    return slots === undefined || (slots.includes(slot) && !this.#runs.isLent(slot))
  }

  /** Unstarted tasks that this node would like to hold, while tasks take so long. */
  #ahead(taskMs: Millis): number {
    const { slots } = this.#me()
    return Number.isFinite(taskMs) ? Math.min(aheadTasksMax, Math.floor((aheadMs * slots) / taskMs)) : slots
  }

  /** What this node asks for; `isSated` while its engines are busy and more than half of what it would hold waits. */
  wants(taskMs: Millis): Wants & { readonly isSated: boolean } {
    const { slots } = this.#me()
    const { busy } = this.#runs
    const depth = this.#depth()
    const isIdle = busy === 0 && this.#line.length === 0
    const free = Math.max(0, slots - busy)
    const usual = this.#ahead(taskMs)
    const ahead = isIdle ? slots : usual
    // What waits for one engine, or for what others hold, keeps no slot from the rest.
    const queued = depth > this.#runs.depth ? this.#tasksFrom(depth) : this.#line.length - this.#line.narrow
    const want = Math.max(0, free + ahead - queued)
    const isSated = free === 0 && 2 * queued > ahead
    const sure = Math.max(0, free + usual - queued)
    return { want, sure, standing: 2 * slots, room: this.#room(taskMs), depth, isSated }
  }

  /** How deeply nested a task must be to begin in any slot. One that is lent, and waited for by name, goes to nothing else. */
  #depth(): number {
    const { depth } = this.#runs
    if (this.#line.narrow === 0) return depth
    const awaited = new Set(
      this.#line.chunks().flatMap(({ header }) => slotsFor(header.requires.targets, this.#me()) ?? [])
    )
    const from = Array.from({ length: this.#me().slots }, (_, slot) =>
      awaited.has(slot) && this.#runs.isLent(slot) ? this.#runs.lentFrom(slot) : 0
    )
    return Math.max(depth, Math.min(...from))
  }

  /** Tasks that wait here for any engine, and are nested so deeply. */
  #tasksFrom(depth: number): number {
    const deep = this.#line
      .chunks()
      .filter(({ header }) => header.depth >= depth && !isNarrow(header.requires))
    return deep.reduce((sum, { inputs }) => sum + inputs.indexes.length, 0)
  }

  /** How many of these tasks the node takes. The others would be granted in vain. One that `isLate` waits for what it needs. */
  accepts({ requires, depth }: JobHeader, tasks: number, taskMs: Millis, isLate = false): number {
    if (depth < this.#runs.depth) return 0
    if (requires.text === '') return tasks
    if (!matches(requires, this.#me())) return 0
    if (requires.resources.length === 0) return tasks
    return Math.min(tasks, Math.max(isLate ? 1 : 0, fitting(this.#roomFor(taskMs), requires)))
  }

  /** What further tasks may take, those included that are short enough to wait here for their turn. */
  #room(taskMs: Millis): Amount[] {
    if (this.#me().resources.length === 0) return []
    return [...this.#roomFor(taskMs)].map(([name, left]) => ({ name, amount: Math.max(0, left) }))
  }

  /** Of each resource, what no run holds. */
  free(): Amount[] {
    return [...this.#free()].map(([name, amount]) => ({ name, amount }))
  }

  /** Whether this node has a task, and how far it is. */
  holds(job: JobId, index: number): 'queued' | 'running' | undefined {
    const has = ({ header, first, inputs }: Chunk): boolean =>
      header.job === job && inputs.indexes.includes(index - first)
    if ([...this.#runs.entries()].some(([, run]) => has(run))) return 'running'
    return this.#line.chunks().some(has) ? 'queued' : undefined
  }

  /** Of what waits here for its turn. */
  queued(): JobHeader[] {
    return this.#line.chunks().map(({ header }) => header)
  }

  /** What should go back to its owner, of those that wait here behind long tasks: all but a little, and what has no better place. */
  surplus(taskMs: Millis, now: Millis): Map<Chunk, number[]> {
    const { peer } = this.#me()
    const waitedFor = new Set<string>()
    const back = new Map<Chunk, number[]>()
    if (!Number.isFinite(taskMs) || taskMs < aheadMs) return back
    let left = this.#ahead(taskMs)
    for (const chunk of this.#line.chunks()) {
      const { requires } = chunk.header
      if (isOnlyAt(requires, peer)) continue
      // The first that waits for a resource would be overtaken for ever if it never stayed until enough is free.
      const isFirst =
        requires.resources.length > 0 && requires.resources.every(([name]) => !waitedFor.has(name))
      for (const [name] of requires.resources) waitedFor.add(name)
      const stays = isFirst && now - chunk.at < waitHereMs ? 1 : 0
      const kept = Math.min(Math.max(left, stays), chunk.inputs.indexes.length)
      left = Math.max(0, left - kept)
      const rest = [...chunk.inputs.indexes.subarray(kept)]
      if (rest.length > 0) back.set(chunk, rest)
    }
    return back
  }

  check(): void {
    for (const [name, left] of this.#free())
      if (left < 0) assert(false, `${-left} more of ${name} is in use than there is`)
  }

  /** What no run holds. */
  #free(): Map<string, number> {
    const free = new Map(this.#me().resources.map(({ name, amount }) => [name, amount]))
    for (const [, { header }] of this.#runs.entries()) take(free, header.requires, 1)
    return free
  }

  #roomFor(taskMs: Millis): Map<string, number> {
    const me = this.#me()
    const room = this.#free()
    if (this.#line.narrow > 0)
      for (const { header, inputs } of this.#line.chunks()) take(room, header.requires, inputs.indexes.length)
    const ahead = Number.isFinite(taskMs) ? Math.min(aheadEach, Math.floor(aheadMs / taskMs)) : 0
    for (const [name, left] of room) room.set(name, left + ahead * amountOf(me, name))
    return room
  }
}
