/**
 * Ways to break what counts when several things meet: attempts of one task that submit the same jobs, and somebody who is not
 * there, or not willing, at the wrong moment (encounters.ts, nested.ts).
 *
 * Not here: all other mutations (mutations.ts).
 */
import type { Mutation } from './mutate.ts'

export const encounterMutations: readonly Mutation[] = [
  {
    name: 'keep-orphans',
    file: 'src/tasks/rivals.ts',
    from: 'covers(name, root.key) ? [send(self',
    to: "covers(name, root.key) && name === '' ? [send(self",
    why: 'later shards of a job that was submitted anew by another attempt of its task are kept'
  },
  {
    name: 'place-superseded',
    file: 'src/tasks/submission.ts',
    from: 'return first !== undefined && covers(name, first.key)',
    to: 'return first === undefined && covers(name, record.key)',
    why: 'an entry goes on to place shards of a job that was submitted anew'
  },
  {
    name: 'share-epochs',
    file: 'src/client/nest.ts',
    from: '((attempt - 1) * seatsTold + (seat % seatsTold)) * epochsPerAttempt',
    to: '(seat % seatsTold) * epochsPerAttempt',
    why: 'attempts of a task submit their jobs under the same epochs'
  },
  {
    name: 'keep-damaged',
    file: 'src/data/depot.ts',
    from: "if (item?.state !== 'here') return []\n    this.#become(item, 'absent')",
    to: "if (item?.state !== 'absent') return []\n    this.#become(item, 'absent')",
    why: 'a node that finds its copy of some data damaged goes on as if it had it'
  },
  {
    name: 'discard-named',
    file: 'src/tasks/entry.ts',
    from: 'return entry === undefined ? this.#discard(record) : []',
    to: 'return entry === undefined ? [] : this.#discard(record)',
    why: "what a client leaves is forgotten, though its job's register may name it"
  },
  {
    name: 'line-up-early',
    file: 'src/tasks/queue.ts',
    from: 'this.#back = []',
    to: '',
    why: 'tasks stand in line before what they wait for has ended, if their shard names data'
  }
]
