/**
 * Stores shards: what a keeper has promised and accepted, and how it answers.
 *
 * Not here: proposing (register.ts) and choosing keepers (routing/placement.ts).
 * Each shard is a write-once map of task to outcome guarded by one ballot: the acceptor of Paxos (Lamport, 1998) with one
 * promise for all keys. Nothing is said before the record that lets us stand by it is on disk.
 */
import { isJobId, type JobId, type PeerId, type ShardKey, shardName } from '../ids.ts'
import { assert } from '../machine.ts'
import { type Batch, pack } from './batch.ts'
import { type Persist, persist, type Send, send } from './effects.ts'
import { Holdings } from './holdings.ts'
import { areRivals, type KeeperList, listOf, movedMessage } from './keepers.ts'
import {
  type Acceptor,
  accept,
  answersTo,
  checkKept,
  isMarked,
  isWhole,
  type Kept,
  newAcceptor,
  settle,
  summary,
  weigh
} from './kept.ts'
import {
  closedIndex,
  type Forgettable,
  keysOf,
  placementBase,
  type ShardRecord,
  startIndex,
  type TaskMessage,
  type TaskMessageOf
} from './messages.ts'
import { ShardMap } from './shard-map.ts'
import { isPacked } from './shelf.ts'
import { Tombstones } from './tombstones.ts'

/** A settled shard is written anew, without its inputs, only if they take so much on disk. */
export const rewriteAboveBytes = 64 << 10

/** What obliges a keeper to know something from then on: one that cannot write does not hear it. */
export const bindingKinds: ReadonlySet<string> = new Set<TaskMessage['kind']>([
  'store',
  'prepare',
  'accept',
  'settle'
])
/** What a keeper writes down before it answers. */
export const recordKinds: ReadonlySet<string> = new Set([...bindingKinds, 'moved', 'forget'])

export class Keeper extends Holdings {
  readonly #self: PeerId
  readonly #rewriteAbove: number
  /** Shards that were kept here, and who has them now. */
  readonly #moved = new ShardMap<KeeperList>()
  /** Shards that were changed, or went, since somebody asked. */
  #news = new Set<ShardKey>()
  readonly #forgotten = new Tombstones()
  #bytes = 0
  /** Nothing of what is kept has changed since `check()`. */
  #isChecked = true

  constructor(self: PeerId, rewriteAbove = rewriteAboveBytes, openMax?: number) {
    super(openMax)
    this.#self = self
    this.#rewriteAbove = rewriteAbove
  }

  /** Shards that were changed, or went, since this was asked last. */
  takeNews(): ReadonlySet<ShardKey> {
    const news = this.#news
    this.#news = new Set()
    return news
  }

  /** Where a shard went that was kept here. */
  movedTo(key: ShardKey): KeeperList | undefined {
    return this.#moved.get(key)
  }

  /** Of inputs and outcomes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Jobs and shards that were forgotten, and are remembered for that. */
  get tombstones(): number {
    return this.#forgotten.size
  }

  isForgotten(key: ShardKey): boolean {
    return this.#forgotten.has(key)
  }

  /** Applies a record read back from disk, before anything else happens. */
  restore(message: TaskMessage): void {
    this.shards.tidy()
    if (message.kind === 'forget') this.#forget(message.name)
    else if (message.kind === 'stamp') this.#stamped(message)
    else if (message.kind === 'moved' && !this.shards.has(message.key))
      this.#moved.set(message.key, listOf(message))
    else this.#apply(message)
  }

  /** Answers proposers, and who looks for a job. Messages of other kinds cause nothing. */
  step(from: PeerId, message: TaskMessage): (Send | Persist)[] {
    this.shards.tidy()
    if (message.kind === 'store') return this.#store(from, message)
    if (message.kind === 'find') return [this.#found(from, message.job)]
    if (message.kind === 'forget') return this.#forgets(from, message.name)
    if (message.kind === 'moved') {
      if (!this.shards.has(message.key) || !this.#apply(message)) return []
      return [persist(message.key, [message], [], !this.shards.has(message.key))]
    }
    if (message.kind !== 'prepare' && message.kind !== 'accept' && message.kind !== 'settle') return []
    const { key, list, ballot } = message
    const kept = this.shards.open(key)
    const acceptor = kept?.acceptors.find((one) => one.list === list)
    if (kept === undefined || acceptor === undefined) return [send(from, this.#elsewhere(key, list))]
    if (message.kind === 'settle') return this.#settle(acceptor, message)
    if (ballot < acceptor.promised)
      return [send(from, { kind: 'rejected', key, list, ballot: acceptor.promised })]
    if (message.kind === 'accept' && !fits(kept.record, message.outcomes)) return []
    this.#apply(message)
    const sends = answersTo(message, acceptor).map((answer) => send(from, answer))
    // Its pieces were put together for that.
    if (message.kind === 'prepare') this.#changed(kept)
    return [persist(key, [message], sends)]
  }

  check(): void {
    // Most steps of a node change nothing here, and the others one shard.
    if (this.#isChecked) return
    this.#isChecked = true
    let bytes = 0
    for (const [key, kept] of this.shards.entries()) {
      bytes += kept.weight
      if (isPacked(kept) || kept.isChecked) continue
      kept.isChecked = true
      checkKept(kept)
      if (this.#moved.has(key)) assert(false, `${key} is kept and gone`)
    }
    this.shards.check()
    if (bytes !== this.#bytes) assert(false, `${this.#bytes} bytes kept, ${bytes} counted`)
  }

  /** After any change of what is kept of a shard. */
  #changed(kept: Kept, more = weigh(kept) - kept.weight): void {
    kept.weight += more
    this.#bytes += more
    this.shards.changed(kept)
    this.#news.add(kept.record.key)
    kept.isChecked = false
    this.#isChecked = false
  }

  #found(to: PeerId, job: JobId): Send {
    const record = this.root(job)
    if (record === undefined && this.#forgotten.isForgotten(job))
      return send(to, { kind: 'forget', name: job })
    if (record === undefined) return send(to, { kind: 'unknown', job })
    const { key, keepers, first, count, header, shards } = record
    return send(to, { kind: 'found', placement: { key, keepers, first, count }, header, shards })
  }

  #store(from: PeerId, message: TaskMessageOf<'store'>): (Send | Persist)[] {
    const { key, list, keepers } = message.record
    if (this.#forgotten.has(key)) return [send(from, this.epitaph(key))]
    const moved = this.#moved.get(key)
    if (moved !== undefined && moved.list >= list) return [send(from, movedMessage(key, moved))]
    const inForce = this.shards.read(key)?.inForce
    if (inForce !== undefined && inForce.list > list) return [send(from, movedMessage(key, inForce))]
    if (!keepers.includes(this.#self)) return []
    // A repeated store is answered after a sync of its own: the first one's may not have happened yet.
    this.#apply(message)
    // The first keeper owns the shard, and must know when it is on its own disk.
    const to = list === 0 && keepers[0] === this.#self && from !== this.#self ? [from, this.#self] : [from]
    return [
      persist(
        key,
        [message],
        to.map((peer) => send(peer, { kind: 'stored', key }))
      )
    ]
  }

  /** For who asks in a list that is not known here any more, or not yet. */
  #elsewhere(key: ShardKey, list: number): TaskMessage {
    if (this.#forgotten.has(key)) return this.epitaph(key)
    const known = this.#moved.get(key) ?? this.shards.read(key)?.inForce
    return known !== undefined && known.list > list ? movedMessage(key, known) : { kind: 'disowned', key }
  }

  #settle(acceptor: Acceptor, message: TaskMessageOf<'settle'>): Persist[] {
    const kept = this.shards.open(message.key)
    if (kept === undefined || acceptor.isSettled || message.ballot < acceptor.promised) return []
    // Said of a list that others of a pair made without this one: what is lacking here is still to come.
    if (!isWhole(kept, acceptor, message.by)) return []
    const spare = kept.record.inputs.body.byteLength
    this.#apply(message)
    acceptor.settledAt = this.uptime.ms
    const stamp: TaskMessage = { kind: 'stamp', keys: [message.key], at: acceptor.settledAt }
    // While another list may still count, its records are needed too.
    if (spare < this.#rewriteAbove || kept.acceptors.length > 1)
      return [persist(message.key, [message, stamp], [])]
    return [persist(message.key, summary(kept), [], true)]
  }

  #stamped({ keys: [key], at }: TaskMessageOf<'stamp'>): void {
    this.uptime.resume(at)
    const acceptor = key === undefined ? undefined : this.shards.open(key)?.acceptors.at(-1)
    if (acceptor !== undefined) acceptor.settledAt = at
  }

  /** What is said of a shard that was forgotten. */
  epitaph(key: ShardKey): TaskMessage {
    const { job } = shardName(key)
    return { kind: 'forget', name: this.#forgotten.isForgotten(job) ? job : key }
  }

  #forgets(from: PeerId, name: Forgettable): (Send | Persist)[] {
    const answer = send(from, { kind: 'forgotten', name })
    // A repeated order is answered after a sync of its own, like a repeated store.
    const removed = this.#forget(name)
    const gone = removed.map((key) => persist(key, [], [], true))
    return [...gone, persist(name, [{ kind: 'forget', name }], [answer], true)]
  }

  /** The records that are not needed any more. */
  #forget(name: Forgettable): Forgettable[] {
    const job = isJobId(name) ? name : shardName(name).job
    // Also the word of where its shards went that were kept here once.
    const keys = [...keysOf(name, this.shardsOf(job)), ...this.#moved.covered(name)]
    const removed: Forgettable[] = []
    for (const key of keys) if (this.#remove(key)) removed.push(key)
    const replaced = this.#forgotten.add(name)
    return replaced === undefined ? removed : [...removed, replaced]
  }

  #remove(key: ShardKey): boolean {
    const kept = this.shards.peek(key)
    if (kept === undefined) return this.#moved.delete(key)
    this.#bytes -= kept.weight
    this.#isChecked = false
    this.#news.add(key)
    this.drop(key)
    return true
  }

  /** False if that changed nothing. */
  #apply(message: TaskMessage): boolean {
    if (message.kind === 'store') return this.#add(message.record)
    if (message.kind === 'moved') return this.#move(message)
    if (message.kind !== 'prepare' && message.kind !== 'accept' && message.kind !== 'settle') return false
    const kept = this.shards.open(message.key)
    const acceptor = kept?.acceptors.find(({ list }) => list === message.list)
    if (kept === undefined || acceptor === undefined) return false
    if (message.kind === 'settle') {
      if (acceptor.isSettled) return false
      settle(acceptor, message.by)
      if (kept.record.list === acceptor.list) {
        kept.record = { ...kept.record, inputs: pack('', [], []), needs: [] }
        kept.acceptors = [acceptor]
        kept.inForce = listOf(kept.record)
      }
      this.#changed(kept)
      return true
    }
    acceptor.promised = Math.max(acceptor.promised, message.ballot)
    this.#changed(kept, 0)
    if (message.kind !== 'accept') return true
    if (!accept(acceptor, message)) return false
    this.#changed(kept, message.outcomes.body.byteLength)
    return true
  }

  #add(given: ShardRecord): boolean {
    const record = { ...given, keepers: this.shards.shared(given.keepers) }
    const { key, list } = record
    const kept = this.shards.open(key)
    const present = kept?.acceptors.find((one) => one.list === list)
    if (kept !== undefined && present !== undefined) return !present.isSettled && this.#complete(kept, record)
    const acceptor = newAcceptor(list)
    if (kept !== undefined) {
      kept.acceptors = [...kept.acceptors, acceptor].toSorted((a, b) => a.list - b.list)
      // Who stays is not sent the inputs again.
      const { inputs, needs, count, header } = kept.record
      if (list > kept.record.list && record.count === count) kept.record = { ...record, inputs, needs }
      this.shards.recoded(header.code, kept)
      this.#changed(kept)
      return true
    }
    // It comes back here: the lists before the one that it went to then do not count any more.
    const inForce = this.#moved.get(key)
    this.#moved.delete(key)
    const fresh: Kept = { record, acceptors: [acceptor], inForce, weight: 0, isChecked: false }
    this.put(key, fresh)
    this.#changed(fresh)
    return true
  }

  /** Who was taken for one that has the inputs, and had let go of them, gets them in a second message. */
  #complete(kept: Kept, { list, count, inputs, needs }: ShardRecord): boolean {
    if (kept.record.list !== list || kept.record.count !== count) return false
    if (kept.record.inputs.indexes.length >= inputs.indexes.length) return false
    kept.record = { ...kept.record, inputs, needs }
    this.#changed(kept)
    return true
  }

  /** Lists before this one do not count any more. */
  #move({ key, list, keepers, seats }: TaskMessageOf<'moved'>): boolean {
    const kept = this.shards.open(key)
    if (kept === undefined || (kept.inForce?.list ?? 0) >= list) return false
    // What is here may be in no other list.
    if (areRivals(kept.record, { list, keepers, seats })) return false
    // Of a pair the other one may have all of that list, and go down with it: what is here counts until its marker is, too.
    const present = kept.acceptors.find((one) => one.list === list)
    if (keepers.length === 2 && present !== undefined && !isMarked(present)) return false
    const rest = kept.acceptors.filter((one) => one.list >= list)
    if (rest.length > 0) {
      kept.acceptors = rest
      kept.inForce = { list, keepers, seats }
      this.#changed(kept)
      return true
    }
    // In the list, but not yet told of the shard: what is here may be all that this node will have of its inputs.
    if (keepers.includes(this.#self)) return false
    this.#remove(key)
    this.#moved.set(key, { list, keepers, seats })
    return true
  }
}

/** True if these are outcomes of tasks of the shard, or entries of the register of a job whose first shard it is. */
function fits(record: ShardRecord, outcomes: Batch): boolean {
  const isRoot = shardName(record.key).index === 0
  return outcomes.indexes.every(
    (index) =>
      index < record.count || index === startIndex || (isRoot && index > placementBase) || index > closedIndex
  )
}
