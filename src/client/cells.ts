/**
 * Commands to cells in a client's hands: promises of their answers, limits to waiting, and leases that are held.
 *
 * Not here: what is said to the entry, and again to the next one (orders.ts), and what users call (coordination/).
 * Who stops waiting for an item of a queue is told whether it moved, so the promise may come a little after its time.
 */
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { CellAnswer, CellQuestion } from '../cells/client-messages.ts'
import type { Answer, Command, CommandOf } from '../cells/commands.ts'
import { unheardMaxMs } from '../cells/petitions.ts'
import { ShoalError } from '../errors.ts'
import { unreachable } from '../machine.ts'
import { Hold } from './coordination/hold.ts'
import type { Gate, Owner } from './nest.ts'
import { type OrderEffect, Orders, ordersMax } from './orders.ts'

/** How long a caller waits, and what ends it earlier. */
export interface Patience {
  /** Milliseconds; 0 does not wait. Default: no limit. */
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Answered {
  readonly answer: Answer
  /** Of the cell, when it was done. */
  readonly version: number
}

/** The client that these are part of. */
export interface CellHost {
  /** Does nothing while there is no entry. */
  readonly send: (message: CellQuestion) => void
  /** Looks for an entry, if there is none. */
  readonly attach: () => void
  readonly leave: () => void
  /** What waiting goes through. */
  readonly gate: () => Gate
  /** The task that calls, if it is one; throws if that has ended. */
  readonly owner: (() => Owner) | undefined
}

interface Waiting {
  readonly resolve: (answered: Answered) => void
  readonly reject: (error: Error) => void
  readonly end: () => void
  /** Who waits has given up, for this reason, and it is not known yet whether it was done. */
  reason: Error | undefined
}

/** A little more than an entry takes to find out that nobody can tell. */
const settleMs = unheardMaxMs + 3_000
/** How long a client that is closed waits for its locks to be free. */
const closeMs = 1_000
/** What a timer can hold; longer limits are none. */
const timerMax = 2 ** 31 - 1

export class ClientCells {
  readonly #host: CellHost
  /** Of this client; no other one has it. */
  readonly name = randomBytes(12).toString('base64url')
  readonly #orders = new Orders(this.name)
  readonly #waiting = new Map<number, Waiting>()
  readonly #holds = new Map<string, Hold>()
  /** What is put away with each task. */
  readonly #owned = new WeakMap<Owner, Set<(error: Error) => void>>()
  #closed: Error | undefined
  #leases = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #timerAt = Number.POSITIVE_INFINITY

  constructor(host: CellHost) {
    this.#host = host
  }

  /** While it is above 0 the client stays attached. */
  get size(): number {
    return this.#orders.size
  }

  call(cell: string, command: Command, patience: Patience = {}): Promise<Answered> {
    const isPatient = command.kind === 'wait' || ('isPatient' in command && command.isPatient)
    const answered = this.#call(cell, command, patience)
    return isPatient ? this.#host.gate()(answered) : answered
  }

  /** `undefined` if it cannot be had without waiting, and `timeout` is 0. */
  async acquire(
    cell: string,
    { permits, leaseMs }: Pick<CommandOf<'acquire'>, 'permits' | 'leaseMs'>,
    patience: Patience
  ): Promise<Hold | undefined> {
    const lease = `${this.name}-${++this.#leases}`
    const isPatient = patience.timeout !== 0
    const owner = this.#host.owner?.()
    const acquired = async (): Promise<Hold | undefined> => {
      const command = { kind: 'acquire', lease, leaseMs, permits, isPatient } as const
      const { answer } = await this.#call(cell, command, patience)
      if (answer.kind === 'refused' && answer.because === 'other size')
        throw new ShoalError(
          'SHOAL_BAD_OPTION',
          `${cell} was made with another number of permits than ${permits}`
        )
      if (answer.kind !== 'granted') return undefined
      const hold = new Hold(cell, answer.token, {
        isHeld: () => this.#orders.holds(lease, performance.now()),
        release: () => this.#release(cell, lease)
      })
      this.#holds.set(lease, hold)
      const giveBack = (): void => void hold[Symbol.asyncDispose]().catch(() => {})
      if (owner?.isOver) giveBack()
      else if (owner !== undefined) hold.onEnd(this.#own(owner, giveBack))
      return hold
    }
    return isPatient ? await this.#host.gate()(acquired()) : await acquired()
  }

  message(message: CellAnswer): void {
    this.#perform(this.#orders.message(message, performance.now()))
  }

  attached(): void {
    this.#perform(this.#orders.attached(performance.now()))
  }

  detached(): void {
    this.#orders.detached()
  }

  /** Nobody can be asked any more. Leases that are held may yet be renewed by another entry. */
  failAll(error: Error): void {
    for (const ask of [...this.#waiting.keys()]) {
      this.#perform(this.#orders.withdraw(ask, performance.now()))
      this.#fail(ask, error)
    }
  }

  /** Gives back what is held, as far as that can be done in a second; who works under it is told first. */
  async close(error: Error): Promise<void> {
    this.#closed = error
    const given = [...this.#holds.values()].map((hold) => hold.takenBack())
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, closeMs)
    if (given.length > 0) await Promise.race([Promise.all(given), late.promise])
    clearTimeout(timer)
    clearTimeout(this.#timer)
    this.#timerAt = Number.NEGATIVE_INFINITY
  }

  #call(cell: string, command: Command, { timeout, signal }: Patience): Promise<Answered> {
    const owner = this.#host.owner?.()
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    if (this.#orders.isFull)
      return Promise.reject(
        new ShoalError('SHOAL_BUSY', `${ordersMax} calls of this client are under way; wait for some of them`)
      )
    if (signal?.aborted) return Promise.reject(aborted(cell, signal))
    this.#host.attach()
    const { ask, effects } = this.#orders.order(cell, command, performance.now())
    const answered = new Promise<Answered>((resolve, reject) => {
      const abort = (): void => this.#giveUp(ask, aborted(cell, signal))
      signal?.addEventListener('abort', abort, { once: true })
      const isLimited = timeout !== undefined && timeout > 0 && timeout <= timerMax
      const timer = isLimited ? setTimeout(() => this.#giveUp(ask, late(cell, timeout)), timeout) : undefined
      const disown = owner === undefined ? undefined : this.#own(owner, (error) => this.#giveUp(ask, error))
      const end = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        disown?.()
      }
      this.#waiting.set(ask, { resolve, reject, end, reason: undefined })
    })
    this.#perform(effects)
    return answered
  }

  async #release(cell: string, lease: string): Promise<void> {
    this.#holds.delete(lease)
    const { ask, effects } = this.#orders.release(cell, lease, performance.now())
    const answered = new Promise<Answered>((resolve, reject) =>
      this.#waiting.set(ask, { resolve, reject, end: () => {}, reason: undefined })
    )
    this.#perform(effects)
    await answered
  }

  /** Done when the task ends; the function that it gives takes that back. */
  #own(owner: Owner, end: (error: Error) => void): () => void {
    let ends = this.#owned.get(owner)
    if (ends === undefined) {
      const all = new Set<(error: Error) => void>()
      const error = new ShoalError('SHOAL_CANCELLED', 'the task that waited for it has ended')
      owner.whenOver(() => {
        for (const one of [...all]) one(error)
      })
      this.#owned.set(owner, all)
      ends = all
    }
    const own = ends
    own.add(end)
    return () => own.delete(end)
  }

  #giveUp(ask: number, reason: Error): void {
    const one = this.#waiting.get(ask)
    if (one === undefined || one.reason !== undefined) return
    one.reason = reason
    this.#perform(this.#orders.withdraw(ask, performance.now()))
    if (!this.#orders.has(ask)) return this.#fail(ask, reason)
    const text = `${reason.message}; nobody could be asked since whether it was done all the same`
    setTimeout(() => {
      this.#fail(ask, new ShoalError('SHOAL_UNDECIDED', text, { cause: reason }))
    }, settleMs).unref()
  }

  #perform(effects: readonly OrderEffect[]): void {
    for (const effect of effects) this.#do(effect)
    this.#setTimer()
  }

  #do(effect: OrderEffect): void {
    switch (effect.kind) {
      case 'send':
        return this.#host.send(effect.message)
      case 'answered':
        return this.#answered(effect.ask, effect)
      case 'failed':
        return this.#fail(effect.ask, new ShoalError(effect.code, effect.message))
      case 'lapsed': {
        const hold = this.#holds.get(effect.lease)
        this.#holds.delete(effect.lease)
        return hold?.lost()
      }
      case 'leave-entry':
        return this.#host.leave()
      default:
        return unreachable(effect)
    }
  }

  #answered(ask: number, { answer, version }: Answered): void {
    const one = this.#waiting.get(ask)
    if (one === undefined) return
    if (one.reason !== undefined && answer.kind === 'refused') return this.#fail(ask, one.reason)
    this.#waiting.delete(ask)
    one.end()
    one.resolve({ answer, version })
  }

  #fail(ask: number, error: Error): void {
    const one = this.#waiting.get(ask)
    if (one === undefined) return
    this.#waiting.delete(ask)
    one.end()
    one.reject(error)
  }

  #setTimer(): void {
    const wakeAt = this.#orders.wakeAt()
    if (wakeAt === undefined || wakeAt >= this.#timerAt) return
    clearTimeout(this.#timer)
    const now = performance.now()
    this.#timerAt = Math.max(now + 1, Math.ceil(wakeAt))
    this.#timer = setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY
      this.#perform(this.#orders.wake(performance.now()))
    }, this.#timerAt - now)
  }
}

const aborted = (cell: string, signal: AbortSignal | undefined): ShoalError =>
  new ShoalError('SHOAL_CANCELLED', `waiting for ${cell} was aborted`, { cause: signal?.reason })

const late = (cell: string, timeout: number): ShoalError =>
  new ShoalError(
    'SHOAL_TIMEOUT',
    `${cell} was waited for ${timeout} ms in vain; nothing was taken or changed`
  )
