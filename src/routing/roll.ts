/**
 * Two nodes make their directories alike, and say only what differs.
 *
 * Not here: when they do (swim.ts). One sends a number for each part of its directory; the other answers with some of the
 * parts whose numbers differ, and the first with what is missing there. Who learned something asks again, so a directory
 * of a thousand members comes in pieces to who has none, and costs one message of numbers between those who have it.
 */
import type { PeerId } from '../ids.ts'
import type { Random } from '../random.ts'
import { bucketOf, type Directory } from './directory.ts'
import { type Doubt, isLater, type Member, newsMax, type RoutingMessageOf, rollBuckets } from './messages.ts'
import { shuffled } from './probes.ts'

type Roster = RoutingMessageOf<'roster'>

export function rollOf(directory: Directory): RoutingMessageOf<'roll'> {
  return { kind: 'roll', prints: new Uint8Array(directory.prints.slice().buffer) }
}

/** What to say to who sent these numbers; `undefined` if they are the same here, or are none. */
export function compare(directory: Directory, prints: Uint8Array, random: Random): Roster | undefined {
  if (prints.byteLength !== 4 * rollBuckets) return undefined
  const theirs = new Uint32Array(prints.slice().buffer)
  const differ = [...theirs.keys()].filter((bucket) => theirs[bucket] !== directory.prints[bucket])
  if (differ.length === 0) return undefined
  return roster(directory, shuffled(differ, random), [])
}

/** What the other end lacks of the parts that it told, or has not heard of yet. */
export function complete(directory: Directory, { buckets, members }: Roster): Roster {
  return { ...roster(directory, buckets, members), isAnswer: true }
}

/** Of these parts, whole ones as far as they fit, without what is known there. */
function roster(directory: Directory, buckets: readonly number[], known: readonly Member[]): Roster {
  const told = new Map<PeerId, Member>(known.map((member) => [member.peer, member]))
  const parts = new Map<number, { members: Member[]; doubts: Doubt[] }>(
    buckets.map((bucket) => [bucket, { members: [], doubts: [] }])
  )
  const add = (member: Member, isUp: boolean): void => {
    const part = parts.get(bucketOf(member.peer))
    const other = told.get(member.peer)
    if (part === undefined || (isUp && other !== undefined && !isLater(member, other))) return
    const { peer, boot, incarnation } = member
    if (isUp) part.members.push(member)
    else part.doubts.push({ peer, boot, incarnation, by: directory.me.peer })
  }
  add(directory.me, true)
  for (const { member, isUp } of directory.all()) if (member !== undefined) add(member, isUp)
  const said = { buckets: [] as number[], members: [] as Member[], doubts: [] as Doubt[] }
  for (const [bucket, { members, doubts }] of parts) {
    const isFull =
      said.members.length + members.length > newsMax || said.doubts.length + doubts.length > newsMax
    if (isFull && said.buckets.length > 0) continue
    said.buckets.push(bucket)
    said.members.push(...members.slice(0, newsMax))
    said.doubts.push(...doubts.slice(0, newsMax))
  }
  return { kind: 'roster', isAnswer: false, ...said }
}
