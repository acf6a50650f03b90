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
  }
]
