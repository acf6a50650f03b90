/**
 * The client: turns calls into jobs, keeps a line to some node, and hands out what comes back.
 *
 * Not here: the protocol (session.ts), the line (line.ts), handles (job.ts), inputs (feed.ts).
 * If the entry is lost, the client attaches to another one and nobody who waits notices more than a pause.
 */
import { performance } from 'node:perf_hooks'
import { ShoalError } from '../errors.ts'
import { isJobId, type JobId, type JobName, shardName } from '../ids.ts'
import { unreachable } from '../machine.ts'
import type { ProgramResult } from '../tasks/executor/program.ts'
import type { JobHeader } from '../tasks/messages.ts'
import { Alarm } from './alarm.ts'
import { Arrivals } from './arrivals.ts'
import { Beside } from './beside.ts'
import { Handles, readerName } from './by-name.ts'
import { shown, truth } from './checks.ts'
import { ClientData } from './data.ts'
import { feed, type Inputs } from './feed.ts'
import { type Encoding, Feeding, type Outlet, type Work } from './feeding.ts'
import { type ModuleFunction, type PlainFunction, type Shipped, ship, shipTogether } from './functions.ts'
import { type Calls, GraphPlan } from './graph.ts'
import { Graph } from './graph-handle.ts'
import { headerOf, newJobId } from './header.ts'
import { heed } from './heed.ts'
import type { Wanted } from './interest.ts'
import { Job } from './job.ts'
import type { InHand, JobHost, Maker, NewJob } from './job-plan.ts'
import { Keyed } from './keyed.ts'
import type { Line, OpenLine } from './line.ts'
import type { Gate, Within } from './nest.ts'
import { checkJobOptions, checkMapOptions, checkTaskOptions, type Settings } from './options.ts'
import { type TaskAt, tasksNamed } from './places.ts'
import { type ProgramOptions, planProgram } from './programs.ts'
import type { EntryMessage } from './protocol.ts'
import { reach } from './reach.ts'
import { Replies } from './replies.ts'
import { Session } from './session.ts'
import type { SessionEffect } from './shards.ts'
import { shareOf } from './share.ts'
import { Task } from './task.ts'
import type { Client, GraphHandle, JobHandle, MapOptions, TaskHandle, TaskOptions } from './types.ts'
import { Verbs } from './verbs.ts'
import { Presence } from './views/engines.ts'
import { checkArgs, lonely, waitsOf } from './waits.ts'
import { plainInputs, zipped } from './zip.ts'

/** How long a client without an entry looks for another one; then everything that waits rejects with SHOAL_NO_MESH. */
export const reattachMs = 60_000
/** Of a job from a source that may be endless. */
const inFlightDefault = 1_024

export class MeshClient extends Verbs implements Client, JobHost {
  readonly #line: Line
  protected readonly data: ClientData
  readonly #arrivals = new Arrivals(
    (id, make) => this.data.with(id, make),
    (id) => this.#jobs.get(id)
  )
  readonly #session = new Session()
  protected readonly beside: Beside
  readonly #jobs = new Handles<Job<unknown>>()
  readonly #keyed = new Keyed()
  readonly #replies = new Replies()
  readonly #closing = new AbortController()
  readonly #submitter: string
  readonly #within: Within
  protected readonly presence: Presence
  readonly #locate = (name: string): Promise<readonly TaskAt[]> =>
    tasksNamed(name, this.#jobs, (job) => this.locate(job))
  #state: 'away' | 'opening' | 'attached' = 'away'
  protected entry = ''
  /** Settles when the present search for an entry is over. */
  #attached = Promise.withResolvers<void>()
  readonly #alarm = new Alarm(() => this.#perform(this.#session.wake(performance.now())))

  /** `submitter`: whose share of the mesh its tasks take. */
  constructor(openLine: OpenLine, submitter: string, within: Within = { ship }) {
    super()
    this.#submitter = submitter
    this.#within = within
    this.presence = new Presence(() => this.members(), this.order.bind(this), within.around)
    this.beside = new Beside({
      send: (message) => {
        if (this.#state === 'attached') this.#line.send(message)
      },
      attach: () => this.#attach(),
      leave: () => this.#do({ kind: 'leave-entry' }),
      gate: () => this.gate(),
      owner: within.owner
    })
    const attach = (): Promise<void> => this.#untilAttached()
    this.#line = openLine({ onMessages: (all) => this.#received(all), onClosed: () => this.#lost(), attach })
    this.data = new ClientData({ door: this.#line.data, attached: attach, closing: this.#closing.signal })
  }

  /** Attaches for the first time; rejects if `signal` ends the search. */
  async open(signal: AbortSignal): Promise<void> {
    this.#state = 'opening'
    try {
      await this.#search(signal)
    } finally {
      if (this.#state === 'opening') this.#state = 'away'
    }
  }

  /** `sharers`: so many tasks are submitted with this very list of arguments. */
  submit<R>(
    fn: PlainFunction | ModuleFunction,
    args: readonly unknown[] = [],
    options: TaskOptions = {},
    sharers = 1
  ): TaskHandle<R> {
    const settings = checkTaskOptions(options)
    checkArgs(args)
    const job = this.#newJob<R>({ ...settings, returnErrors: false, inFlightMax: undefined })
    const shipped = () => this.#within.ship(fn, settings.scope)
    this.#run(job, shipped, settings, async (header, code) => {
      const shrink = this.data.shrinker(args, sharers, settings)
      const waits = waitsOf(args, settings.waits)
      const { inputs, needs } = await lonely(args, waits, { locate: this.#locate, shrink })
      if (!job.takesInputs) return
      this.#perform(this.#session.begin(header, settings.copies, code, job))
      job.submitted(1)
      this.#perform(this.#session.add(job.id, inputs, true, needs))
      job.fed()
    })
    return new Task(job)
  }

  map<R>(
    fn: PlainFunction | ModuleFunction,
    inputs: unknown,
    options: MapOptions & { readonly zip?: boolean } = {}
  ): JobHandle<R> {
    const settings = checkMapOptions(options, ['zip'])
    const { zip = false } = options
    truth('zip', zip)
    const rows = zip ? zipped(inputs) : plainInputs(inputs)
    const inFlightMax = settings.inFlightMax ?? (rows.mayBeEndless ? inFlightDefault : undefined)
    const job = this.#newJob<R>({ ...settings, inFlightMax })
    const encoding: Encoding = zip ? { argsOf: (row) => row as unknown[] } : {}
    const shipped = () => this.#within.ship(fn, settings.scope)
    this.#run(job, shipped, settings, (header, code) =>
      this.#feed(job, { header, code, settings, encoding }, rows.inputs)
    )
    return job
  }

  run(options: ProgramOptions): JobHandle<ProgramResult> {
    const plan = planProgram(options)
    const { settings } = plan
    const { inFlightMax = inFlightDefault } = settings
    const job = this.#newJob<ProgramResult>({ ...settings, inFlightMax })
    const encoding: Encoding = { bytesOf: (input) => input as Uint8Array }
    const put = this.data.putter(settings.signal)
    const shipped = (): Promise<Shipped> => plan.ship(put)
    this.#run(job, shipped, settings, (header, code) =>
      this.#feed(job, { header, code, settings, encoding }, plan.inputs(put))
    )
    return job
  }

  graph<const N extends Calls>(calls: N, options: MapOptions = {}): GraphHandle<N> {
    const settings = checkMapOptions(options)
    const plan = new GraphPlan(calls, settings.waits)
    const job = this.#newJob<unknown>({ ...settings, inFlightMax: undefined })
    const shipped = () => shipTogether(plan.functions, settings.scope, this.#within.ship)
    this.#run(job, shipped, settings, async (header, code) => {
      this.#perform(this.#session.begin(header, settings.copies, code, job))
      await plan.feed(job, this.#outlet(job.id, settings))
      job.fed()
    })
    return new Graph(job, calls, plan.positions)
  }

  job<R>(
    id: string,
    options: { readonly returnErrors?: boolean; readonly signal?: AbortSignal } = {}
  ): JobHandle<R> {
    const { returnErrors, signal } = checkJobOptions(options)
    if (!isJobId(id)) throw new ShoalError('SHOAL_NOT_FOUND', `${shown(id)} is no id of a job`)
    return this.#newJob<R>({ id, returnErrors, signal })
  }

  protected reader(id: JobId): Job<unknown> {
    const name = readerName(id, 'tasks')
    return this.#jobs.get(name) ?? this.#newJob({ id, reader: name, returnErrors: false })
  }

  tell(job: Job<unknown>, wanted: Wanted): void {
    if (wanted === 'nothing') return this.forget(job)
    if (this.#closing.signal.aborted) return job.fail(this.#closing.signal.reason)
    this.#jobs.enter(job)
    this.#attach()
    const isAwaited = this.#jobs.get(job.id) !== undefined
    this.#perform(this.#session[wanted === 'place' ? 'find' : 'follow'](job.id, job.name, isAwaited))
  }

  makerOf(job: JobId): Maker | undefined {
    return this.#jobs.get(job)
  }

  protected gate(): Gate {
    return this.#within.gate?.() ?? ((promise) => promise)
  }

  protected get self(): this {
    return this
  }

  protected begin(): void {
    this.#closing.signal.throwIfAborted()
    this.#attach()
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    const error = new ShoalError('SHOAL_CLOSED', 'the client was closed')
    this.#closing.abort(error)
    this.#alarm.stop()
    this.#failAll(error)
    await this.beside.cells.close(error)
    await this.#line.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  cancel(job: JobName, index?: number): void {
    this.#perform(index === undefined ? this.#session.cancel(job) : this.#session.cancelTask(job, index))
  }

  forget(job: InHand): void {
    job.share?.forgotten()
    if (this.#jobs.get(job.name) !== job) return
    this.#jobs.delete(job as Job<unknown>)
    this.#perform(this.#session.forget(job.name))
  }

  #newJob<R>(plan: NewJob): Job<R> {
    const { reader: name, returnErrors, inFlightMax = Number.POSITIVE_INFINITY, signal, key } = plan
    const isFound = plan.id !== undefined
    const share = key === undefined ? undefined : shareOf(key, this, this.beside.cells, this.#within)
    const known = share && this.#keyed.wanted(share.job)
    if (known !== undefined) return known as Job<R>
    const nest = isFound ? undefined : this.#within.nest?.()
    const id = plan.id ?? share?.job ?? nest?.job ?? newJobId()
    const gate = nest?.gate ?? this.gate()
    const job = new Job<R>({ id, name, host: this, isFound, returnErrors, inFlightMax, nest, gate, share })
    nest?.owns(job, plan.requires?.targets ?? [])
    if (this.#closing.signal.aborted) job.fail(this.#closing.signal.reason)
    else {
      if (!isFound) this.#keyed.enter(job as Job<unknown>, (one) => this.#jobs.set(one))
      heed(signal, job, !isFound)
    }
    return job
  }

  /** Packs the code, then begins; whatever goes wrong before the work is submitted ends the job. */
  #run<R>(
    job: Job<R>,
    ship: () => Promise<Shipped>,
    settings: Settings,
    begin: (header: JobHeader, code: Uint8Array) => Promise<void>
  ): void {
    const run = async (): Promise<void> => {
      this.#attach()
      const follow = (): void => this.#perform(this.#session.followInstead(job.id))
      if (job.share !== undefined && !(await job.share.begin(job, follow, settings.atMostOnce))) return
      const shipped = await ship()
      if (!job.takesInputs) return
      const header = headerOf(job, shipped, settings, this.#submitter)
      job.submittedAt = header.submittedAt
      await begin(header, shipped.code)
    }
    // Nobody will read what was submitted before.
    run().catch((error: unknown) => job.abandon(error instanceof Error ? error : new Error(String(error))))
  }

  async #feed<R>(job: Job<R>, work: Work, inputs: Inputs): Promise<void> {
    const { header, code, settings, encoding } = work
    this.#perform(this.#session.begin(header, settings.copies, code, job))
    const feeding = new Feeding(job, this.#outlet(job.id, settings), settings.waits, encoding)
    await feed(inputs, feeding)
    await feeding.done
    job.fed()
  }

  #outlet(job: JobId, settings: Settings): Outlet {
    return {
      shrink: (value) => this.data.shrink(value, settings),
      add: (batch, isLast, needs) => this.#perform(this.#session.add(job, batch, isLast, needs)),
      close: () => this.#perform(this.#session.close(job)),
      locate: this.#locate
    }
  }

  protected async ask<T>(what: string, about = ''): Promise<{ value: T; silent: number }> {
    this.begin()
    const { ask, effects } = this.#session.query(what, about)
    const json = this.#replies.to(ask)
    this.#perform(effects)
    return JSON.parse(await json)
  }

  #received(messages: readonly EntryMessage[]): void {
    const now = performance.now()
    for (const message of messages) {
      if (this.beside.takes(message)) continue
      if (message.kind === 'said')
        for (const job of this.#jobs.named(shardName(message.key).job)) job.said(message)
      else this.#perform(this.#session.message(message, now))
    }
  }

  #perform(effects: readonly SessionEffect[]): void {
    for (const effect of effects) this.#do(effect)
    this.#alarm.setTo(this.#session.wakeAt())
  }

  #do(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'send':
        return this.#line.send(effect.message)
      case 'outcomes':
        return this.#arrivals.take(effect)
      case 'accepted':
        return this.#jobs.get(effect.job)?.shardAccepted(effect.placement, effect.copies)
      case 'closed':
        return this.#jobs.get(effect.job)?.closed()
      case 'cancelled':
        return this.#jobs.get(effect.job)?.cutOff()
      case 'found':
        return this.#jobs.get(effect.job)?.found(effect.header.submittedAt)
      case 'complete':
        return this.#arrivals.end(effect)
      case 'refused':
        return this.#jobs.get(effect.job)?.fail(new ShoalError(effect.code, effect.message))
      case 'absent':
        return this.#jobs.get(effect.job)?.absent()
      case 'answer':
        return this.#replies.came(effect.ask, effect.json)
      case 'misread':
        return this.#replies.misread(effect)
      case 'welcome':
        this.entry = effect.peer
        return this.#line.learn(effect.others)
      case 'leave-entry':
        void this.#line.leave().then(() => this.#lost())
        return
      default:
        return unreachable(effect)
    }
  }

  #lost(): void {
    if (this.#state !== 'attached') return
    this.#state = 'away'
    this.#session.detached()
    this.beside.cells.detached()
    if (this.#jobs.size + this.#replies.open + this.beside.size > 0) this.#attach()
  }

  /** Looks for an entry in the background, unless there is one. */
  #attach(): void {
    if (this.#state !== 'away' || this.#closing.signal.aborted) return
    this.#state = 'opening'
    this.#search(AbortSignal.timeout(reattachMs)).catch((error: unknown) => {
      if (this.#state === 'opening') this.#state = 'away'
      this.#failAll(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #search(limit: AbortSignal): Promise<void> {
    await reach(this.#line, limit, this.#closing.signal)
    this.#state = 'attached'
    this.#attached.resolve()
    this.#attached = Promise.withResolvers()
    this.#perform(this.#session.attached(performance.now()))
    this.beside.attached()
  }

  #failAll(error: Error): void {
    for (const job of [...this.#jobs, ...this.#keyed.jobs]) job.fail(error)
    this.#replies.fail(error)
    this.beside.failAll(error)
    this.#attached.promise.catch(() => {})
    this.#attached.reject(error)
    this.#attached = Promise.withResolvers()
  }

  async #untilAttached(): Promise<void> {
    this.begin()
    if (this.#state !== 'attached') await this.#attached.promise
  }
}
