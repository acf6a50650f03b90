/**
 * The checker `fair`: of two submitters that compete at one owner, neither gets ahead of the other by more than a bound.
 *
 * Not here: who competes (machines.ts, `rivals`). Judged from how many tasks of each have been granted and whether some still
 * wait that were never granted: while both have such tasks of the same priority, neither may have been granted more than the
 * other by as much as one node asks for at a time; and nothing is granted while tasks of a higher priority wait. Who waits
 * for a node that has its data does not compete meanwhile.
 */
import type { PeerId } from '../../src/ids.ts'
import type { Lead } from '../../src/tasks/lead.ts'
import { type Queue, TASK } from '../../src/tasks/queue.ts'
import { type Checker, Violation } from './checkers.ts'
import type { SimNode } from './node.ts'
import type { JobPlan, Plan } from './plan.ts'

const checker: Checker = 'fair'

/** What one owner did at one priority since both submitters had tasks waiting. */
interface Contest {
  readonly granted: Map<string, number>
  /** Of other priorities, to the same submitters: their clocks run by these, too. */
  readonly besides: Map<string, number>
  isOpen: boolean
}

export class Fair {
  readonly #most: number
  readonly #granted = new WeakMap<Queue, number>()
  readonly #contests = new Map<string, Contest>()

  constructor({ hosts, jobs, areRivals }: Plan) {
    const slots = Math.max(0, ...hosts.map((host) => host.slots))
    const taskMs = Math.min(...jobs.map((job: JobPlan) => job.taskMs))
    this.#most = areRivals ? 4 * slots + Math.ceil((100 * slots) / taskMs) : Number.POSITIVE_INFINITY
  }

  /** After a step of a node. */
  look(node: SimNode): void {
    const { core } = node
    if (core === undefined || !Number.isFinite(this.#most)) return
    const levels = Map.groupBy(core.owner.leads.values(), (lead) => lead.record.header.priority)
    const priorities = [...levels.keys()].sort((a, b) => b - a)
    let isWaitingAbove = false
    for (const priority of priorities) {
      const { wasOpen, isOpen } = this.#level(
        node.id,
        `${node.id} ${node.life} ${priority}`,
        levels.get(priority) ?? [],
        {
          now: node.now,
          isWaitingAbove
        }
      )
      isWaitingAbove ||= wasOpen && isOpen
    }
  }

  #level(
    owner: PeerId,
    name: string,
    leads: readonly Lead[],
    { now, isWaitingAbove }: { readonly now: number; readonly isWaitingAbove: boolean }
  ): { wasOpen: boolean; isOpen: boolean } {
    const contest = this.#contests.get(name) ?? {
      granted: new Map<string, number>(),
      besides: new Map<string, number>(),
      isOpen: false
    }
    this.#contests.set(name, contest)
    const waiting = new Set<string>()
    for (const lead of leads) {
      const { submitter } = lead.record.header
      const fresh = lead.queue.granted - (this.#granted.get(lead.queue) ?? 0)
      this.#granted.set(lead.queue, lead.queue.granted)
      if (fresh > 0 && isWaitingAbove)
        throw new Violation(checker, `${owner} granted ${fresh} tasks while more urgent ones waited`)
      contest.granted.set(submitter, (contest.granted.get(submitter) ?? 0) + fresh)
      const node = name.slice(0, name.lastIndexOf(' ') + 1)
      for (const [other, { besides }] of this.#contests)
        if (other !== name && other.startsWith(node))
          besides.set(submitter, (besides.get(submitter) ?? 0) + fresh)
      const isHeldBack = (lead.locality?.opensAt ?? 0) > now
      if (lead.waiting(now) > 0 && hasNew(lead.queue) && !isHeldBack) waiting.add(submitter)
    }
    const wasOpen = contest.isOpen
    contest.isOpen = waiting.size > 1
    if (!wasOpen || !contest.isOpen) {
      contest.granted.clear()
      contest.besides.clear()
    }
    const of = (one: string): number => contest.granted.get(one) ?? 0
    const [first = '', second = first] = [...waiting].sort((a, b) => of(b) - of(a))
    const allowed = this.#most + (contest.besides.get(second) ?? 0)
    if (of(first) - of(second) > allowed) {
      const text = `${owner} granted ${of(first)} tasks to one submitter and ${of(second)} to another that waited as long`
      throw new Violation(checker, `${text}; ${allowed} more are allowed`)
    }
    return { wasOpen, isOpen: contest.isOpen }
  }
}

/** True if a task waits that nobody was ever granted: anybody may run it. */
function hasNew(queue: Queue): boolean {
  for (let index = 0; index < queue.count; index++)
    if (queue.state(index) === TASK.waiting && queue.attempt(index) === 1) return true
  return false
}
