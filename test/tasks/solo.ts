/**
 * One shard at its only keeper, which owns it; the nodes that ask for work are played by the test.
 *
 * Not here: what is tested with it (lead.test.ts).
 */
import { decodeFailure } from '../../src/client/values.ts'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import { seededRandom } from '../../src/random.ts'
import type { Traits } from '../../src/routing/match.ts'
import {
  encodeOutcome,
  OUTCOME_HEADER_BYTES,
  pack,
  readOutcomeHeader,
  STATUS,
  type Status,
  valueAt
} from '../../src/tasks/batch.ts'
import type { Persist, Send } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import {
  type JobHeader,
  type ShardRecord,
  shardTasksMax,
  type TaskMessage,
  type TaskMessageOf
} from '../../src/tasks/messages.ts'
import { splitOutput, withOutput } from '../../src/tasks/output.ts'
import { Owner } from '../../src/tasks/owner.ts'
import { splitStory } from '../../src/tasks/story.ts'
import { headerOf } from './header.ts'
import { recordOf } from './record.ts'

export const [self, reader] = ['peerA', 'reader'] as [PeerId, PeerId]
export const key = 'abcdefgh/0/0' as ShardKey
export const plain = headerOf()
export const nodes = (count: number): PeerId[] =>
  Array.from({ length: count }, (_, i) => `node${i + 1}` as PeerId)

interface Ended {
  readonly code: string
  readonly message: string
  readonly attempt: number
  readonly earlier: readonly string[]
  readonly stdout: string
}

/** The owner and the keeper are real, alone in their world. */
export class Solo {
  owner: Owner
  readonly keeper = new Keeper(self)
  readonly ended = new Map<number, Ended>()
  /** What was sent to each node since it was looked at. */
  readonly sent = new Map<PeerId, TaskMessage[]>()
  /** What nodes say of themselves. */
  readonly members = new Map<PeerId, Traits>()
  readonly #down = new Set<PeerId>()

  constructor(count: number, more: Partial<JobHeader> = {}, other: Partial<ShardRecord> = {}) {
    this.owner = this.#newOwner()
    const record = recordOf(self, count, { header: { ...plain, ...more }, ...other })
    const store = { kind: 'store', record, isRepair: false } as const
    this.says(self, store, 0)
    this.says(reader, { kind: 'watch', key, have: new Uint32Array(0) }, 0)
  }

  #newOwner(): Owner {
    const isUp = (peer: PeerId): boolean => !this.#down.has(peer)
    const view = {
      isUp,
      canVote: () => true,
      isGone: () => false,
      holders: () => undefined,
      neighbours: () => nodes(6),
      keepersFor: () => [self],
      member: (peer: PeerId) => this.members.get(peer),
      mayKnow: () => []
    }
    return new Owner({ self, keeper: this.keeper, ...view, situation: () => '' }, seededRandom(1))
  }

  says(from: PeerId, message: TaskMessage, now: number): void {
    if (message.kind === 'store') this.#perform(this.keeper.step(from, message), now)
    else if (from === self) this.#perform(this.keeper.step(from, message), now)
    if (message.kind === 'store') this.owner.kept(from, message, now)
    this.#perform(this.owner.message(from, message, now), now)
  }

  #perform(effects: readonly (Send | Persist)[], now: number): void {
    for (const effect of effects) {
      if (effect.kind === 'persist') this.#perform(effect.then, now)
      else if (effect.to === self) this.says(self, effect.message, now)
      else if (effect.to === reader) this.#read(effect.message)
      else this.sent.set(effect.to, [...(this.sent.get(effect.to) ?? []), effect.message])
    }
    this.owner.check()
  }

  #read(message: TaskMessage): void {
    if (message.kind !== 'committed') return
    for (const [at, index] of message.outcomes.indexes.entries()) {
      if (index >= shardTasksMax) continue
      const { outcome: printed, told } = splitStory(valueAt(message.outcomes, at))
      const { outcome, output } = splitOutput(printed)
      const { status, attempt } = readOutcomeHeader(outcome)
      const isFailed = ([STATUS.error, STATUS.timedOut, STATUS.noRoom] as Status[]).includes(status)
      const failure = isFailed ? decodeFailure(outcome.subarray(OUTCOME_HEADER_BYTES)) : undefined
      const earlier = told.map((one) => `${one.attempt} ${one.how} on ${one.engine}`)
      const code = failure?.code ?? (status === STATUS.cancelled ? 'cancelled' : 'ok')
      const { stdout } = output
      this.ended.set(index, { code, message: failure?.message ?? '', attempt, earlier, stdout })
    }
  }

  /** Wakes the owner until nothing is due. */
  at(now: number): void {
    this.#perform(this.owner.wake(now), now)
    while (this.owner.hasNews) this.#perform(this.owner.flush(now), now)
  }

  claim(peer: PeerId, tasks: number, received: number, now: number): void {
    this.says(peer, { kind: 'claim', tasks, received, room: [], isLast: false, depth: 0 }, now)
    this.at(now)
  }

  /** What `peer` was granted since the last look. */
  granted(peer: PeerId): TaskMessageOf<'grant'>[] {
    const grants = (this.sent.get(peer) ?? []).filter((one) => one.kind === 'grant')
    this.sent.delete(peer)
    return grants
  }

  outcome(
    peer: PeerId,
    index: number,
    status: Status,
    attempt: number,
    now: number,
    payload = '',
    stdout = ''
  ): void {
    const header = { status, slot: 3, attempt, elapsedMs: 5, startedAt: 1_000 }
    const outcome = withOutput(encodeOutcome(header, Buffer.from(payload)), { stdout, stderr: '' })
    this.says(peer, { kind: 'outcomes', key, outcomes: pack(peer, [index], [outcome]) }, now)
    this.at(now)
  }

  lose(peer: PeerId, now: number): void {
    this.#down.add(peer)
    this.#perform(this.owner.peerDown(peer, now), now)
    this.at(now)
  }

  back(peer: PeerId): void {
    this.#down.delete(peer)
  }

  restart(now: number): void {
    this.owner = this.#newOwner()
    this.owner.restored(now)
    this.says(reader, { kind: 'watch', key, have: new Uint32Array(0) }, now)
  }
}
