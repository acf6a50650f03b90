/**
 * One simulated client: the real session, attached to some node, making jobs and reading those of others.
 *
 * Not here: the stream to its entry (world.ts). A client may die; what was acknowledged to it must be found by others.
 */
import type { ClientMessage, EntryMessage } from '../../src/client/protocol.ts'
import { Session, type SessionEffect } from '../../src/client/session.ts'
import type { ClientId, JobId } from '../../src/ids.ts'
import type { Millis } from '../../src/machine.ts'
import type { Random } from '../../src/random.ts'
import { pack } from '../../src/tasks/batch.ts'
import type { JobHeader } from '../../src/tasks/messages.ts'
import type { SimNode } from './node.ts'
import type { World } from './world.ts'

export interface SimJob {
  readonly id: JobId
  readonly taskMs: Millis
  readonly copies: { wanted: number; least: number }
  readonly shards: { first: number; count: number; isAccepted: boolean }[]
  isClosed: boolean
  isComplete: boolean
  isCancelled: boolean
}

export class SimClient {
  readonly id: ClientId
  readonly jobs: SimJob[] = []
  readonly completed = new Set<JobId>()
  readonly #world: World
  readonly #random: Random
  session: Session | undefined = new Session()
  entry: SimNode | undefined
  /** Counts attachments: what was said on an earlier one does not arrive. */
  attachment = 0
  #timerAt: Millis | undefined

  constructor(id: ClientId, world: World, random: Random) {
    this.id = id
    this.#world = world
    this.#random = random
  }

  /** What its entry knows it by: another name on every stream. */
  get streamId(): ClientId {
    return `${this.id}#${this.attachment}` as ClientId
  }

  attach(): void {
    if (this.session === undefined || this.entry !== undefined) return
    const node = this.#random.pick(this.#world.nodes.filter(({ isRunning }) => isRunning))
    this.attachment++
    if (node === undefined) return this.#world.clock.after(200, () => this.attach())
    this.entry = node
    node.clients.add(this.streamId)
    node.step({ kind: 'client-connected', client: this.streamId })
    this.#perform(this.session.attached(this.#world.clock.now))
  }

  /** The entry is gone; the client looks for another one. */
  lose(): void {
    this.entry = undefined
    this.attachment++
    this.session?.detached()
    this.#world.clock.after(20 + this.#random.next() * 200, () => this.attach())
  }

  die(): void {
    this.#leave()
    this.session = undefined
    this.entry = undefined
    this.attachment++
  }

  read(job: JobId): void {
    if (this.session !== undefined) this.#perform(this.session.follow(job))
  }

  submit(job: SimJob, header: JobHeader, plan: readonly number[], isOpen: boolean): void {
    if (this.session === undefined) return
    this.jobs.push(job)
    this.#perform(this.session.begin(header, job.copies))
    let later = 0
    for (const [i, count] of plan.entries()) {
      const first = plan.slice(0, i).reduce((sum, n) => sum + n, 0)
      const values = Array.from({ length: count }, (_, at) =>
        Buffer.from(`${job.id}:${first + at}`, 'latin1')
      )
      const inputs = pack(
        '',
        Array.from({ length: count }, (_, at) => at),
        values
      )
      const isLast = !isOpen && i === plan.length - 1
      const add = (): void => {
        if (this.session === undefined || job.isCancelled) return
        job.shards.push({ first, count, isAccepted: false })
        if (isLast) job.isClosed = true
        this.#perform(this.session.add(job.id, inputs, isLast))
      }
      if (!isOpen) add()
      else {
        later += this.#random.next() * 500
        this.#world.clock.after(later, add)
      }
    }
    if (!isOpen) return
    this.#world.clock.after(later + 10, () => {
      if (this.session === undefined) return
      job.isClosed = true
      this.#perform(this.session.close(job.id))
    })
  }

  cancel(job: SimJob): void {
    if (this.session === undefined || job.isComplete) return
    job.isCancelled = true
    job.isClosed = true
    this.#perform(this.session.cancel(job.id))
  }

  receive(message: EntryMessage): void {
    if (this.session !== undefined) this.#perform(this.session.message(message, this.#world.clock.now))
  }

  #perform(effects: readonly SessionEffect[]): void {
    if (this.#world.checksSteps) this.session?.check()
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          this.#world.say(this, effect.message as ClientMessage)
          break
        case 'outcomes':
          this.#world.checkers.delivered(this.id, effect.job, effect.first, effect.outcomes)
          break
        case 'accepted': {
          const shard = this.jobs.find(({ id }) => id === effect.job)?.shards[effect.index]
          if (shard !== undefined) shard.isAccepted = true
          break
        }
        case 'complete': {
          this.completed.add(effect.job)
          const job = this.jobs.find(({ id }) => id === effect.job)
          if (job !== undefined) job.isComplete = true
          break
        }
        case 'absent':
          // Its keepers may be away for now.
          this.#world.clock.after(2_000, () => this.read(effect.job))
          break
        case 'leave-entry': {
          this.#leave()
          this.lose()
          break
        }
        default:
      }
    }
    this.#setTimer()
  }

  #leave(): void {
    this.entry?.clients.delete(this.streamId)
    this.entry?.step({ kind: 'client-disconnected', client: this.streamId })
  }

  #setTimer(): void {
    const at = this.session?.wakeAt()
    if (at === undefined || (this.#timerAt !== undefined && this.#timerAt <= at)) return
    const { clock } = this.#world
    const due = Math.max(at, clock.now + 1)
    this.#timerAt = due
    clock.after(due - clock.now, () => {
      if (this.#timerAt !== due) return
      this.#timerAt = undefined
      if (this.session !== undefined) this.#perform(this.session.wake(clock.now))
    })
  }
}
