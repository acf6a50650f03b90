/**
 * The tasks of one shard that its owner has yet to see through: what waits, who holds what, what ended.
 *
 * Not here: whom to grant to (round.ts) and keeping outcomes (register.ts).
 * A task is one byte of state in a flat array. Waiting tasks are handed out from a cursor; those that come back, with a new
 * attempt or the same one, wait in a short line of their own.
 */
import type { Attempt, PeerId } from '../ids.ts'
import { assert } from '../machine.ts'
import { companyMax, Losses } from './losses.ts'
import { attemptsMax } from './messages.ts'
import { Tried } from './tried.ts'

export const TASK = { waiting: 0, granted: 1, proposed: 2, committed: 3 } as const
export type TaskState = (typeof TASK)[keyof typeof TASK]

/** Legal edges; `granted -> waiting` is a retry, a lost node, or a task handed back. */
export const TASK_EDGES: Readonly<Record<keyof typeof TASK, readonly (keyof typeof TASK)[]>> = {
  waiting: ['granted', 'proposed', 'committed'],
  granted: ['waiting', 'proposed', 'committed'],
  proposed: ['committed'],
  committed: []
}

/**
 * Why a granted task waits again. Only `failed` and `lost` are held against it. Of `unfed` ones, which had not begun either, an
 * outcome may be told again.
 */
export type Return = 'unstarted' | 'unfed' | 'handed-back' | 'missing' | 'failed' | 'lost'

export interface Picked {
  readonly indexes: number[]
  readonly attempt: Attempt
  /** The only engine that may run them, if there is but one. */
  readonly engine?: string | undefined
}

export type Suited = (index: number) => boolean
const all: Suited = () => true

export class Queue {
  readonly count: number
  readonly #state: Uint8Array
  readonly #attempt: Uint16Array
  /** No further run gets a lower number, whatever is said to run: another one may have had it. */
  readonly #floor: Uint16Array
  readonly losses: Losses
  readonly #failures: Uint16Array
  /** Granted tasks whose present run is known to have begun. */
  readonly #running = new Set<number>()
  /** 1 if a run of it may have begun. */
  readonly #begun: Uint8Array
  readonly #holder: (PeerId | undefined)[]
  /** Tasks from here on were never granted. */
  #cursor = 0
  #back: { index: number; avoid: PeerId | undefined }[] = []
  #waiting: number
  #granted = 0
  #highest: Attempt
  #unfinished: number
  readonly #held = new Map<PeerId, number>()
  /** 1 for tasks that wait for others. Only where some do. */
  #early: Uint8Array | undefined
  readonly tried = new Tried()
  /** Engines of tasks that may run nowhere else while it is there. */
  readonly places = new Map<number, string>()

  /** `firstAttempt` is above 1 for an owner that took over: what ran before it had lower numbers. */
  constructor(count: number, firstAttempt: Attempt = 1) {
    this.count = count
    this.#state = new Uint8Array(count)
    this.#attempt = new Uint16Array(count).fill(Math.min(firstAttempt, attemptsMax))
    this.#floor = new Uint16Array(count)
    this.losses = new Losses(count)
    this.#failures = new Uint16Array(count)
    this.#begun = new Uint8Array(count)
    this.#holder = new Array(count)
    this.#waiting = count
    this.#unfinished = count
    this.#highest = Math.min(firstAttempt, attemptsMax)
  }

  /** Each task waits until it is `ready`. Before anything else is done. */
  holdBack(): void {
    this.#early = new Uint8Array(this.count).fill(1)
    // They are granted from the line, in the order in which they become ready.
    this.#back = []
    this.#cursor = this.count
    this.#waiting = 0
  }

  /** Tasks are picked from the line, and not in order. Before anything else is done. */
  lineUp(): void {
    this.#back = Array.from({ length: this.count }, (_, index) => ({ index, avoid: undefined }))
    this.#cursor = this.count
  }

  /** What it waited for has ended. */
  ready(index: number, engine?: string): void {
    if (!this.#isEarly(index) || this.#early === undefined) return
    this.#early[index] = 0
    if (this.#state[index] !== TASK.waiting) return
    if (engine !== undefined) this.places.set(index, engine)
    this.#back.push({ index, avoid: undefined })
    this.#waiting++
  }

  /** Tasks that wait for others. */
  get early(): number {
    let count = 0
    for (let index = 0; index < (this.#early?.length ?? 0); index++)
      if (this.#isEarly(index) && this.#state[index] === TASK.waiting) count++
    return count
  }

  /** Tasks that are to run on engines that are not there any more, or not fit for them, may run anywhere. */
  unplace(fits: (engine: string) => boolean): void {
    const unfit = new Set([...new Set(this.places.values())].filter((engine) => !fits(engine)))
    for (const [index, engine] of this.places) if (unfit.has(engine)) this.places.delete(index)
  }

  /** The highest attempt that any task of the shard had or waits for. */
  get highestAttempt(): Attempt {
    return this.#highest
  }

  /** For an owner that follows this one: index, attempt, losses and failures of each task that is not as new. */
  states(isOnce = false): Uint32Array {
    const states: number[] = []
    for (let index = 0; index < this.count; index++) {
      const state = this.state(index)
      // If its holder does not report it, the next run of a granted task is another attempt; there is none if it may run once. An
      // outcome that is proposed may not have left this node, while keepers change.
      const isOut = state === TASK.granted || state === TASK.proposed
      const attempt = isOut && !isOnce ? this.#further(index) : this.attempt(index)
      if (attempt > 1 && state <= TASK.proposed)
        states.push(index, attempt, this.losses.of(index), this.failures(index))
    }
    return Uint32Array.from(states)
  }

  /** What the owner before said with `states`. Before anything else is done. */
  inherit(states: Uint32Array, untried: Iterable<number>): void {
    const fresh = new Set(untried)
    for (let at = 0; at + 3 < states.length; at += 4) {
      const [index = 0, attempt = 1, losses = 0, failures = 0] = states.subarray(at, at + 4)
      if (index >= this.count) continue
      this.#attempt[index] = Math.min(attempt, attemptsMax)
      this.losses.set(index, losses)
      this.#failures[index] = Math.min(failures, 65_535)
      this.#begun[index] = fresh.has(index) ? 0 : 1
      this.#highest = Math.max(this.#highest, this.attempt(index))
    }
  }

  /** True if it could be granted now. */
  isWaiting(index: number): boolean {
    return this.#state[index] === TASK.waiting && !this.#isEarly(index)
  }

  /** Tasks that could be granted now. */
  get waiting(): number {
    return this.#waiting
  }

  /** Grants of tasks so far, repeated ones included. */
  get granted(): number {
    return this.#granted
  }

  /** Tasks that are not committed. */
  get unfinished(): number {
    return this.#unfinished
  }

  state(index: number): TaskState {
    return this.#state[index] as TaskState
  }

  attempt(index: number): Attempt {
    return this.#attempt[index] as number
  }

  failures(index: number): number {
    return this.#failures[index] as number
  }

  holder(index: number): PeerId | undefined {
    return this.#holder[index]
  }

  /** With `attempt`, by that grant and no later one. */
  isHeldBy(index: number, peer: PeerId, attempt?: Attempt): boolean {
    return this.#holder[index] === peer && (attempt === undefined || this.#attempt[index] === attempt)
  }

  holds(peer: PeerId): boolean {
    return this.heldCount(peer) > 0
  }

  heldCount(peer: PeerId): number {
    return this.#held.get(peer) ?? 0
  }

  holders(): PeerId[] {
    return [...this.#held.keys()]
  }

  /** Tasks without an outcome. */
  open(): number[] {
    return [...this.#state.keys()].filter((index) => this.state(index) <= TASK.granted)
  }

  /** Tasks granted to `peer` whose outcome is not here. */
  heldBy(peer: PeerId): number[] {
    const found: number[] = []
    if (!this.holds(peer)) return found
    for (let i = 0; i < this.count; i++) if (this.#holder[i] === peer) found.push(i)
    return found
  }

  /** Tasks that wait and were never begun, as far as anybody said. */
  untried(): number[] {
    const found: number[] = []
    for (let i = 0; i < this.count; i++)
      if (this.#state[i] === TASK.waiting && this.#begun[i] === 0) found.push(i)
    return found
  }

  /**
   * Up to `most` waiting tasks of one attempt, now granted to `peer`. Retried ones go elsewhere while `elsewhere` is true. Only
   * those that are `suited`, if all were lined up.
   */
  take(peer: PeerId, most: number, elsewhere: boolean, suited: Suited = all): Picked | undefined {
    const picked = this.#takeBack(peer, most, elsewhere, suited) ?? this.#takeNew(most)
    if (picked === undefined) return undefined
    for (const index of picked.indexes) {
      this.#state[index] = TASK.granted
      this.#holder[index] = peer
    }
    this.#waiting -= picked.indexes.length
    this.#granted += picked.indexes.length
    this.#held.set(peer, (this.#held.get(peer) ?? 0) + picked.indexes.length)
    return picked
  }

  /** `peer` already holds this task, by a grant of an earlier owner. False if it does not wait. */
  hold(index: number, peer: PeerId, attempt: Attempt): boolean {
    if (this.#state[index] !== TASK.waiting) return false
    if (this.#back.length > 0) this.#back = this.#back.filter((one) => one.index !== index)
    this.#state[index] = TASK.granted
    this.#floor[index] = Math.max(this.#floor[index] as number, this.attempt(index))
    this.#attempt[index] = attempt
    this.#highest = Math.max(this.#highest, attempt)
    this.#holder[index] = peer
    // Who granted it knew that it was ready, and with which values. Here that has yet to be heard, or it may not run again.
    if (!this.#isEarly(index)) this.#waiting--
    this.#held.set(peer, (this.#held.get(peer) ?? 0) + 1)
    return true
  }

  isRunning(index: number): boolean {
    return this.#running.has(index)
  }

  /** Its holder says that this run of it began. */
  begin(index: number): void {
    if (this.state(index) === TASK.granted) this.#running.add(index)
  }

  /** A granted task waits again: as the same attempt if it never started, else as the next. */
  release(index: number, because: Return, avoid?: PeerId): void {
    if (this.#state[index] !== TASK.granted) return
    this.#unhold(index)
    this.#state[index] = TASK.waiting
    if (because !== 'unstarted') this.#attempt[index] = this.#further(index)
    if (because !== 'unstarted' && because !== 'unfed') this.#begun[index] = 1
    this.#highest = Math.max(this.#highest, this.attempt(index))
    if (because === 'failed') this.#failures[index] = this.failures(index) + 1
    if (because === 'lost') this.losses.add(index)
    if (avoid !== undefined) this.tried.add(index, avoid)
    if (this.#isEarly(index)) return
    // A task that was held before the cursor came to it is still ahead of the cursor.
    if (index < this.#cursor) this.#back.push({ index, avoid })
    this.#waiting++
  }

  /** Its outcome is being proposed. False if there was one before. */
  propose(index: number): boolean {
    const state = this.#state[index]
    if (state === TASK.proposed || state === TASK.committed) return false
    if (state === TASK.waiting && !this.#isEarly(index)) this.#waiting--
    this.#unhold(index)
    this.tried.forget(index)
    this.#state[index] = TASK.proposed
    return true
  }

  commit(index: number): void {
    if (this.#state[index] === TASK.committed) return
    this.propose(index)
    this.#state[index] = TASK.committed
    this.#unfinished--
  }

  check(): void {
    let waiting = 0
    let fresh = 0
    for (let index = 0; index < this.count; index++) {
      if (this.#state[index] !== TASK.waiting || this.#isEarly(index)) continue
      waiting++
      if (index >= this.#cursor) fresh++
    }
    if (waiting !== this.#waiting) assert(false, `${this.#waiting} waiting, ${waiting} counted`)
    let line = 0
    const seen = new Uint8Array(this.#back.length > 1 ? this.count : 0)
    for (const { index } of this.#back) {
      if (seen[index] === 1) assert(false, 'a task stands in line twice')
      seen[index] = 1
      if (this.#state[index] === TASK.waiting) line++
    }
    if (line + fresh !== waiting) assert(false, `${line} in line and ${fresh} new, but ${waiting} wait`)
    for (const [peer, held] of this.#held) {
      let counted = 0
      for (const holder of this.#holder) if (holder === peer) counted++
      if (held !== counted) assert(false, `${peer} holds ${held}`)
    }
  }

  #isEarly(index: number): boolean {
    return this.#early?.[index] === 1
  }

  /** The number of the run after the one that is under way. */
  #further(index: number): Attempt {
    return Math.min(Math.max(this.attempt(index) + 1, this.#floor[index] as number), attemptsMax)
  }

  #unhold(index: number): void {
    this.#running.delete(index)
    const holder = this.#holder[index]
    if (holder === undefined) return
    this.#holder[index] = undefined
    const left = (this.#held.get(holder) ?? 0) - 1
    if (left > 0) this.#held.set(holder, left)
    else this.#held.delete(holder)
  }

  #takeBack(peer: PeerId, most: number, elsewhere: boolean, suited: Suited): Picked | undefined {
    if (this.#back.length === 0) return undefined
    const indexes: number[] = []
    let attempt = 0
    let engine: string | undefined
    let company = this.heldBy(peer).reduce((sum, index) => sum + this.losses.weight(index), 0)
    this.#back = this.#back.filter(({ index, avoid }) => {
      if (this.#state[index] !== TASK.waiting) return false
      const place = this.places.get(index)
      if (indexes.length >= most || (elsewhere && avoid === peer && place === undefined)) return true
      if (!suited(index)) return true
      if (place !== undefined && !place.startsWith(`${peer}/`)) return true
      if (indexes.length > 0 && (this.attempt(index) !== attempt || place !== engine)) return true
      const weight = this.losses.weight(index)
      if (weight > 0 && company + weight > companyMax) return true
      company += weight
      attempt = this.attempt(index)
      engine = place
      indexes.push(index)
      return false
    })
    return indexes.length === 0 ? undefined : { indexes, attempt, engine }
  }

  #takeNew(most: number): Picked | undefined {
    const indexes: number[] = []
    let attempt = 0
    while (indexes.length < most && this.#cursor < this.count) {
      const index = this.#cursor
      if (this.#state[index] === TASK.waiting) {
        if (indexes.length > 0 && this.attempt(index) !== attempt) break
        attempt = this.attempt(index)
        indexes.push(index)
      }
      this.#cursor++
    }
    return indexes.length === 0 ? undefined : { indexes, attempt }
  }
}
