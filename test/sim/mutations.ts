/**
 * The ways in which the protocol is broken on purpose, one at a time, to see whether the simulator notices.
 *
 * Not here: how a snippet is replaced (mutate.ts), and the runs (main.ts, `--mutations`).
 * A mutation names a promise that it breaks; one that no checker notices shows a fault or a checker that is missing.
 */
import { cancelMutations } from './cancel-mutations.ts'
import { cellMutations } from './cell-mutations.ts'
import { encounterMutations } from './encounter-mutations.ts'
import type { Mutation } from './mutate.ts'

const keeper = 'src/tasks/keeper.ts'
const register = 'src/tasks/register.ts'
const lead = 'src/tasks/lead.ts'
const owner = 'src/tasks/owner.ts'
const entry = 'src/tasks/entry.ts'
const queue = 'src/tasks/queue.ts'
const dependents = 'src/tasks/dependents.ts'

export const mutations: readonly Mutation[] = [
  {
    name: 'skip-sync',
    file: keeper,
    from: 'return [persist(key, [message], sends)]',
    to: 'return [persist(key, [message], []), ...sends]',
    why: 'a keeper answers before its record is on disk'
  },
  {
    name: 'acknowledge-before-w',
    file: entry,
    from: 'return stored.size < majorityOf(record.keepers.length) ? [] : this.#kept(submission, now)',
    to: 'return this.#kept(submission, now)',
    why: 'one copy is enough to acknowledge a shard'
  },
  {
    name: 'trust-gossip',
    file: entry,
    from: 'return stored.size < majorityOf(record.keepers.length) ? [] : this.#kept(submission, now)',
    to: 'return record.keepers.filter((one) => stored.has(one) || this.#view.isUp(one)).length < majorityOf(record.keepers.length) ? [] : this.#kept(submission, now)',
    why: 'a keeper that is known to be up counts as one that has stored'
  },
  {
    name: 'ignore-ballot',
    file: 'src/tasks/owner.ts',
    from: 'if (lead === undefined || ballot <= lead.register.ballot) return []',
    to: 'if (lead === undefined || ballot >= 0) return []',
    why: 'an owner that is told of a higher ballot goes on under its own'
  },
  {
    name: 'reuse-ballot',
    file: register,
    from: 'const ballot = ballotOf(roundOf(promised) + 1, seatIn(record, self) ?? 0)',
    to: 'const ballot = ballotOf(roundOf(promised) + (promised % 65_536 === seatIn(record, self) ? 0 : 1), seatIn(record, self) ?? 0)',
    why: 'an owner that restarted goes on under its old ballot (model: reuse-ballot)'
  },
  {
    name: 'commit-on-one',
    file: 'src/tasks/keepers.ts',
    from: '(keepers === 2 ? 1 : Math.floor(keepers / 2) + 1)',
    to: '(keepers === 3 ? 1 : Math.floor(keepers / 2) + 1)',
    why: 'one of three keepers commits'
  },
  {
    name: 'small-quorum',
    file: 'src/tasks/keepers.ts',
    from: 'Math.floor(keepers / 2) + 1)',
    to: 'Math.max(1, Math.floor(keepers / 2)))',
    why: 'half of the keepers are taken for a majority (model: small-quorum)'
  },
  {
    name: 'skip-reproposing',
    file: register,
    from: 'const taken = regroup(found.values())',
    to: 'const taken = regroup([...found.values()].slice(0, 0))',
    why: 'a new owner does not propose again what it took over'
  },
  {
    name: 'ignore-promise',
    file: keeper,
    from: 'if (ballot < acceptor.promised)',
    to: "if (ballot < acceptor.promised && message.kind === 'prepare')",
    why: 'a keeper accepts below what it promised (model: ignore-promise)'
  },
  {
    name: 'reuse-attempt',
    file: queue,
    from: "if (because !== 'unstarted') this.#attempt",
    to: "if (because === 'failed') this.#attempt",
    why: 'a task that was lost runs again under the same number'
  },
  {
    name: 'unmarked-attempts',
    file: lead,
    from: 'isReady && this.#marks.has(this.#queue.highestAttempt)',
    to: 'isReady',
    why: 'an attempt is granted before the register says that its number is taken'
  },
  {
    name: 'deliver-before-commit',
    file: lead,
    from: 'fresh.length === 0 ? [] : this.register.propose(this.#story.tell(pickAt(outcomes, fresh)), now)',
    to: 'fresh.length === 0 ? [] : [...this.register.propose(this.#story.tell(pickAt(outcomes, fresh)), now), ...this.committed(pickAt(outcomes, fresh))]',
    why: 'an outcome is delivered when it arrives, and not when it is committed'
  },
  {
    name: 'no-marker',
    file: register,
    from: 'if (this.#isProven || found.has(markIndex)) return this.#recommit(found, now)',
    to: 'if (this.#isProven || found.size >= 0) return this.#recommit(found, now)',
    why: 'a list is believed without its marker (model: no-marker)'
  },
  {
    name: 'ignore-next',
    file: register,
    from: 'if (next !== undefined && seating !== undefined) {',
    to: 'if (next !== undefined && seating !== undefined && this.#serial < 0) {',
    why: 'a candidate that finds a next list goes on in the old one (model: ignore-next)'
  },
  {
    name: 'finish-values-in-old',
    file: register,
    from: 'return this.#send(pickAt(next.batch, [next.at]), now)',
    to: 'return [...regroup(withoutLists(found).values()).flatMap(({ outcomes }) => this.#send(outcomes, now)), ...this.#send(pickAt(next.batch, [next.at]), now)]',
    why: 'values are proposed in a list after its next one (model: finish-values-in-old)'
  },
  {
    name: 'lead-early',
    file: register,
    from: "get isInForce(): boolean {\n    return this.#phase === 'leading' || this.#phase === 'changing'",
    to: "get isInForce(): boolean {\n    return this.#phase === 'leading' || this.#phase === 'changing' || this.#phase === 'recommitting'",
    why: 'a list is in force before what was taken over is committed in it (model: lead-early)'
  },
  {
    name: 'forget-inflight',
    file: register,
    from: 'if (!this.#carried.has(index)) this.#carried.set(index, { ballot: this.ballot, batch, at })',
    to: 'if (this.#carried.has(index)) this.#carried.set(index, { ballot: this.ballot, batch, at })',
    why: 'what is on its way when keepers change does not go along (model: forget-inflight)'
  },
  {
    name: 'older-value-wins',
    file: 'src/tasks/accepted.ts',
    from: 'if (old === undefined || ballot >= old.ballot) found.set(index, { ballot, batch, at })',
    to: 'if (old === undefined || ballot < old.ballot) found.set(index, { ballot, batch, at })',
    why: 'of two accepted values the one with the lower ballot is taken over'
  },
  {
    name: 'silent-promise',
    file: 'src/tasks/kept.ts',
    from: 'inParts(compact(acceptor))',
    to: 'inParts(compact(acceptor).slice(1))',
    why: 'a keeper that promises does not tell all that it has accepted'
  },
  {
    name: 'keep-old-serials',
    file: 'src/tasks/kept.ts',
    from: 'if (acceptor.serialsOf !== ballot) {',
    to: 'if (acceptor.serialsOf > ballot) {',
    why: 'a batch of a new ballot is taken for one that was accepted before'
  },
  {
    name: 'forget-taken-over',
    file: register,
    from: 'for (const { outcomes } of this.#pending.values()) yield* outcomes.indexes',
    to: 'for (const { outcomes } of [...this.#pending.values()].slice(1)) yield* outcomes.indexes',
    why: 'what was taken over is granted again and gets a second value'
  },
  {
    name: 'amnesiac-first',
    file: owner,
    from: '!isRepair',
    to: '(!isRepair || isRepair)',
    why: 'a first keeper that lost its disk begins with ballot 0 again'
  },
  {
    name: 'settle-too-soon',
    file: lead,
    from: 'if (!this.#isOpen || this.#queue.unfinished > 0 || !this.register.isEverywhere) return false',
    to: 'if (!this.#isOpen || this.#queue.unfinished > 0) return false',
    why: 'a shard is settled before every keeper has all of it'
  },
  {
    name: 'deliver-twice',
    file: 'src/client/shards.ts',
    from: 'else if (index < count && !has.has(index)) {',
    to: 'else if (index < count) {',
    and: {
      file: 'src/tasks/follows.ts',
      from: 'if (!has.has(outcomes.indexes[at] as number)) fresh.push(at)',
      to: 'fresh.push(at)'
    },
    why: 'neither an entry nor a client notices that an outcome was delivered already'
  },
  {
    name: 'one-reader-for-all',
    file: 'src/client/readers.ts',
    from: 'had.filter((index) => others.every(({ shard }) => shard.has.has(index)))',
    to: 'had.filter(() => others.length >= 0)',
    why: 'an entry is told what the first reader of a shard has, whatever others wait for'
  },
  {
    name: 'follow-only-adds',
    file: 'src/tasks/follows.ts',
    from: 'follow.clients.set(client, new Set(have))',
    to: 'follow.clients.set(client, new Set([...(follow.clients.get(client) ?? []), ...have]))',
    why: 'an entry believes that whoever was told something once has it, also for readers that come later'
  },
  {
    name: 'believe-last-placement',
    file: 'src/tasks/entries.ts',
    from: 'else if (!this.#proposed.has(index)) {',
    to: 'else {',
    why: "a job's register takes a second place for one shard"
  },
  {
    name: 'keep-rivals',
    file: 'src/tasks/closing.ts',
    from: 'return parsePlacement(valueAt(entry.batch, entry.at))?.key === key',
    to: 'return parsePlacement(valueAt(entry.batch, entry.at)) !== undefined',
    why: 'a shard that was stored twice is kept twice'
  },
  {
    name: 'keep-older-first',
    file: 'src/tasks/messages.ts',
    from: 'return other.job === shard.job && other.index === 0 && shard.epoch < other.epoch',
    to: 'return other.job === shard.job && other.index === 0 && shard.epoch > other.epoch + 1e9',
    why: "earlier epochs of a job's first shard are kept for ever"
  },
  {
    name: 'lose-lost-tasks',
    file: lead,
    from: "this.#queue.release(index, isSuspect ? 'lost' : 'missing', peer)",
    to: 'void peer',
    why: 'what a lost node held is never granted again'
  },
  {
    name: 'never-say-again',
    file: register,
    from: 'if (peer === undefined && now - proposal.sentAt < patience) continue',
    to: 'if (proposal.sentAt >= 0) continue',
    why: 'a proposal that was lost on the way is not sent again'
  },
  {
    name: 'blame-once',
    file: 'src/tasks/losses.ts',
    from: 'export const lossesMax = 3',
    to: 'export const lossesMax = 1',
    why: 'a task is poisoned after one engine'
  },
  {
    name: 'forget-early',
    file: 'src/tasks/retention.ts',
    from: 'if (isClosed(register) && placesIn(register).every(isOver)) over.push(job)',
    to: 'if (isClosed(register)) over.push(job)',
    why: 'a job is forgotten when its first shard is old enough, whatever the others are'
  },
  {
    name: 'promise-unpacked',
    file: 'src/tasks/shelf.ts',
    from: '    promised,\n    accepted: [...accepted],',
    to: '    promised: 0,\n    accepted: [...accepted],',
    why: 'a shard that is over is packed, and what its keeper had promised is lost'
  },
  {
    name: 'drop-tombstone',
    file: 'src/tasks/tombstones.ts',
    from: 'if (this.#names.has(key) || this.#names.has(job)) return true',
    to: 'if (this.#names.size < 0 && this.#names.has(job)) return true',
    why: 'a node that was away brings back what the others have forgotten'
  },
  {
    name: 'grant-permit-twice',
    file: 'src/tasks/once.ts',
    from: 'filter((at) => this.#asked.delete(batch.indexes[at] as number))',
    to: 'filter((at) => batch.indexes[at] !== undefined)',
    why: 'a new owner grants again what an owner before had permitted to run once'
  },
  {
    name: 'no-permit',
    file: lead,
    from: 'if (!this.#isOnce) return { effects:',
    to: 'if (this.#queue.count > 0) return { effects:',
    why: 'a task to run at most once is granted without a permit'
  },
  {
    name: 'hand-over-nothing',
    file: lead,
    from: 'if (!this.#isOpen) return undefined',
    to: '',
    why: 'an owner that knows nothing yet tells its successor that nothing was granted'
  },
  {
    name: 'keep-outcomes',
    file: 'src/tasks/runner.ts',
    from: 'for (const index of indexes) if (held.state[index] === HELD.ended) this.#forget(key, held, index)',
    to: '',
    why: 'an engine never forgets what is confirmed'
  },
  {
    name: 'ignore-submitters',
    file: 'src/tasks/round.ts',
    from: 'const { submitter } = lead.record.header',
    to: "const submitter = '' as string",
    why: 'an owner grants by age alone, whoever submitted it'
  },
  {
    name: 'ignore-priority',
    file: 'src/tasks/round.ts',
    from: 'const priorityOf = ({ record }: Lead): number => record.header.priority',
    to: 'const priorityOf = (_: Lead): number => 0',
    why: 'an owner grants without regard to priorities'
  },
  {
    name: 'overcommit',
    file: 'src/tasks/fitting.ts',
    from: 'const isShort = resources.some(([name, amount]) => (free.get(name) ?? 0) < amount)',
    to: 'const isShort = resources.some(([name]) => !free.has(name))',
    and: { file: 'src/tasks/fitting.ts', from: 'if (left < 0)', to: 'if (left < -1e9)' },
    why: 'a node begins what needs more of a resource than is free'
  },
  {
    name: 'any-node',
    file: 'src/tasks/standings.ts',
    from: "if (requires.text === '') open.push({ peer, credit })",
    to: 'if (requires.resources.length === 0) open.push({ peer, credit })',
    and: {
      file: 'src/tasks/fitting.ts',
      from: 'if (!matches(requires, this.#me())) return 0',
      to: ''
    },
    why: 'tasks go to nodes that do not have what they require'
  },
  {
    name: 'hearsay-is-enough',
    file: 'src/routing/membership.ts',
    from: 'if (known.isLost) return known.isLinked',
    to: 'if (known.isLost && known.member === undefined) return known.isLinked',
    why: 'a node that was lost is up again because others say that it lives'
  },
  {
    name: 'work-when-used',
    file: 'src/tasks/runner.ts',
    from: "!this.#isLeaving && this.attendance.availability === 'open'",
    to: '!this.#isLeaving',
    why: 'a node whose machine is used takes work all the same'
  },
  {
    name: 'keep-on-one',
    file: 'src/data/guard.ts',
    from: 'if (watch.targets.length === 0 || copies < majorityOf(watch.targets.length)) return []',
    to: 'if (copies < 1) return []',
    why: 'one node that has some data is enough to say that it is kept'
  },
  {
    name: 'pin-for-jobs',
    file: 'src/data/item.ts',
    from: '  item.isCrossed = true\n  item.bridgedUntil = Math.min(item.bridgedUntil, now + lingerMs)',
    to: '  item.isCrossed = now < 0',
    why: 'data of a job that was released stays as if nobody had named it yet'
  },
  {
    name: 'held-when-asked',
    file: 'src/data/depot.ts',
    from: "if (item.state === 'here') here.push(id)",
    to: 'if (item.copies > 0) here.push(id)',
    why: 'a node says that it has data which it has yet to fetch'
  },
  {
    name: 'one-is-enough',
    file: dependents,
    from: '(need.all ? good === need.of.length : good > 0)',
    to: 'good > 0',
    why: 'a task that waits for several begins with the first of them'
  },
  {
    name: 'lose-hope',
    file: dependents,
    from: 'if (need.all ? wait.bad > 0 : wait.bad === need.of.length) {',
    to: 'if (wait.bad > 0) {',
    why: 'a task that waits for any of several fails with the first of them'
  },
  {
    name: 'begin-on-proposal',
    file: lead,
    from: 'return fatal.length === 0 ? effects : [...effects, ...this.#poison(fatal, now)]',
    to: 'const early = this.dependents?.learn(this.key, pickAt(outcomes, fresh)); return [...effects, ...this.#poison(fatal, now), ...(early ? this.heed(early, now) : [])]',
    why: 'a task begins when what it waits for is proposed, and not when it is committed'
  },
  ...cancelMutations,
  ...encounterMutations,
  ...cellMutations
]

export function mutationNamed(name: string): Mutation {
  const found = mutations.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no mutation is called ${name}`)
  return found
}
