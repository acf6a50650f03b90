/**
 * Which tasks of one shard go to which node because their data is there, and how long they wait for such a node.
 *
 * Not here: who has what (nearby.ts), and everything else that decides who is granted what (round.ts, queue.ts).
 * Delay scheduling (Zaharia et al., 2010): a node that has the data is usually free soon, so it is worth a short wait not to
 * move it. Here that is as long as the move would take, and bounded; tasks that name no data never wait, nor pay for this.
 */
import { type DataId, dataName, type PeerId } from '../ids.ts'
import { earlier, type Millis } from '../machine.ts'
import { matches, type Traits } from '../routing/match.ts'
import type { ShardRecord } from './messages.ts'
import type { Nearby } from './nearby.ts'
import type { Picked, Queue, Suited } from './queue.ts'
import { needsIn } from './references.ts'

/** What a network is taken to carry: a task waits no longer for a node that has its data than bringing that would take. */
const moveBytesPerMs = 100_000
/** And never longer than this. */
export const nearWaitMaxMs = 2_000

/** Tasks that need the same data. */
interface Group {
  readonly ids: readonly DataId[]
  readonly bytes: number
  readonly tasks: number[]
  /** Since when somebody could have taken them who does not have their data. */
  since: Millis | undefined
}

export interface LocalityView {
  readonly nearby: Nearby
  /** What a node that is up says of itself. */
  readonly member: (peer: PeerId) => Traits | undefined
}

export interface Asked {
  readonly to: PeerId
  readonly most: number
  readonly elsewhere: boolean
  /** Default: all are. */
  readonly suited?: Suited | undefined
}

export class Locality {
  readonly #view: LocalityView
  readonly #record: ShardRecord
  readonly #groups: readonly Group[]
  readonly #groupOf = new Map<number, Group>()
  #opensAt: Millis | undefined

  private constructor(record: ShardRecord, view: LocalityView, groups: readonly Group[]) {
    this.#record = record
    this.#view = view
    this.#groups = groups
    for (const group of groups) for (const task of group.tasks) this.#groupOf.set(task, group)
  }

  /** `undefined` if no input names data. */
  static of(record: ShardRecord, view: LocalityView): Locality | undefined {
    const groups = new Map<string, Group>()
    for (const [task, ids] of needsIn(record.inputs)) {
      const name = ids.join(' ')
      const bytes = ids.reduce((sum, id) => sum + dataName(id).size, 0)
      const group = groups.get(name) ?? { ids, bytes, tasks: [], since: undefined }
      groups.set(name, group)
      group.tasks.push(task)
    }
    return groups.size === 0 ? undefined : new Locality(record, view, [...groups.values()])
  }

  /** Until then some tasks wait for a node that has their data, though another one asks. */
  get opensAt(): Millis | undefined {
    return this.#opensAt
  }

  /** True for nodes that have what some waiting task needs. */
  preference(queue: Queue, now: Millis): (peer: PeerId) => boolean {
    const wanted = this.#groups.filter((group) => waitingIn(group, queue) > 0)
    return (peer) => wanted.some((group) => this.#isNear(group, peer, now))
  }

  /** As `queue.take`: tasks whose data is there, else such as have waited long enough. */
  take(queue: Queue, { to, most, elsewhere, suited }: Asked, now: Millis): Picked | undefined {
    const near = queue.take(to, most, elsewhere, (task) => {
      if (suited?.(task) === false) return false
      const group = this.#groupOf.get(task)
      return group === undefined || this.#isNear(group, to, now)
    })
    if (near !== undefined) return near
    for (const group of this.#ripe(queue, now)) {
      const picked = queue.take(
        to,
        most,
        elsewhere,
        (task) => this.#groupOf.get(task) === group && suited?.(task) !== false
      )
      if (picked === undefined) continue
      this.#view.nearby.brings(to, group.ids, now)
      return picked
    }
    return undefined
  }

  /** `peer` gave this task back unbegun. */
  returned(peer: PeerId, task: number): void {
    this.#view.nearby.bringsNot(peer, this.#groupOf.get(task)?.ids ?? [])
  }

  /** More than half of the bytes are there. */
  #isNear({ ids, bytes }: Group, peer: PeerId, now: Millis): boolean {
    let here = 0
    for (const id of ids) if (this.#view.nearby.isAt(id, peer, now)) here += dataName(id).size
    return 2 * here > bytes
  }

  /** What may go anywhere; first what most tasks need, since it is moved once for all of them. */
  #ripe(queue: Queue, now: Millis): Group[] {
    const ripe: { group: Group; waiting: number }[] = []
    for (const group of this.#groups) {
      const waiting = waitingIn(group, queue)
      if (waiting > 0 && this.#isRipe(group, now)) ripe.push({ group, waiting })
    }
    return ripe.sort((one, other) => other.waiting - one.waiting).map(({ group }) => group)
  }

  #isRipe(group: Group, now: Millis): boolean {
    group.since ??= now
    const at = group.since + Math.min(nearWaitMaxMs, group.bytes / moveBytesPerMs)
    if (now >= at || this.#waitsInVain(group)) return true
    this.#opensAt = earlier(at, (this.#opensAt ?? 0) > now ? this.#opensAt : undefined)
    return false
  }

  /** Some have the data, but none of them can run the task. */
  #waitsInVain({ ids }: Group): boolean {
    const { requires } = this.#record.header
    let isKnown = false
    for (const id of ids) {
      for (const peer of this.#view.nearby.holders(id)) {
        const member = this.#view.member(peer)
        if (member !== undefined && matches(requires, member)) return false
        isKnown = true
      }
    }
    return isKnown
  }
}

function waitingIn({ tasks }: Group, queue: Queue): number {
  let count = 0
  for (const task of tasks) if (queue.isWaiting(task)) count++
  return count
}
