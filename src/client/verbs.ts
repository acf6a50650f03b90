/**
 * Verbs of a client that are made of others: data, views of engines, and questions about the mesh.
 *
 * Not here: what they are made of (data.ts, views/), and jobs (client.ts).
 */
import type { Ref } from '../data/ref.ts'
import { ShoalError } from '../errors.ts'
import { isPeerId, type JobId, taskNamed } from '../ids.ts'
import type { EngineOrder } from '../tasks/engine-orders.ts'
import type { Placement } from '../tasks/messages.ts'
import type { Explanation, JobSummary, MemberInfo, NodeStatus, StatusReport } from './answers.ts'
import type { Beside } from './beside.ts'
import { checkSignal, onlyKnown, shown } from './checks.ts'
import { type LeaseOptions, MeshLock, MeshSemaphore } from './coordination/lock.ts'
import { MeshQueue, type QueueOptions } from './coordination/queue.ts'
import { MeshEvent, MeshVariable } from './coordination/variable.ts'
import type { ClientData } from './data.ts'
import { type Endable, type Ended, inOrderOfEnd, type Waited, type WaitOptions, wait } from './endings.ts'
import type { Job } from './job.ts'
import { inspectedBy, type Look, looksLike } from './looks.ts'
import type { Gate } from './nest.ts'
import { checkTaskOptions } from './options.ts'
import { type Watchable, type WatchOptions, watch } from './progress.ts'
import { Single } from './single.ts'
import { unfinished } from './standing.ts'
import { checkReading, type ReadOptions, type SourceStream } from './stream.ts'
import { Task } from './task.ts'
import type { Client, DataSource, Progress, PutOptions, TaskHandle, TaskOptions } from './types.ts'
import { BalancedView } from './views/balanced.ts'
import type { EngineInfo, Presence } from './views/engines.ts'
import { untilEngines, type WaitForEngines } from './views/until.ts'
import { DirectView, type Submitter, type Targets } from './views/view.ts'

interface Waiting {
  readonly signal?: AbortSignal
}

/** See `Client` for what each does. */
export abstract class Verbs {
  protected abstract readonly data: ClientData
  protected abstract readonly beside: Beside
  protected abstract readonly presence: Presence
  /** The node that it is attached to now. */
  protected abstract readonly entry: string
  /** What waiting for results goes through. */
  protected abstract gate(): Gate
  /** Asks the mesh; `silent`: nodes that did not answer. Rejects with SHOAL_CLOSED or SHOAL_NO_MESH. */
  protected abstract ask<T>(what: string, about?: string): Promise<{ value: T; silent: number }>
  /** Of a job by its id, for those who ask for single tasks of it: all of this client share it. */
  protected abstract reader(job: JobId): Job<unknown>
  /** Before whatever needs an entry: looks for one, if there is none. Throws SHOAL_CLOSED. */
  protected abstract begin(): void
  /** This very client. */
  protected abstract get self(): Client & Submitter

  get [inspectedBy](): Look {
    return looksLike('Client', () => ({ entry: this.entry }))
  }

  task<R>(id: string, options: Waiting = {}): TaskHandle<R> {
    onlyKnown(options, ['signal'])
    const named = taskNamed(id)
    if (named === undefined) throw new ShoalError('SHOAL_NOT_FOUND', `${shown(id)} is no id of a task`)
    if (!id.includes(':')) return new Task<R>(this.self.job<R>(named.job, options) as Job<R>)
    checkSignal(options.signal)
    const find = (): Job<unknown> => this.reader(named.job)
    return new Single<R>({ ...named, gate: this.gate(), find, signal: options.signal })
  }

  async wait<H extends Endable>(handles: Iterable<H>, options?: WaitOptions): Promise<Waited<H>> {
    return this.gate()(wait(handles, options))
  }

  asCompleted<H extends Endable>(
    handles: Iterable<H>,
    options?: Omit<WaitOptions, 'until'>
  ): AsyncIterableIterator<Ended<H>> {
    return inOrderOfEnd(handles, options, this.gate())
  }

  async watch(handle: Watchable, options?: WatchOptions): Promise<Progress> {
    return this.gate()(watch(handle, options))
  }

  put(source: DataSource, options?: PutOptions): Promise<Ref> {
    return this.data.put(source, options)
  }

  get(ref: Ref, options?: Waiting): Promise<Uint8Array> {
    return this.data.get(ref, options)
  }

  stream(ref: Ref, options?: Waiting): AsyncIterable<Uint8Array> {
    return this.data.stream(ref, options)
  }

  save(ref: Ref, path: string, options?: Waiting): Promise<void> {
    return this.data.save(ref, path, options)
  }

  free(...refs: Ref[]): Promise<void> {
    return this.data.free(refs)
  }

  source<T>(name: string, options: ReadOptions = {}): SourceStream<T> {
    const { ahead, signal } = checkReading(name, options)
    this.begin()
    return this.beside.streams.open<T>(name, ahead, signal)
  }

  variable<T>(name: string): MeshVariable<T> {
    return new MeshVariable<T>(this.beside.cells, name)
  }

  event(name: string): MeshEvent {
    return new MeshEvent(this.beside.cells, name)
  }

  queue<T>(name: string, options?: QueueOptions): MeshQueue<T> {
    return new MeshQueue<T>(this.beside.cells, name, options)
  }

  lock(name: string, options?: LeaseOptions): MeshLock {
    return new MeshLock(this.beside.cells, name, options)
  }

  semaphore(name: string, permits: number, options?: LeaseOptions): MeshSemaphore {
    return new MeshSemaphore(this.beside.cells, name, permits, options)
  }

  view(targets: Targets, options: object = {}): DirectView {
    // What a view of the blocking client may be told, it keeps to itself.
    onlyKnown(options, [])
    return new DirectView(this.self, this.presence, targets)
  }

  balanced(options: TaskOptions = {}): BalancedView {
    const { key } = checkTaskOptions(options)
    if (key !== undefined)
      throw new ShoalError('SHOAL_BAD_OPTION', 'a view makes many jobs, and a `key` names one')
    return new BalancedView(this.self, options)
  }

  engines(): Promise<EngineInfo[]> {
    return this.presence.engines()
  }

  waitForEngines(count?: number, options?: WaitForEngines): Promise<EngineInfo[]> {
    return this.gate()(untilEngines(this.self, count, options))
  }

  async jobs(): Promise<JobSummary[]> {
    return (await this.ask<JobSummary[]>('jobs')).value
  }

  async members(): Promise<MemberInfo[]> {
    return (await this.ask<MemberInfo[]>('members')).value
  }

  async status(): Promise<StatusReport> {
    const { value, silent } = await this.ask<NodeStatus[]>('status')
    return { entry: this.entry, nodes: value, silent }
  }

  async explain(task: string): Promise<Explanation> {
    if (taskNamed(task) === undefined)
      throw new ShoalError('SHOAL_BAD_OPTION', `${shown(task)} is no id of a task; write <job>:<index>`)
    return (await this.ask<Explanation>('explain', task)).value
  }

  async drain(node: string): Promise<void> {
    const isUp = isPeerId(node) && (await this.ask<boolean>('drain', node)).value
    if (!isUp)
      throw new ShoalError(
        'SHOAL_NOT_FOUND',
        `no node ${typeof node === 'string' ? node : shown(node)} is up; see \`shoal status\``
      )
  }

  /** Whether the node of this engine did it. */
  protected async order(order: EngineOrder, engine: string): Promise<boolean> {
    return (await this.ask<boolean>(order, engine)).value
  }

  async release(job: JobId): Promise<void> {
    const { value } = await this.ask<string>('release', job)
    if (value === 'unfinished') throw unfinished(job)
    if (value === 'busy')
      throw new ShoalError('SHOAL_BUSY', 'too many jobs are being released; wait and try again')
  }

  async standing(about: string): Promise<JobSummary | undefined> {
    return (await this.ask<JobSummary[]>('standing', about)).value[0]
  }

  /** As which epoch of its submitter the mesh has the job as a whole. */
  async acceptedAs(job: JobId): Promise<number | undefined> {
    const { value } = await this.ask<unknown>('accepted', job)
    return typeof value === 'number' ? value : undefined
  }

  async locate(job: JobId): Promise<Placement[]> {
    return (await this.ask<Placement[]>('locate', job)).value
  }
}
