/**
 * The pool as the process of an engine sees it: two pipes for messages, and a tape that outlives this process.
 *
 * Not here: the other end (child.ts), and what runs (worker.ts).
 */
import { Socket } from 'node:net'
import { giveUp } from '../../spent.ts'
import { encodeOutcome, type OutcomeHeader } from '../batch.ts'
import { alone, createDeskMemory, type Desk, openDesk, putOnDesk, readDesk } from './desk.ts'
import type { Port } from './engine.ts'
import { FrameReader, writeFrame } from './frames.ts'
import type { FromWorker, ToWorker, ToWorkerOf } from './protocol.ts'
import { CLAIM } from './protocol.ts'
import { readWord, TapeWriter } from './tape.ts'

/** What the process of an engine finds open, besides stdin, stdout and stderr. */
export const FD = { fromPool: 3, toPool: 4, tape: 5 } as const

/** What a pool says to the process alone. */
export type ToChild =
  | ToWorker
  /** The pool's `word`-th word: these tasks were taken back. */
  | { kind: 'taken'; word: number; run: number; positions: readonly number[] }

/** What the process says for itself. */
export type FromChild = FromWorker | { kind: 'last-words'; text: string }

export class ChildPort implements Port {
  readonly slot: number
  readonly engine: string
  readonly #desk: Desk = openDesk(createDeskMemory())
  readonly #tape = new TapeWriter(FD.tape)
  /** Of runs that are not over. */
  readonly #orders = new Map<number, ToWorkerOf<'run'>>()
  #current: ToWorkerOf<'run'> | undefined
  #count = 0
  /** The word of the pool that came last. */
  #heard = 0
  #onWord: (() => void) | undefined

  constructor([slot = '', engine = '']: readonly string[]) {
    this.slot = Number(slot)
    this.engine = engine
  }

  listen(onMessage: (message: ToWorker) => void): void {
    const frames = new FrameReader()
    const socket = new Socket({ fd: FD.fromPool, readable: true, writable: false })
    socket.on('data', (part) => {
      for (const message of frames.read(part) as ToChild[]) {
        if (message.kind === 'taken') this.#taken(message)
        else {
          if (message.kind === 'run') this.#orders.set(message.run, message)
          onMessage(message)
        }
      }
    })
    // Without a pool there is nobody to work for.
    const leave = (): void => process.kill(process.pid, 'SIGKILL') as unknown as undefined
    socket.on('end', leave)
    socket.on('error', leave)
  }

  begin(order: ToWorkerOf<'run'>, position: number, startedAt: number): boolean | Promise<boolean> {
    if (order !== this.#current) this.#turnTo(order)
    if (order.claims[position] !== CLAIM.unstarted) return false
    this.#tape.begin({ order: this.#count, position, startedAt }, this.#desk.count[0] === 0)
    // Only now: see tape.ts.
    return this.#hasHeardAll() || this.#hear(order, position)
  }

  end({ run }: ToWorkerOf<'run'>, position: number, header: OutcomeHeader, payload: Uint8Array): void {
    if (!putOnDesk(this.#desk, position, header, payload)) {
      this.flush()
      if (!putOnDesk(this.#desk, position, header, payload)) {
        this.post(alone(run, position, header, payload))
        giveUp(payload)
        return
      }
    }
    this.#tape.end(encodeOutcome(header, payload))
  }

  flush(): void {
    if (this.#desk.count[0] === 0) return
    this.post(readDesk(this.#desk))
    this.#desk.count[0] = 0
    this.#tape.clear()
  }

  post(message: FromWorker): void {
    writeFrame(FD.toPool, message satisfies FromChild)
  }

  die(error: unknown): never {
    console.error(error)
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    writeFrame(FD.toPool, { kind: 'last-words', text } satisfies FromChild)
    process.kill(process.pid, 'SIGKILL')
    throw error
  }

  #turnTo(order: ToWorkerOf<'run'>): void {
    if (this.#current !== undefined) this.#orders.delete(this.#current.run)
    this.#current = order
    this.#count++
    this.#desk.clock[1] = order.run
  }

  #hasHeardAll(): boolean {
    return readWord(FD.tape) === this.#heard
  }

  /** The pool has said something, perhaps of this very task. It may also be that it is about to end this process. */
  async #hear(order: ToWorkerOf<'run'>, position: number): Promise<boolean> {
    while (!this.#hasHeardAll()) {
      await new Promise<void>((resolve) => {
        this.#onWord = resolve
      })
    }
    return order.claims[position] === CLAIM.unstarted
  }

  #taken({ word, run, positions }: Extract<ToChild, { kind: 'taken' }>): void {
    const claims = this.#orders.get(run)?.claims
    for (const position of positions) if (claims !== undefined) claims[position] = CLAIM.taken
    this.#heard = word
    this.#onWord?.()
  }
}
