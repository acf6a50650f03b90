/**
 * The pool as a thread sees it: messages, claims in shared memory, and a desk for outcomes that wait to be sent.
 *
 * Not here: the other end (thread.ts), and what runs (worker.ts).
 */
import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { basename } from 'node:path'
import type { MessagePort } from 'node:worker_threads'
import { giveUp } from '../../spent.ts'
import type { OutcomeHeader } from '../batch.ts'
import { alone, type Desk, openDesk, putOnDesk, readDesk } from './desk.ts'
import type { Port } from './engine.ts'
import type { FromWorker, ToWorker, ToWorkerOf, WorkerData } from './protocol.ts'
import { CLAIM, swapClaim } from './protocol.ts'

export class ThreadPort implements Port {
  readonly slot: number
  readonly engine: string
  readonly #port: MessagePort
  readonly #desk: Desk

  constructor(port: MessagePort, { slot, engine, desk, nice }: WorkerData) {
    this.#port = port
    this.slot = slot
    this.engine = engine
    this.#desk = openDesk(desk)
    if (nice !== 0) giveWay(nice)
  }

  listen(onMessage: (message: ToWorker) => void): void {
    this.#port.on('message', onMessage)
  }

  begin({ run, claims }: ToWorkerOf<'run'>, position: number, startedAt: number): boolean {
    // Written before the claim: the pool reads the claim first, and so never mistakes an earlier start for this one.
    this.#desk.clock[0] = startedAt
    this.#desk.clock[1] = run
    return swapClaim(claims, position, CLAIM.unstarted, CLAIM.running)
  }

  end(
    { run, claims }: ToWorkerOf<'run'>,
    position: number,
    header: OutcomeHeader,
    payload: Uint8Array
  ): void {
    if (!swapClaim(claims, position, CLAIM.running, CLAIM.ended)) this.#park()
    if (putOnDesk(this.#desk, position, header, payload)) return
    this.flush()
    if (putOnDesk(this.#desk, position, header, payload)) return
    this.post(alone(run, position, header, payload))
    giveUp(payload)
  }

  flush(): void {
    if (this.#desk.count[0] === 0) return
    this.post(readDesk(this.#desk))
    this.#desk.count[0] = 0
  }

  post(message: FromWorker): void {
    const moved = message.kind === 'ended' ? [message.body.buffer as ArrayBuffer] : []
    this.#port.postMessage(message, moved)
  }

  die(error: unknown): never {
    throw error
  }

  /** The pool took the task while it ran: this thread is to die, and must not begin another task before it does. */
  #park(): never {
    const { count } = this.#desk
    for (;;) Atomics.wait(count, 0, count[0] as number)
  }
}

/** Linux gives each thread a priority of its own, and says in /proc which one this is. Elsewhere it would be the node's. */
function giveWay(nice: number): void {
  try {
    setPriority(Number(basename(readlinkSync('/proc/thread-self'))), nice)
  } catch {
    // It runs like any other.
  }
}
