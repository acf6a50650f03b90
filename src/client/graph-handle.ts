/**
 * A graph in its submitter's hands: a job whose results have names.
 *
 * Not here: everything else about jobs (job.ts), and order (graph.ts).
 */
import type { RunMetadata } from '../errors.ts'
import { ShoalError } from '../errors.ts'
import type { Explanation } from './answers.ts'
import { Awaitable } from './awaitable.ts'
import { type End, endOf } from './endings.ts'
import type { Calls, CallValues } from './graph.ts'
import type { Job } from './job.ts'
import type { Gate } from './nest.ts'
import type { Times } from './timing.ts'
import type { Accepted, GraphHandle, JobProgress, JobStatus, TaskHandle } from './types.ts'

export class Graph<N extends Calls> extends Awaitable<CallValues<N>> implements GraphHandle<N> {
  readonly #job: Job<unknown>
  readonly #calls: N
  readonly #positions: ReadonlyMap<string, number>

  constructor(job: Job<unknown>, calls: N, positions: ReadonlyMap<string, number>) {
    super()
    this.#job = job
    this.#calls = calls
    this.#positions = positions
  }

  get id(): string {
    return this.#job.id
  }

  get accepted(): Promise<Accepted> {
    return this.#job.accepted
  }

  protected override get seen(): object {
    return { id: this.id, ...this.#job.progress }
  }

  get progress(): JobProgress {
    return { ...this.#job.progress, running: [] }
  }

  protected get end(): End {
    return this.#job.end
  }

  protected get times(): Times {
    return this.#job
  }

  protected get gate(): Gate {
    return this.#job.gate
  }

  override [endOf](): End {
    return this.#job[endOf]()
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaitable by design.
  then<A = CallValues<N>, B = never>(
    onDone?: ((values: CallValues<N>) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    return this.#job.then((results) => this.#named(results)).then(onDone, onRejected)
  }

  task<K extends keyof N>(name: K): TaskHandle<CallValues<N>[K]> {
    return this.#job.task(this.#position(name)) as TaskHandle<unknown> as TaskHandle<CallValues<N>[K]>
  }

  metadata(name: string | number): RunMetadata | undefined {
    return this.#job.metadata(this.#position(name))
  }

  explain(name: string | number): Promise<Explanation> {
    return this.#job.explain(this.#position(name))
  }

  status(): Promise<JobStatus> {
    return this.#job.status()
  }

  onProgress(listener: (progress: JobProgress) => void): () => void {
    return this.#job.onProgress(listener)
  }

  cancel(): Promise<void> {
    return this.#job.cancel()
  }

  release(): Promise<void> {
    return this.#job.release()
  }

  #named(results: readonly unknown[]): CallValues<N> {
    const values = Object.keys(this.#calls).map((name) => [name, results[this.#position(name)]] as const)
    const isList = Array.isArray(this.#calls)
    return (isList ? values.map(([, value]) => value) : Object.fromEntries(values)) as CallValues<N>
  }

  #position(name: PropertyKey): number {
    const position = this.#positions.get(String(name))
    if (position !== undefined) return position
    throw new ShoalError('SHOAL_NOT_FOUND', `the graph has no call ${JSON.stringify(name)}`)
  }
}
