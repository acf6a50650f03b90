/**
 * A client's side of the mesh: places its shards, follows their outcomes, finds its jobs.
 *
 * Not here: owning and keeping (owner.ts, keeper.ts), and the client itself (client/session.ts).
 * Any node is an entry and none is needed: all that is here can be asked again of another node. A submission is acknowledged
 * when a majority of its keepers have it on disk and the job's register says where it is.
 */
import { type ClientMessage, type ClientMessageOf, type EntryMessage, triesMax } from '../client/protocol.ts'
import type { ErrorCode } from '../errors.ts'
import { type ClientId, isJobId, type PeerId, type ShardKey, shardKey } from '../ids.ts'
import { assert, earlier, type Millis } from '../machine.ts'
import { majorityOf } from '../routing/placement.ts'
import { pack, valueAt } from './batch.ts'
import { encodeClosed, leavesOut } from './closing.ts'
import { type Send, seek, send } from './effects.ts'
import { Follows } from './follows.ts'
import {
  areSound,
  closedIndex,
  encodePlacement,
  type Forgettable,
  type Placement,
  parsePlacement,
  placementBase,
  type ShardRecord,
  startIndex,
  type TaskMessage,
  type TaskMessageOf
} from './messages.ts'
import { patienceFor, patienceMs } from './patience.ts'
import { Postings } from './postings.ts'
import { Searches } from './search.ts'
import {
  isSuperseded,
  placementOf,
  type Reply,
  recordOf,
  refusal,
  type Submission,
  wantedOf
} from './submission.ts'
import { Trail } from './trail.ts'

/** Submissions of one entry that are not acknowledged yet; further ones are refused with SHOAL_BUSY. */
export const submissionsMax = 4_096

export type EntryEffect = Send | Reply

export interface EntryView {
  readonly self: PeerId
  readonly isUp: (peer: PeerId) => boolean
  /** Up, and willing to keep shards. */
  readonly canKeep: (peer: PeerId) => boolean
  readonly peers: () => readonly PeerId[]
  /** Peers that may know where a shard is, when those that were known are down. */
  readonly mayKnow: (key: ShardKey) => readonly PeerId[]
  /** Nodes that can keep this shard, best first. */
  readonly keepersFor: (shard: string) => readonly PeerId[]
  /** Bytes that a client can be told: what it has no room for is asked for again. */
  readonly room: (client: ClientId) => number
}

export class Entry {
  readonly #view: EntryView
  readonly #submissions = new Map<ShardKey, Submission>()
  readonly #follows: Follows
  readonly #postings: Postings
  readonly #searches: Searches
  #tendAt: Millis = 0

  /** Until `settledAt` it may not have met all whom it is to meet. */
  constructor(view: EntryView, settledAt: Millis) {
    this.#view = view
    this.#searches = new Searches(settledAt)
    this.#follows = new Follows(view)
    this.#postings = new Postings(view)
  }

  get submissions(): number {
    return this.#submissions.size
  }

  client(client: ClientId, message: ClientMessage, now: Millis): EntryEffect[] {
    switch (message.kind) {
      case 'submit':
        return this.#submit(client, message, now)
      case 'close':
        return this.#postings.post(message.root, closedIndex, encodeClosed(message.shards), now)
      case 'start':
        return this.#postings.post(message.placement, startIndex, new Uint8Array(0), now)
      case 'find':
        return this.#searches.begin(client, message.job, [this.#view.self, ...this.#view.peers()], now)
      case 'follow':
        return this.#follows.follow(client, message.placement, message.have, now)
      case 'unfollow':
        this.#follows.unfollow(client, message.key)
        return []
      case 'cancel':
      case 'cancel-tasks':
        return this.#follows.cancel(message, now)
      default:
        return []
    }
  }

  clientGone(client: ClientId): Send[] {
    this.#follows.gone(client)
    this.#searches.gone(client)
    // It will submit again what was not acknowledged, here or elsewhere, under a new epoch.
    const left = [...this.#submissions.values()].filter((submission) => submission.client === client)
    return left.flatMap(({ record, entry }) => {
      this.#submissions.delete(record.key)
      // Once the job's register was asked to name it, it may be the one that counts.
      return entry === undefined ? this.#discard(record) : []
    })
  }

  message(from: PeerId, message: TaskMessage, now: Millis): EntryEffect[] {
    switch (message.kind) {
      case 'stored':
        return this.#stored(from, message.key, now)
      case 'committed':
        this.#postings.committed(message)
        return [...this.#entered(message, now), ...this.#follows.committed(message, now)]
      case 'leading':
        return [
          ...this.#redirect(from, message, now),
          ...this.#postings.led(from, message, now),
          ...this.#follows.led(from, message, now)
        ]
      case 'disowned':
        for (const trail of this.#trails(message.key)) if (trail.owner === from) trail.next(this.#view.isUp)
        this.#postings.disowned(from, message.key)
        return this.#follows.disowned(from, message.key, now)
      case 'moved':
        return this.#moved(message, now)
      case 'said':
        return this.#follows.said(message)
      case 'forget':
        return [...this.#released(message.name), ...this.#follows.forgotten(message.name)]
      case 'found':
      case 'unknown':
        return this.#searches.answered(from, message)
      default:
        return []
    }
  }

  peerUp(peer: PeerId): Send[] {
    return this.#searches.peerUp(peer)
  }

  peerDown(peer: PeerId, now: Millis): EntryEffect[] {
    const effects: EntryEffect[] = this.#follows.peerDown(peer, now)
    for (const submission of [...this.#submissions.values()]) {
      const { record, entry } = submission
      if (entry?.owner === peer && entry.next(this.#view.isUp))
        effects.push(this.#register(submission, entry))
      if (entry === undefined && record.keepers.includes(peer))
        effects.push(...this.#reconsider(submission, now))
    }
    return [...effects, ...this.#searches.peerDown(peer)]
  }

  wake(now: Millis): EntryEffect[] {
    if (now < this.#tendAt) {
      const isDue = now >= (this.#follows.wakeAt() ?? Number.POSITIVE_INFINITY)
      return [...(isDue ? this.#follows.wake(now) : []), ...this.#searches.wake(now)]
    }
    this.#tendAt = now + patienceMs / 2
    const effects: EntryEffect[] = this.#follows.wake(now)
    const patience = patienceFor(this.#bytesUnderway())
    for (const submission of [...this.#submissions.values()]) {
      if (now - submission.triedAt < (submission.entry === undefined ? patience : patienceMs)) continue
      submission.triedAt = now
      if (submission.entry === undefined)
        effects.push(...this.#reconsider(submission, now), ...this.#storeAgain(submission))
      else if (!this.#canAsk(submission.entry)) effects.push(...this.#seekRoot(submission.message.root[0]))
      else effects.push(this.#register(submission, submission.entry))
    }
    effects.push(...this.#postings.wake(now))
    return [...effects, ...this.#searches.wake(now)]
  }

  wakeAt(): Millis | undefined {
    const isBusy = this.#submissions.size + this.#postings.size + this.#follows.size > 0
    const at = earlier(isBusy ? this.#tendAt : undefined, this.#searches.wakeAt())
    return earlier(at, this.#follows.wakeAt())
  }

  check(): void {
    assert(this.#submissions.size <= submissionsMax, `${this.#submissions.size} submissions`)
    this.#follows.check()
  }

  #submit(client: ClientId, message: ClientMessageOf<'submit'>, now: Millis): EntryEffect[] {
    const { header, index, epoch, inputs, needs } = message
    const refuse = (code: ErrorCode, text: string): Reply[] => [
      refusal(client, header.job, index, code, text)
    ]
    if (this.#submissions.size >= submissionsMax) {
      return refuse('SHOAL_BUSY', `this entry already places ${submissionsMax} shards; wait for some of them`)
    }
    const isOrdered = inputs.indexes.every((taskIndex, at) => taskIndex === at)
    const isWhole = inputs.indexes.length > 0 && areSound(needs, inputs.indexes.length)
    if (!isOrdered || !isWhole || index > 0 !== (message.root.length === 1)) {
      const text = 'a shard without inputs, with inputs out of order, with odd needs, or without its root'
      return refuse('SHOAL_BAD_MESSAGE', text)
    }
    for (const { client: other, message: old } of this.#submissions.values()) {
      // The same again, because the client lost patience: it is on its way.
      if (other === client && old.header.job === header.job && old.index === index && old.epoch === epoch)
        return []
    }
    return this.#place(client, message, 0, now)
  }

  /** Another shard has taken the place of this one while it was still being made; with a first one, another attempt of its task. */
  #superseded(name: ShardKey): EntryEffect[] {
    const own = this.#submissions.get(name)
    // The register names another one by now: it says which when this is stored anew.
    if (own !== undefined && own.message.index > 0) own.isForgotten = true
    return [...this.#submissions.values()].flatMap((submission): EntryEffect[] => {
      if (!isSuperseded(submission, name)) return []
      const { record, client, message } = submission
      this.#submissions.delete(record.key)
      const { job } = message.header
      return [...this.#discard(record), { kind: 'reply', client, message: { kind: 'superseded', job } }]
    })
  }

  /** Somebody released the job while it was still being made. */
  #released(name: Forgettable): EntryEffect[] {
    this.#postings.forget(name)
    if (!isJobId(name)) return this.#superseded(name)
    const gone = [...this.#submissions.values()].filter(({ message }) => message.header.job === name)
    const refusals = gone.map(({ record, client, message }) => {
      this.#submissions.delete(record.key)
      const { job } = message.header
      return refusal(client, job, message.index, 'SHOAL_NOT_FOUND', `job ${job} was released`)
    })
    return [...refusals, ...this.#searches.forgotten(name)]
  }

  /** Chooses keepers and asks them to store. Every try is an epoch of its own: a keeper list never changes under its key. */
  #place(client: ClientId, message: ClientMessageOf<'submit'>, tries: number, now: Millis): EntryEffect[] {
    const { header, index, epoch, copies } = message
    const key = shardKey(header.job, index, epoch * triesMax + tries)
    const ranked = this.#view.keepersFor(`${header.job}/${index}`)
    // A job's first shard starts here: a single task then needs no hop to its owner.
    const isHere = index === 0 && ranked.includes(this.#view.self)
    const best = isHere ? [this.#view.self, ...ranked.filter((peer) => peer !== this.#view.self)] : ranked
    const keepers = best.slice(0, wantedOf(message))
    if (keepers.length < Math.max(1, copies.least)) {
      const text = `${keepers.length} nodes can keep work, ${Math.max(1, copies.least)} are asked for; start more, release jobs if they are full, restart those whose disk failed (see \`shoal status\`) once it is in order, or lower \`keepers.min\``
      return [refusal(client, header.job, index, 'SHOAL_NO_KEEPERS', text)]
    }
    const record = recordOf(message, key, keepers)
    this.#submissions.set(key, {
      client,
      message,
      tries,
      record,
      stored: new Set(),
      entry: undefined,
      isForgotten: false,
      triedAt: now
    })
    const store: TaskMessage = { kind: 'store', record, isRepair: false }
    return keepers.map((to) => send(to, store))
  }

  #stored(from: PeerId, key: ShardKey, now: Millis): EntryEffect[] {
    const submission = this.#submissions.get(key)
    if (submission === undefined || submission.entry !== undefined) return []
    const { record, stored } = submission
    if (!record.keepers.includes(from)) return []
    stored.add(from)
    return stored.size < majorityOf(record.keepers.length) ? [] : this.#kept(submission, now)
  }

  /** Its keepers changed before this node heard that they have it: then a majority of them had it. */
  #moved({ key, keepers }: TaskMessageOf<'moved'>, now: Millis): EntryEffect[] {
    const submission = this.#submissions.get(key)
    if (submission === undefined || submission.entry !== undefined) return []
    submission.record = { ...submission.record, keepers }
    return this.#kept(submission, now)
  }

  #kept(submission: Submission, now: Millis): EntryEffect[] {
    const { record, message } = submission
    const root = message.root[0]
    if (root === undefined) return this.#acknowledge(submission, placementOf(record), now)
    submission.entry = new Trail(root.keepers)
    submission.triedAt = now
    return [this.#register(submission, submission.entry)]
  }

  #register({ record, message }: Submission, trail: Trail): Send {
    const root = message.root[0] as Placement
    const value = encodePlacement(placementOf(record))
    const outcomes = pack('', [placementBase + message.index], [value])
    return send(trail.owner, { kind: 'propose', key: root.key, outcomes })
  }

  /** The job's register decided where a shard is: here, or where an earlier entry had put it. */
  #entered({ key, outcomes }: TaskMessageOf<'committed'>, now: Millis): EntryEffect[] {
    const effects: EntryEffect[] = []
    const closedAt = outcomes.indexes.indexOf(closedIndex)
    for (const submission of [...this.#submissions.values()]) {
      const { message, entry, record } = submission
      if (entry === undefined || message.root[0]?.key !== key) continue
      // The job was ended before; its client hears that from the register, and again if it may have heard otherwise.
      if (closedAt >= 0 && leavesOut(valueAt(outcomes, closedAt), message.index)) {
        this.#submissions.delete(record.key)
        this.#follows.tellAgain(submission.client, key, closedIndex)
        effects.push(...this.#discard(record))
        continue
      }
      const at = outcomes.indexes.indexOf(placementBase + message.index)
      if (at < 0) continue
      const placement = parsePlacement(valueAt(outcomes, at))
      if (placement === undefined) continue
      effects.push(...this.#acknowledge(submission, placement, now))
      // Where an earlier entry had put it counts; what this one has stored does not.
      if (placement.key !== record.key) effects.push(...this.#discard(record))
    }
    return effects
  }

  #acknowledge(submission: Submission, placement: Placement, now: Millis): EntryEffect[] {
    const { client, message, record, stored } = submission
    this.#submissions.delete(record.key)
    const { job } = message.header
    const known = placement.key === record.key ? stored.size : 0
    const copies = Math.max(known, majorityOf(placement.keepers.length))
    const reply: EntryMessage = { kind: 'submitted', job, index: message.index, placement, copies }
    return [
      { kind: 'reply', client, message: reply },
      ...this.#follows.follow(client, placement, new Uint32Array(0), now)
    ]
  }

  /** Keepers that were lost before a majority had the shard, or forgot it, are replaced, all at once, under a new epoch. */
  #reconsider(submission: Submission, now: Millis): EntryEffect[] {
    const { record, stored, client, message, tries, isForgotten } = submission
    const reachable = record.keepers.filter((peer) => stored.has(peer) || this.#view.canKeep(peer))
    if (!isForgotten && reachable.length >= majorityOf(record.keepers.length)) return []
    this.#submissions.delete(record.key)
    const gone = this.#discard(record)
    if (tries + 1 < triesMax) return [...gone, ...this.#place(client, message, tries + 1, now)]
    const text = `the keepers of this work were lost ${triesMax} times before it was stored; try again`
    return [...gone, refusal(client, message.header.job, message.index, 'SHOAL_NO_KEEPERS', text)]
  }

  /** Nobody was told that it is kept there, and nobody will be: another one counts. */
  #discard({ key, keepers }: ShardRecord): Send[] {
    return keepers.map((to) => send(to, { kind: 'forget', name: key }))
  }

  #storeAgain({ record, stored }: Submission): Send[] {
    if (!this.#submissions.has(record.key)) return []
    const open = record.keepers.filter((peer) => !stored.has(peer) && this.#view.isUp(peer))
    return open.map((to) => send(to, { kind: 'store', record, isRepair: false }))
  }

  #bytesUnderway(): number {
    let sum = 0
    for (const { record, entry } of this.#submissions.values())
      if (entry === undefined) sum += record.inputs.body.byteLength
    return sum
  }

  /** False if every keeper that is known is down. */
  #canAsk(trail: Trail): boolean {
    return this.#view.isUp(trail.owner) || trail.next(this.#view.isUp)
  }

  #seekRoot(root: Placement | undefined): Send[] {
    return root === undefined ? [] : seek(root.key, this.#view.mayKnow(root.key))
  }

  #redirect(from: PeerId, message: TaskMessageOf<'leading'>, now: Millis): Send[] {
    const { key } = message
    const effects: Send[] = []
    for (const submission of this.#submissions.values()) {
      const { entry } = submission
      if (entry === undefined || submission.message.root[0]?.key !== key) continue
      if (entry.hint(message, from, now)) effects.push(this.#register(submission, entry))
    }
    return effects
  }

  *#trails(key: ShardKey): Generator<Trail> {
    for (const { entry, message } of this.#submissions.values()) {
      if (entry !== undefined && message.root[0]?.key === key) yield entry
    }
  }
}
