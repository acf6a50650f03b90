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
  /** Who has the shard after all. */
  owner: PeerId | undefined
  now = 0

  constructor() {
    const me = { peer: self, slots: 1, labels: [], resources: [], sources: [] }
    const view = { isUp: () => true, mayKnow: () => [ann, ben, cat], owners: () => [ann, ben] }
    this.#runner = new Runner({ self, slots: 1, me: () => me, keeper: new Keeper(self), ...view })
    const inputs = pack('', [0], [new Uint8Array(1)])
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
        const outcomes = pack('', [0], [encodeOutcome(header, new Uint8Array())])
        this.#perform(this.#runner.ended(effect.run, outcomes, true, this.now))
      }
      if (effect.kind !== 'send') continue
      if (effect.message.kind === 'seek') {
        this.sought.add(effect.to)
        if (this.owner !== undefined)
          this.#hear(effect.to, {
            kind: 'leading',
            key,
            list: 1,
            keepers: [this.owner],
            seats: [2],
            ballot: 2
          })
      }
      if (effect.message.kind !== 'outcomes') continue
      this.offered.push(effect.to)
      if (effect.to === this.owner)
        this.#hear(effect.to, { kind: 'confirm', key, indexes: Uint32Array.of(0) })
      else this.#hear(effect.to, { kind: 'disowned', key })
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
  expect(node.offered.filter((peer) => peer === cat)).toHaveLength(1)
  expect(node.held).toBe(0)
})
