/**
 * A shard's keepers as a list that has a number: what it means to be in it, and who owns by which ballot.
 *
 * Not here: how a list follows another (register.ts), and when it should (repair.ts).
 * A seat names a proposer for the whole life of a shard. Who leaves a list and comes back gets another one, so a ballot never
 * has two proposers, whatever lists they believe in.
 */
import { type Ballot, type PeerId, SEATS, type ShardKey, seatOf } from '../ids.ts'
import { type Send, send } from './effects.ts'
import type { ShardRecord, TaskMessage } from './messages.ts'

export interface KeeperList {
  /** 0 for the keepers that the entry chose; one more with every change. */
  readonly list: number
  readonly keepers: readonly PeerId[]
  /** `seats[i]` is the seat of `keepers[i]`. */
  readonly seats: readonly number[]
}

/** Copies whose majority commits. Two keepers cannot have both a majority and the loss of one: there, one copy commits. */
export const quorumOf = (keepers: number): number => (keepers === 2 ? 1 : Math.floor(keepers / 2) + 1)

/** Who proposes with this ballot, if it is one of the list. */
export function ownerBy({ keepers, seats }: KeeperList, ballot: Ballot): PeerId | undefined {
  return keepers[seats.indexOf(seatOf(ballot))]
}

export function seatIn({ keepers, seats }: KeeperList, peer: PeerId): number | undefined {
  return seats[keepers.indexOf(peer)]
}

export const listOf = ({ list, keepers, seats }: KeeperList): KeeperList => ({ list, keepers, seats })

/** True of two lists of one number: both of a pair that lost each other went on without the other one. */
export const areRivals = (one: KeeperList, other: KeeperList): boolean =>
  one.list === other.list && one.keepers.join() !== other.keepers.join()

/** What a record says of its keepers: `seatsGiven` is the first seat that nobody had yet. */
export type Seating = Pick<
  ShardRecord,
  'list' | 'keepers' | 'seats' | 'seatsGiven' | 'before' | 'beforeSeats'
>

/** The keepers that an entry chose: the seats are the ranks. */
export const firstSeating = (keepers: readonly PeerId[]): Seating => ({
  list: 0,
  keepers,
  seats: keepers.map((_, rank) => rank),
  seatsGiven: keepers.length,
  before: [],
  beforeSeats: []
})

/** The list after `now`: those who stay keep their seats. `undefined` when all seats are given. */
export function nextSeating(now: Seating, keepers: readonly PeerId[]): Seating | undefined {
  let seatsGiven = now.seatsGiven
  const seats = keepers.map((peer) => seatIn(now, peer) ?? seatsGiven++)
  if (seatsGiven > SEATS) return undefined
  return { list: now.list + 1, keepers, seats, seatsGiven, before: now.keepers, beforeSeats: now.seats }
}

export const movedMessage = (key: ShardKey, { list, keepers, seats }: KeeperList): TaskMessage => ({
  kind: 'moved',
  key,
  list,
  keepers,
  seats
})

/** The list before the one that `record` speaks of. */
const recordBefore = (record: ShardRecord): ShardRecord => ({
  ...record,
  list: record.list - 1,
  keepers: record.before,
  seats: record.beforeSeats,
  before: [],
  beforeSeats: []
})

/** For a keeper that does not know the shard: this list, and the one before as long as that is asked. */
export function supplyOf(record: ShardRecord, to: PeerId, isAsking: boolean): Send[] {
  const { key, keepers, before } = record
  const effects: Send[] = []
  if (isAsking && before.includes(to)) {
    const old = recordBefore(record)
    // A list that another one follows had its marker, so nothing before it is needed.
    effects.push(
      send(to, { kind: 'store', record: old, isRepair: true }),
      send(to, movedMessage(key, listOf(old)))
    )
  }
  if (keepers.includes(to)) effects.push(send(to, { kind: 'store', record, isRepair: true }))
  return effects
}

/** A list does not count any more: its keepers may forget, and those who turn to them are sent on. */
export function announcementOf(record: ShardRecord): Send[] {
  const message = movedMessage(record.key, listOf(record))
  return [...new Set([...record.before, ...record.keepers])].map((to) => send(to, message))
}
