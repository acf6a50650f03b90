/**
 * What an owner has told the nodes about tasks that wait here for them, so that each knows whom to ask for what it has next.
 *
 * Not here: the tasks and the claims (round.ts, standings.ts), and what a node makes of it (turns.ts).
 * A node that asks for nothing more would not hear that somebody else's tasks wait as well; and one that keeps a slot for tasks that
 * went elsewhere would wait for them. Every grant says how many more wait, so little has to be said besides.
 */
import type { PeerId } from '../ids.ts'
import type { Millis } from '../machine.ts'
import { namesOf } from '../routing/requirement.ts'
import { type Send, send } from './effects.ts'
import type { JobHeader } from './messages.ts'

/** Between two times that the same is said: it may be lost, and who could not be served by now may be later. */
const tellAgainMs = 500

/** The most urgent of what waits: the resources that it needs, if any. */
export interface Waiting {
  readonly priority: number
  readonly needs: readonly string[]
}

interface Told {
  needs: readonly string[]
  /** The highest priority of what waits, as the node believes; `undefined` if it believes that nothing does. */
  priority: number | undefined
  againAt: Millis
  grantedAt: Millis
  /** What was as urgent as this, and yet not what was granted, gives its owner no precedence until then. */
  passedOver: number
  passedUntil: Millis
}

export class Tidings {
  readonly #told = new Map<PeerId, { readonly plain: Told; readonly needy: Told }>()

  forget(peer: PeerId): void {
    this.#told.delete(peer)
  }

  /** With a grant. */
  granted(peer: PeerId, { priority, requires }: JobHeader, waiting: number, now: Millis): void {
    const { plain, needy } = this.#of(peer)
    if (waiting === 0)
      for (const told of [plain, needy]) Object.assign(told, { priority: undefined, againAt: now })
    else
      Object.assign(requires.resources.length > 0 ? needy : plain, {
        priority,
        needs: namesOf(requires),
        againAt: now + tellAgainMs,
        grantedAt: now
      })
  }

  /** True if the node believes that something waits which needs no resource. */
  isTold(peer: PeerId): boolean {
    return this.#told.get(peer)?.plain.priority !== undefined
  }

  /** `isVain`: the node asks for what needs these, and gets nothing of it. */
  tell(
    peer: PeerId,
    isNeedy: boolean,
    most: Waiting | undefined,
    isVain: (needs: readonly string[]) => boolean,
    now: Millis
  ): Send[] {
    const of = this.#of(peer)
    const told = isNeedy ? of.needy : of.plain
    const { priority, needs = told.needs } = most ?? {}
    // Then it believes that something waits which needs what it has.
    const isWrong = told.priority !== undefined && isVain(told.needs)
    const isOver = priority === undefined || isVain(needs)
    if (isOver) {
      if (!isWrong) return []
      // What cannot be granted now is offered again later.
      Object.assign(told, { priority: undefined, againAt: priority === undefined ? now : now + tellAgainMs })
      return [send(peer, { kind: 'waits', priority: 0, needs: told.needs, isOver: true })]
    }
    if (priority === told.priority && !isWrong && now < told.againAt) return []
    if (told.priority === undefined && now < told.againAt) return []
    if (told.priority !== undefined && priority > told.priority && !isWrong) {
      if (now === told.grantedAt)
        Object.assign(told, { passedOver: priority, passedUntil: now + tellAgainMs })
      if (priority <= told.passedOver && now < told.passedUntil) return []
    }
    Object.assign(told, { priority, needs, againAt: now + tellAgainMs })
    return [send(peer, { kind: 'waits', priority, needs, isOver: false })]
  }

  #of(peer: PeerId): { readonly plain: Told; readonly needy: Told } {
    const known = this.#told.get(peer)
    if (known !== undefined) return known
    const never = Number.NEGATIVE_INFINITY
    const nothing = { needs: [], againAt: never, grantedAt: never, passedOver: never, passedUntil: never }
    const fresh = { plain: { priority: undefined, ...nothing }, needy: { priority: undefined, ...nothing } }
    this.#told.set(peer, fresh)
    return fresh
  }
}
