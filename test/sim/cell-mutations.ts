/**
 * What is broken on purpose in cells and their council, one line at a time.
 *
 * Not here: how (mutate.ts), and everything else that is broken (mutations.ts).
 */
import type { Mutation } from './mutate.ts'

export const cellMutations: readonly Mutation[] = [
  {
    name: 'decide-on-one',
    file: 'src/cells/proposer.ts',
    from: 'if (phase.votes.size < this.ground.quorum) return undefined',
    to: 'if (phase.votes.size < 1) return undefined',
    why: 'a change of a cell is answered when one member has it'
  },
  {
    name: 'forget-cell-ballots',
    file: 'src/cells/acceptor.ts',
    from: 'this.#set(name, { mesh, number, promised, accepted: accepted[0] })',
    to: 'this.#set(name, { mesh, number, promised: noBallot, accepted: undefined })',
    why: 'a member that restarted has forgotten what it promised and accepted of cells'
  },
  {
    name: 'promise-unsynced',
    file: 'src/cells/acceptor.ts',
    from: "return [this.#write(name, [say(from, { kind: 'cell-accepted', mesh, number, name, ballot })])]",
    to: "return [say(from, { kind: 'cell-accepted', mesh, number, name, ballot }), this.#write(name, [])]",
    why: 'a member says that it has accepted a change before that is on its disk'
  },
  {
    name: 'impatient-leases',
    file: 'src/cells/leases.ts',
    from: 'const lateness = 1.5',
    to: 'const lateness = 0.25',
    why: 'a lease is ended before its time'
  },
  {
    name: 'do-twice',
    file: 'src/cells/state.ts',
    from: 'if (before !== undefined) return',
    to: 'if (before?.version === -1) return',
    why: 'a command that is said twice is done twice'
  }
]
