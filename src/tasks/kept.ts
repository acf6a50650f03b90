/**
 * One shard as it lies at a keeper: what it promised and accepted in each list, and how that is made small.
 *
 * Not here: what changes it (keeper.ts).
 * Once settled it is read now and then and kept for long, so it is put into few pieces, and written once more as a whole.
 */
import type { Ballot } from '../ids.ts'
import { assert, type Millis } from '../machine.ts'
import { hash32 } from '../random.ts'
import { type Accepted, answerBytesMax, inParts, newest, regroup } from './accepted.ts'
import { type Batch, OUTCOME_HEADER_BYTES, pack, valueAt } from './batch.ts'
import type { KeeperList } from './keepers.ts'
import {
  type AcceptedBatch,
  attemptBase,
  batchEntriesMax,
  closedIndex,
  markIndex,
  type ShardRecord,
  type TaskMessage,
  type TaskMessageOf
} from './messages.ts'

export interface Kept {
  /** With the newest list that this node is in. Without its inputs once settled. */
  record: ShardRecord
  /** One for each list that may still count, oldest first. */
  acceptors: Acceptor[]
  /** No list before this one counts. */
  inForce: KeeperList | undefined
  /** Bytes of inputs and outcomes, as far as they are counted. */
  weight: number
  /** Nothing of it has changed since it was checked. */
  isChecked: boolean
}

export interface Acceptor {
  readonly list: number
  promised: Ballot
  /** Accepted batches, oldest first. */
  accepted: AcceptedBatch[]
  /** Serials accepted at ballot `serialsOf`, so that a repeated accept adds nothing. */
  readonly serials: Set<number>
  serialsOf: Ballot
  isSettled: boolean
  /** By then every keeper had accepted at this ballot all that was committed. */
  settledBy: Ballot
  /** When that was, by the uptime of its keeper. */
  settledAt: Millis
}

export const newAcceptor = (list: number): Acceptor => ({
  list,
  promised: 0,
  accepted: [],
  serials: new Set(),
  serialsOf: 0,
  isSettled: false,
  settledBy: 0,
  settledAt: 0
})

/** False if this batch is here already. */
export function accept(acceptor: Acceptor, { ballot, serial, outcomes }: TaskMessageOf<'accept'>): boolean {
  if (acceptor.serialsOf !== ballot) {
    acceptor.serials.clear()
    acceptor.serialsOf = ballot
  }
  if (acceptor.serials.has(serial)) return false
  acceptor.serials.add(serial)
  acceptor.accepted.push({ ballot, outcomes })
  return true
}

/** True if all that its list took over is here. */
export const isMarked = ({ isSettled, accepted }: Acceptor): boolean =>
  isSettled || accepted.some(({ outcomes }) => outcomes.indexes[0] === markIndex)

/** True if every task has an outcome here, accepted at this ballot or a later one. */
export function isWhole({ record }: Kept, { accepted }: Acceptor, by: Ballot): boolean {
  const counting = accepted.filter(({ ballot }) => ballot >= by)
  const has = new Set(counting.flatMap(({ outcomes }) => [...outcomes.indexes]))
  for (let index = 0; index < record.count; index++) if (!has.has(index)) return false
  return true
}

/** Bytes of inputs and outcomes. */
export function weigh({ record, acceptors }: Kept): number {
  let sum = record.inputs.body.byteLength + (record.needs[0]?.words.byteLength ?? 0)
  for (const { accepted } of acceptors) for (const { outcomes } of accepted) sum += outcomes.body.byteLength
  return sum
}

/** The outcome of each task with the highest ballot, in any list. */
export function outcomesOf(acceptors: readonly Acceptor[]): Map<number, Accepted> {
  const all = newest(acceptors.flatMap(({ accepted }) => accepted))
  for (const index of all.keys()) if (index > closedIndex) all.delete(index)
  return all
}

/** A fingerprint: differs if the list or any outcome does. An outcome is told by its header, which holds when it ran, and its length. */
export function printOf({ key, list }: ShardRecord, acceptors: readonly Acceptor[]): number {
  let print = hash32(`${key} ${list}`)
  for (const [index, { batch, at }] of outcomesOf(acceptors)) {
    const value = valueAt(batch, at)
    const head = [...value.subarray(0, OUTCOME_HEADER_BYTES)].join()
    print = (print + hash32(`${index} ${value.byteLength} ${head}`)) >>> 0
  }
  return print
}

export function checkKept(kept: Kept): void {
  const { record, acceptors, weight } = kept
  const { key } = record
  if (acceptors.at(-1)?.list !== record.list) assert(false, `${key} has no acceptor for its newest list`)
  for (const { accepted, promised } of acceptors) {
    for (const { ballot } of accepted)
      if (ballot > promised) assert(false, `${key} accepted ${ballot} above ${promised}`)
  }
  const found = weigh(kept)
  if (weight !== found) assert(false, `${key} is counted with ${weight} bytes, and has ${found}`)
}

/** Records from which a settled shard can be read back as it is. */
export function summary({ record, acceptors }: Kept): TaskMessage[] {
  const { key } = record
  return [
    { kind: 'store', record, isRepair: true },
    ...acceptors.flatMap(({ list, accepted, promised, settledBy, settledAt }): TaskMessage[] => [
      ...accepted
        .toSorted((a, b) => a.ballot - b.ballot)
        .map(
          ({ ballot, outcomes }, serial): TaskMessage => ({
            kind: 'accept',
            key,
            list,
            ballot,
            serial,
            outcomes
          })
        ),
      { kind: 'settle', key, list, ballot: promised, by: settledBy },
      { kind: 'stamp', keys: [key], at: settledAt }
    ])
  ]
}

interface Part {
  readonly ballot: Ballot
  readonly node: Batch['node']
  readonly indexes: number[]
  readonly values: Uint8Array[]
  bytes: number
}

/** The same values as one batch for each ballot and node, or as many as it takes. */
export function merge(found: Iterable<Accepted>): AcceptedBatch[] {
  const open = new Map<string, Part>()
  const parts: Part[] = []
  for (const { ballot, batch, at } of found) {
    const name = `${ballot} ${batch.node}`
    const value = valueAt(batch, at)
    const last = open.get(name)
    const isFull =
      last === undefined ||
      last.indexes.length >= batchEntriesMax ||
      last.bytes + value.byteLength > answerBytesMax
    const part: Part = isFull ? { ballot, node: batch.node, indexes: [], values: [], bytes: 0 } : last
    if (isFull) parts.push(part)
    open.set(name, part)
    part.indexes.push(batch.indexes[at] as number)
    part.values.push(value)
    part.bytes += value.byteLength
  }
  return parts.map(({ ballot, node, indexes, values }) => ({ ballot, outcomes: pack(node, indexes, values) }))
}

/**
 * What is left once a shard is settled is read now and then, and kept for long: it is put into few pieces. Nothing will be granted,
 * so nobody needs to know which attempts were. What an earlier owner proposed, and the last one did not, was never committed.
 */
export function settle(acceptor: Acceptor, by: Ballot): void {
  acceptor.isSettled = true
  acceptor.settledBy = by
  acceptor.serials.clear()
  const found = newest(acceptor.accepted)
  for (const [index, { ballot }] of found) if (index >= attemptBase || ballot < by) found.delete(index)
  acceptor.accepted = merge(found.values())
}

/** One promise may be several messages. */
export function answersTo(message: TaskMessageOf<'prepare' | 'accept'>, acceptor: Acceptor): TaskMessage[] {
  const { key, list, ballot } = message
  if (message.kind === 'accept') return [{ kind: 'accepted', key, list, ballot, serial: message.serial }]
  const all = inParts(compact(acceptor))
  return all.map((one, part) => ({
    kind: 'promised',
    key,
    list,
    ballot,
    accepted: one,
    part,
    parts: all.length
  }))
}

/** Promises stay as small as what they tell. */
function compact(acceptor: Acceptor): AcceptedBatch[] {
  acceptor.accepted = regroup(newest(acceptor.accepted).values())
  return [...acceptor.accepted]
}
