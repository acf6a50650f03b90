/**
 * The pool as a thread sees it: messages, claims in shared memory, and a desk for outcomes that wait to be sent.
 *
 * Not here: the other end (thread.ts), and what runs (worker.ts).
 */
import type { MessagePort } from 'node:worker_threads'
import { encodeOutcome, OUTCOME_HEADER_BYTES, type OutcomeHeader, writeOutcomeHeader } from '../batch.ts'
import type { Port } from './engine.ts'
import type { Desk, FromWorker, ToWorker, ToWorkerOf, WorkerData } from './protocol.ts'
import { CLAIM, openDesk, outcomesOnDeskMax, readDesk, swapClaim } from './protocol.ts'

export class ThreadPort implements Port {
  readonly slot: number
  readonly engine: string
  readonly #port: MessagePort
  readonly #desk: Desk

  constructor(port: MessagePort, { slot, engine, desk }: WorkerData) {
    this.#port = port
    this.slot = slot
    this.engine = engine
    this.#desk = openDesk(desk)
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
    const desk = this.#desk
    const size = OUTCOME_HEADER_BYTES + payload.byteLength
    let count = desk.count[0] as number
    let used = count === 0 ? 0 : (desk.ends[count - 1] as number)
    if (count === outcomesOnDeskMax || used + size > desk.body.byteLength) {
      this.flush()
      count = used = 0
    }
    if (!swapClaim(claims, position, CLAIM.running, CLAIM.ended)) this.#park()
    if (size > desk.body.byteLength) {
      const body = encodeOutcome(header, payload)
      return this.post({
        kind: 'ended',
        run,
        positions: Uint32Array.of(position),
        ends: Uint32Array.of(size),
        body
      })
    }
    writeOutcomeHeader(desk.body.subarray(used, used + size), header)
    desk.body.set(payload, used + OUTCOME_HEADER_BYTES)
    desk.positions[count] = position
    desk.ends[count] = used + size
    desk.count[0] = count + 1
  }

  flush(): void {
    if (this.#desk.count[0] === 0) return
    this.post(readDesk(this.#desk))
    this.#desk.count[0] = 0
  }

  post(message: FromWorker): void {
    this.#port.postMessage(message, [message.body.buffer as ArrayBuffer])
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
