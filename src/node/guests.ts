/**
 * Tasks that submit more work: each engine whose tasks do is a client of this node, and of no other.
 *
 * Not here: that client (client/within.ts), and when a task waits for what it submitted (tasks/executor).
 * An engine that ends cannot cancel anything any more, so its node does it in its place: nobody will read what it submitted.
 * A node that ends with its engines leaves that to the next attempt of the task, whose jobs take the place of these, and to who
 * owns them (tasks/parents.ts).
 */
import { misreadMax, readSaid } from '../client/misread.ts'
import {
  type ClientMessage,
  type ClientMessageOf,
  type EntryMessage,
  entryMessages
} from '../client/protocol.ts'
import type { ClientId, JobId } from '../ids.ts'
import type { Saying, Told } from '../tasks/executor/guest.ts'
import type { Placement } from '../tasks/messages.ts'
import type { Data } from './data.ts'
import { Errands } from './errands.ts'

/** How long the last submissions of an engine that has ended are waited for, to be cancelled. */
const mournMs = 10_000

export interface GuestsView {
  readonly data: Pick<Data, 'put' | 'chunks' | 'free'>
  joinClient(onMessages: (messages: readonly EntryMessage[]) => void): ClientId
  leaveClient(client: ClientId): void
  clientSaid(client: ClientId, messages: readonly ClientMessage[]): void
}

/** A job that is not complete. */
interface Work {
  /** Shards that were submitted; those that were acknowledged, with their places. */
  shards: number
  readonly placed: Map<number, Placement>
  isClosed: boolean
}

interface Guest {
  readonly client: ClientId
  readonly jobs: Map<JobId, Work>
  isGone: boolean
  /** Messages that could not be read. */
  misread: number
}

export class Guests {
  readonly #view: GuestsView
  readonly #tell: (engine: number, told: Told) => void
  readonly #errands: Errands
  readonly #onNote: (text: string) => void
  readonly #guests = new Map<number, Guest>()

  constructor(view: GuestsView, tell: (engine: number, told: Told) => void, onNote: (text: string) => void) {
    this.#view = view
    this.#tell = tell
    this.#errands = new Errands(() => view.data, tell)
    this.#onNote = onNote
  }

  /** Of an engine that has ended, `undefined`. */
  heard(engine: number, said: Saying | undefined): void {
    if (said === undefined) return this.#gone(engine)
    if (said.kind === 'errand') return this.#errands.run(engine, said)
    const { messages, answers, misread, reason } = readSaid(said.parts)
    const guest = this.#guests.get(engine) ?? this.#welcome(engine)
    for (const message of messages) note(guest, message)
    this.#view.clientSaid(guest.client, messages)
    // User code shares the engine, and cannot be sent away: what it says beyond the limit is not answered.
    if (misread === 0 || guest.misread > misreadMax) return
    guest.misread += misread
    this.#onNote(`engine ${engine} said what is no message: ${reason}`)
    this.#tell(engine, { kind: 'told', parts: answers.map((answer) => entryMessages.encode(answer)) })
  }

  #welcome(engine: number): Guest {
    const jobs = new Map<JobId, Work>()
    const client = this.#view.joinClient((messages) => {
      for (const message of messages) {
        if (message.kind === 'submitted') jobs.get(message.job)?.placed.set(message.index, message.placement)
        if (message.kind === 'released') jobs.delete(message.job)
      }
      if (guest.isGone) this.#bury(guest)
      else
        this.#tell(engine, { kind: 'told', parts: messages.map((message) => entryMessages.encode(message)) })
    })
    const guest: Guest = { client, jobs, isGone: false, misread: 0 }
    this.#guests.set(engine, guest)
    return guest
  }

  #gone(engine: number): void {
    this.#errands.gone(engine)
    const guest = this.#guests.get(engine)
    if (guest === undefined) return
    this.#guests.delete(engine)
    guest.isGone = true
    setTimeout(() => this.#view.leaveClient(guest.client), mournMs).unref()
    this.#bury(guest)
  }

  /** Cancels what has a place by now. What was submitted and has none yet is cancelled when it gets one. */
  #bury({ client, jobs }: Guest): void {
    for (const [job, { placed, shards, isClosed }] of jobs) {
      const places = [...placed.values()]
      this.#view.clientSaid(
        client,
        places.map((placement) => ({ kind: 'cancel', placement }))
      )
      if (placed.size < shards) continue
      const root = placed.get(0)
      if (!isClosed && root) this.#view.clientSaid(client, [{ kind: 'close', root, shards }])
      jobs.delete(job)
    }
    if (jobs.size === 0) this.#view.leaveClient(client)
  }
}

/** Remembers what an engine is in the middle of. */
function note({ jobs }: Guest, message: ClientMessage): void {
  if (message.kind === 'submit') return submitted(jobs, message)
  if (message.kind === 'close') {
    for (const work of jobs.values()) if (work.placed.get(0)?.key === message.root.key) work.isClosed = true
  }
  // A client lets go of the first shard of its job when all of it has ended.
  if (message.kind === 'unfollow') {
    for (const [job, { placed }] of jobs) if (placed.get(0)?.key === message.key) jobs.delete(job)
  }
}

function submitted(jobs: Map<JobId, Work>, { header, index, shards }: ClientMessageOf<'submit'>): void {
  const work = jobs.get(header.job) ?? { shards: 0, placed: new Map(), isClosed: false }
  jobs.set(header.job, work)
  work.shards = Math.max(work.shards, index + 1)
  if (index === 0 && shards > 0) Object.assign(work, { shards, isClosed: true })
}
