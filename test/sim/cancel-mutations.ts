/**
 * The ways in which the cancelling of single tasks is broken on purpose.
 *
 * Not here: what is done with them (mutations.ts).
 */
import type { Mutation } from './mutate.ts'

export const cancelMutations: readonly Mutation[] = [
  {
    name: 'cancel-neighbours',
    file: 'src/tasks/lead.ts',
    from: 'filter((index) => chosen?.has(index) ?? true)',
    to: 'filter((index) => chosen?.has(index >> 1 << 1) ?? true)',
    why: 'a task is cancelled with the one before it'
  },
  {
    name: 'cancel-once',
    file: 'src/tasks/follows.ts',
    from: '} else effects.push(...this.#cancelAgain(follow), this.#ask(follow, now))',
    to: '} else effects.push(this.#ask(follow, now))',
    and: {
      file: 'src/tasks/follows.ts',
      from: 'return [...this.#cancelAgain(follow), this.#ask(follow, now)]\n  }\n\n  /**\n   * Its clients',
      to: 'return [this.#ask(follow, now)]\n  }\n\n  /**\n   * Its clients'
    },
    why: 'an owner is asked only once to cancel a task'
  },
  {
    name: 'leave-orphans',
    file: 'src/tasks/parents.ts',
    from: "return isOpen(lead) ? [cancel, send(self, { kind: 'propose', key, outcomes })] : [cancel]",
    to: "return isOpen(lead) ? [send(self, { kind: 'propose', key, outcomes })] : [cancel].slice(1)",
    why: 'what a task has submitted goes on when it has ended and its node is lost'
  },
  {
    name: 'leave-jobs-open',
    file: 'src/tasks/parents.ts',
    from: "return isOpen(lead) ? [cancel, send(self, { kind: 'propose', key, outcomes })] : [cancel]",
    to: 'return outcomes.indexes.length > 1 ? [] : [cancel]',
    why: 'a job whose task is lost before it had submitted all of it is never closed'
  },
  {
    name: 'end-any',
    file: 'src/tasks/parents.ts',
    from: '.filter((lead) => ended.has(placeOf(lead)))',
    to: '.filter((lead) => ended.size > 0 && placeOf(lead) >= 0)',
    why: 'a job within a task is cancelled once any task of that shard has ended'
  }
]
