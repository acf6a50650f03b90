/**
 * The seam between a pool and its engines: what the pool holds of an engine, and what an engine holds of its pool.
 *
 * Not here: who does it how (thread.ts with thread-port.ts), and what is decided (pool.ts, worker.ts).
 * Whether a task has begun must have one answer, also when its engine does not answer any more; so both ends look it up in
 * something that outlives an engine, and never ask each other.
 */
import type { OutcomeHeader } from '../batch.ts'
import type { Ended, FromWorker, ToWorker, ToWorkerOf } from './protocol.ts'

/** A task in a run, and when it began (`sharedMillis`). */
export interface Started {
  readonly run: number
  readonly position: number
  readonly startedAt: number
}

/** What an engine left when it ended. */
export interface EngineEnd {
  /** In words for people: what it died of. */
  readonly reason: string
  /** False if it never came to do anything: what it was given has no part in its end. */
  readonly hasStarted: boolean
  /** Outcomes that it had not sent yet. */
  readonly rest: Ended | undefined
  /** Tasks that it had begun; those among them that were reported before, or are part of `rest`, ended by themselves. */
  readonly started: readonly Started[]
}

export interface EngineOptions {
  readonly slot: number
  /** `<node>/<slot>` */
  readonly name: string
  /** Megabytes of heap. */
  readonly heapMb: number | undefined
  /** How much it gives way to other processes: 0 to 19. */
  readonly nice: number
  /** Whatever comes from the engine; user code may have said it. */
  readonly onMessage: (message: unknown) => void
  /** Once, and after every message that it sent. */
  readonly onEnd: (end: EngineEnd) => void
}

/** One engine as the pool holds it. A new one is a new object. */
export interface Engine {
  post(message: ToWorker): void
  /** This run is over, and nothing of it is asked for any more. */
  forget(run: number): void
  /** Those of these tasks that have not begun. They never will. */
  take(run: number, positions: readonly number[]): number[]
  /** The task that runs now, if one does. */
  running(): Started | undefined
  /** Ends the engine if it runs this task right now, and lets it begin no other; false, and nothing is done, if it does not. */
  condemn(run: number, position: number): boolean
  /** Lets it stand still with all that it started, or go on. False if it cannot. */
  suspend(isSuspended: boolean): boolean
  /** Ends it, whatever it does; `because` is what it died of. Resolves when it has ended. */
  terminate(because?: string): Promise<void>
}

/** The pool as one engine sees it, from inside of a thread or process. */
export interface Port {
  readonly slot: number
  /** `<node>/<slot>` */
  readonly engine: string
  /** Must be called once; messages that came before are kept. */
  listen(onMessage: (message: ToWorker) => void): void
  /** False if the task was taken back; otherwise it is now held to have begun. A promise if this needs a word of the pool. */
  begin(order: ToWorkerOf<'run'>, position: number, startedAt: number): boolean | Promise<boolean>
  /** The task that began last ended like this. It is told with the next `flush`, or when there is no room to keep it. */
  end(order: ToWorkerOf<'run'>, position: number, header: OutcomeHeader, payload: Uint8Array): void
  flush(): void
  /** Tells at once. */
  post(message: FromWorker): void
  /** Ends this engine, which says what it died of. */
  die(error: unknown): never
}
