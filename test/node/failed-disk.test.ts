/**
 * A keeper whose disk fails: what it says of shards from then on.
 *
 * Not here: how a failing disk is noticed (store.test.ts, integration/disks.test.ts), and that nothing is lost (the simulator).
 */
import { expect, test } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { NodeCore } from '../../src/node/core.ts'
import type { CoreEffect } from '../../src/node/effects.ts'
import type { PeerMessage } from '../../src/node/messages.ts'
import { seededRandom } from '../../src/random.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import type { TaskMessage } from '../../src/tasks/messages.ts'
import { memberOf } from '../routing/member.ts'
import { recordOf } from '../tasks/record.ts'

const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'] as [PeerId, PeerId, PeerId, PeerId, PeerId]

/** The third of the keepers a, b and c, whose disk fails, and what it says since it was asked last. */
class Failing {
  readonly core: NodeCore
  #said: [PeerId, TaskMessage][] = []

  constructor() {
    this.core = new NodeCore({ me: memberOf(c), random: seededRandom(1), now: 0 })
    for (const peer of [a, b, d, e]) {
      this.#step({ kind: 'peer-connected', peer, addresses: [] }, 0)
      this.hears(peer, { kind: 'hello', self: memberOf(peer), others: [], knowsYou: true }, 0)
    }
    const record = recordOf(a, 1, { ...firstSeating([a, b, c]), copies: 3 })
    this.hears(a, { kind: 'store', record, isRepair: false }, 0)
    this.#step({ kind: 'persist-failed', reason: 'it is full' }, 1)
    this.said()
  }

  #step(input: Parameters<NodeCore['step']>[0], now: number): void {
    for (const effect of this.core.step(input, now) as CoreEffect[])
      if (effect.kind === 'send') this.#said.push([effect.to, effect.message as TaskMessage])
    this.core.check()
  }

  hears(from: PeerId, message: PeerMessage, now: number): void {
    this.#step({ kind: 'received', from, messages: [message] }, now)
  }

  loses(peer: PeerId, now: number): void {
    this.#step({ kind: 'peer-disconnected', peer }, now)
  }

  wakes(from: number, to: number): void {
    for (let now = from; now <= to; now += 250) {
      for (const peer of [d, e]) this.hears(peer, { kind: 'heartbeat', boot: 1, waiting: 0, delayMs: 0 }, now)
      this.#step({ kind: 'wake' }, now)
    }
  }

  said(): [PeerId, TaskMessage][] {
    return this.#said.splice(0)
  }
}

const { key } = recordOf(a, 1)

test('takes nothing over, and does not say that it owns what nobody owns', () => {
  const failing = new Failing()
  for (const peer of [a, b]) failing.loses(peer, 10)
  failing.wakes(250, 60_000)
  failing.said()
  expect(failing.core.owner.leads.size).toBe(0)
  failing.hears(d, { kind: 'inquire', key }, 60_001)
  expect(failing.said()).toEqual([[d, { kind: 'disowned', key }]])
})

test('knows where a shard went that it kept, and sends on who asks for it', () => {
  const failing = new Failing()
  failing.hears(b, { kind: 'moved', key, list: 1, keepers: [a, b, d], seats: [0, 1, 3] }, 10)
  failing.said()
  failing.hears(e, { kind: 'watch', key, have: new Uint32Array(0) }, 11)
  expect(failing.said()).toEqual([
    [e, { kind: 'leading', key, list: 1, keepers: [a, b, d], seats: [0, 1, 3], ballot: 0 }]
  ])
})
