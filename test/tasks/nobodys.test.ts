/**
 * Tasks that ended at a node, of a shard that nobody has any more: its only keeper lost it, and the job went on without.
 *
 * Not here: shards that are kept somewhere (the simulator). The runner is real; its engine and the keepers are played by the test.
 */
import { expect, test } from 'vitest'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import { encodeOutcome, pack, STATUS } from '../../src/tasks/batch.ts'
import type { RunnerEffect } from '../../src/tasks/effects.ts'
import { Keeper } from '../../src/tasks/keeper.ts'
import type { TaskMessage } from '../../src/tasks/messages.ts'
import { Runner } from '../../src/tasks/runner.ts'
import { headerOf } from './header.ts'

const [self, ann, ben, cat] = ['self', 'ann', 'ben', 'cat'] as [PeerId, PeerId, PeerId, PeerId]
const key = 'job-0001/0/0' as ShardKey
const hour = 3_600_000

/** A node that ran a task for two keepers, who say to have nothing of it. */
class Node {
  readonly #runner: Runner
  /** Offers of the outcome, by whom they went to, and other nodes that were asked for the shard. */
  readonly offered: PeerId[] = []
  readonly sought = new Set<PeerId>()
  /** On their way. */
  readonly #answers: [PeerId, TaskMessage][] = []
  /** Who has the shard after all. */
  owner: PeerId | undefined
  /** Who says nothing, and is known to be away. */
  away: PeerId | undefined
  now = 0

  constructor(tasks = 1) {
    const me = { peer: self, slots: 1, labels: [], resources: [], sources: [] }
    const isUp = (peer: PeerId): boolean => peer !== this.away
    const view = { isUp, mayKnow: () => [ann, ben, cat], owners: () => [ann, ben] }
    this.#runner = new Runner({ self, slots: 1, me: () => me, keeper: new Keeper(self), ...view })
    const indexes = [...Array(tasks).keys()]
    const inputs = pack(
      '',
      indexes,
      indexes.map(() => new Uint8Array(1))
    )
    const place = { key, list: 0, keepers: [ann, ben], seat: 0, first: 0 }
    const header = headerOf({})
    this.#hear(ann, { kind: 'grant', ...place, header, attempt: 1, waiting: 0, inputs })
    this.#perform(this.#runner.flush(this.now))
  }

  get held(): number {
    return this.#runner.held
  }

  waits(ms: number): void {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += 500
      for (const [from, answer] of this.#answers.splice(0)) if (from !== this.away) this.#hear(from, answer)
      this.#perform(this.#runner.wake(this.now))
    }
  }

  #hear(from: PeerId, message: TaskMessage): void {
    this.#perform(this.#runner.message(from, message, this.now))
  }

  #perform(effects: readonly RunnerEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'run') {
        const header = { status: STATUS.ok, slot: 0, attempt: 1, elapsedMs: 5, startedAt: 0 }
        for (const [at, index] of effect.inputs.indexes.entries()) {
          const outcomes = pack('', [index], [encodeOutcome(header, new Uint8Array())])
          const isLast = at === effect.inputs.indexes.length - 1
          this.#perform(this.#runner.ended(effect.run, outcomes, isLast, this.now))
        }
      }
      if (effect.kind !== 'send') continue
      const { to, message } = effect
      if (message.kind === 'seek') {
        this.sought.add(to)
        if (this.owner === undefined) continue
        const place = { list: 1, keepers: [this.owner], seats: [2], ballot: 2 }
        this.#answers.push([to, { kind: 'leading', key, ...place }])
      }
      if (message.kind !== 'outcomes') continue
      this.offered.push(to)
      const { indexes } = message.outcomes
      this.#answers.push([
        to,
        to === this.owner ? { kind: 'confirm', key, indexes } : { kind: 'disowned', key }
      ])
    }
  }
}

test('is offered to its keepers now and then, others are asked, and in the end it is let go', () => {
  const node = new Node()
  node.waits(60_000)
  expect(node.offered).toContain(ben)
  expect([...node.sought]).toEqual([ann, ben, cat])
  expect(node.offered.length).toBeLessThan(12)
  expect(node.held).toBe(1)
  node.waits(hour)
  expect(node.held).toBe(0)
})

test('is given to who has it, once somebody knows', () => {
  const node = new Node()
  node.waits(60_000)
  node.owner = cat
  node.waits(60_000)
  expect(node.offered.at(-1)).toBe(cat)
  expect(node.held).toBe(0)
})

test('is offered now and then, too, while one keeper is away, and not let go before that one has said so', () => {
  const node = new Node()
  node.away = ann
  node.waits(60_000)
  expect(new Set(node.offered.slice(1))).toEqual(new Set([ben]))
  expect(node.offered.length).toBeLessThan(12)
  node.waits(hour)
  expect(node.held).toBe(1)
  node.away = undefined
  node.waits(60_000)
  expect(node.offered.slice(-6)).toContain(ann)
  node.waits(hour)
  expect(node.held).toBe(0)
})

test('several outcomes that no keeper wants are offered to every keeper, as one is', () => {
  const node = new Node(2)
  node.waits(5_000)
  expect(new Set(node.offered)).toEqual(new Set([ann, ben]))
  expect(node.sought).toContain(cat)
})
