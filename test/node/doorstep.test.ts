/**
 * Whom a task is held against that was granted to a node without a stream, and never left.
 *
 * Not here: what follows from a loss (tasks/lead.test.ts), and who is taken for lost (routing/swim.test.ts).
 */
import { expect, test } from 'vitest'
import { decodeFailure } from '../../src/client/values.ts'
import type { PeerId, ShardKey } from '../../src/ids.ts'
import { NodeCore } from '../../src/node/core.ts'
import { waitingForOneMax } from '../../src/node/doorstep.ts'
import type { PeerMessage } from '../../src/node/messages.ts'
import { seededRandom } from '../../src/random.ts'
import { usualReach } from '../../src/routing/links.ts'
import { encodeOutcome, OUTCOME_HEADER_BYTES, pack, STATUS, valueAt } from '../../src/tasks/batch.ts'
import { firstSeating } from '../../src/tasks/keepers.ts'
import { type ShardRecord, startIndex, type TaskMessageOf } from '../../src/tasks/messages.ts'
import { holderAwayMs } from '../../src/tasks/once.ts'
import { permitsIn } from '../../src/tasks/permits.ts'
import { splitStory } from '../../src/tasks/story.ts'
import { memberOf } from '../routing/member.ts'
import { headerOf } from '../tasks/header.ts'
import { recordOf } from '../tasks/record.ts'

const [owner, dead, other] = ['owner', 'dead', 'other'] as [PeerId, PeerId, PeerId]

const { key } = recordOf(owner, 1)

/** Owns a shard of one task in a mesh that counts as large. `dead` asks for work, and never says anything more. */
class Owning {
  readonly core: NodeCore
  readonly granted: { readonly to: PeerId; readonly attempt: number }[] = []
  /** Permits that `other`, who keeps the shard too, has not acknowledged yet. */
  readonly permits: TaskMessageOf<'accept'>[] = []
  code: unknown
  /** By `other`, so that only the stream is taken for lost. */
  isReached = false
  hasDropped = false
  isDown = false
  #now = 0
  #claimed = 0

  constructor() {
    const reach = { ...usualReach, closeMax: 1 }
    const me = memberOf(owner, { slots: 0 })
    this.core = new NodeCore({ me, random: seededRandom(1), now: 0, reach })
    this.#step({ kind: 'restored' })
    for (const peer of [dead, other]) {
      this.#step({ kind: 'peer-connected', peer, addresses: [] })
      this.hears(peer, { kind: 'hello', self: memberOf(peer), others: [], knowsYou: true })
    }
    this.hears(dead, { kind: 'claim', tasks: 1, received: 0, room: [], isLast: false, depth: 0 })
  }

  #step(input: Parameters<NodeCore['step']>[0]): void {
    for (const effect of this.core.step(input, this.#now)) {
      if (effect.kind === 'persist') this.#step({ kind: 'persisted', upTo: effect.id })
      if (effect.kind === 'drop-peer') {
        this.hasDropped = true
        this.#step({ kind: 'peer-disconnected', peer: effect.peer })
      }
      if (effect.kind === 'note') this.isDown ||= effect.text === `${dead} is down`
      if (effect.kind === 'send') this.#said(effect.to, effect.message)
    }
    this.core.check()
  }

  #said(to: PeerId, message: PeerMessage): void {
    const pong = { kind: 'pong', ask: 1, about: dead, delayMs: 0, members: [], doubts: [] } as const
    if (message.kind === 'ping-for' && this.isReached) this.hears(other, pong)
    if (message.kind === 'accept' && to === other) this.#asked(message)
    if (message.kind === 'grant') this.granted.push({ to, attempt: message.attempt })
    if (message.kind !== 'committed') return
    for (const [at, index] of message.outcomes.indexes.entries()) {
      if (index > 0) continue
      const { outcome } = splitStory(valueAt(message.outcomes, at))
      this.code = decodeFailure(outcome.subarray(OUTCOME_HEADER_BYTES)).code
    }
  }

  #asked(accept: TaskMessageOf<'accept'>): void {
    if (permitsIn([accept.outcomes]).length === 0) this.accepts(accept)
    else if (!this.permits.some(({ serial }) => serial === accept.serial)) this.permits.push(accept)
  }

  accepts({ key, list, ballot, serial }: TaskMessageOf<'accept'>): void {
    this.hears(other, { kind: 'accepted', key, list, ballot, serial })
  }

  hears(from: PeerId, message: PeerMessage): void {
    this.#step({ kind: 'received', from, messages: [message] })
  }

  waits(isOver: () => boolean): void {
    this.passes(20_000, isOver)
    expect(isOver()).toBe(true)
  }

  passes(ms: number, isOver: () => boolean = () => false): void {
    for (const end = this.#now + ms; !isOver() && this.#now < end; this.#now += 50) {
      this.hears(other, { kind: 'heartbeat', boot: 1, waiting: 0, delayMs: 0 })
      this.#step({ kind: 'wake' })
    }
  }

  /** `by` said that they cannot reach it, either. */
  doubt(by: readonly string[]): void {
    const doubts = by.map((one) => ({ peer: dead, boot: 1, incarnation: 0, by: one as PeerId }))
    this.hears(other, { kind: 'ping', ask: 0, delayMs: 0, members: [], doubts })
  }

  /** More than waits for one node is to be told to it before the task is granted. */
  hasMuchToTell(): void {
    const keys = Array.from({ length: waitingForOneMax + 1 }, (_, at) => `abcdefgh/${at}/1` as ShardKey)
    for (const key of keys) this.hears(dead, { kind: 'inquire', key })
  }

  stores(more: Partial<ShardRecord> = {}): void {
    const record = recordOf(owner, 1, more)
    this.hears(other, { kind: 'store', record, isRepair: false })
    this.hears(other, { kind: 'watch', key: record.key, have: new Uint32Array(0) })
  }

  /** `other` asks for the task. */
  claims(): void {
    const claim = { kind: 'claim', tasks: 1, room: [], isLast: false, depth: 0 } as const
    this.hears(other, { ...claim, received: this.#claimed++ })
  }

  /** `other` asks for the task, and loses the engine that runs it. */
  losesEngine(): void {
    this.claims()
    this.waits(() => this.granted.length === this.#claimed)
    const attempt = this.granted.at(-1)?.attempt ?? 0
    const lost = encodeOutcome(
      { status: STATUS.lost, slot: 0, attempt, elapsedMs: 1, startedAt: 1 },
      new Uint8Array(0)
    )
    this.hears(other, { kind: 'outcomes', key, outcomes: pack(other, [0], [lost]) })
  }
}

const doubters = ['x', 'y', 'z']
test.each([
  { when: 'it is down soon, as all doubt it', doubters, isReached: false, isFull: false },
  { when: 'it is down when the grant waits no more', doubters: [], isReached: true, isFull: false },
  { when: 'too much waited for it already', doubters, isReached: false, isFull: true }
])('a node is not blamed for a task whose grant never left: $when', ({ doubters, isReached, isFull }) => {
  const owning = new Owning()
  owning.isReached = isReached
  owning.waits(() => owning.hasDropped)
  owning.isReached = false
  if (isFull) owning.hasMuchToTell()
  owning.doubt(doubters)
  owning.stores()
  owning.waits(() => owning.isDown)
  expect(owning.granted).toEqual([])
  for (let lost = 0; lost < 2; lost++) owning.losesEngine()
  expect(owning.code).toBe(undefined)
  owning.losesEngine()
  expect(owning.granted).toEqual([1, 2, 3].map((attempt) => ({ to: other, attempt })))
  expect(owning.code).toBe('TASK_POISONED')
})

test('what may run once was not begun by a node that was down before it could be granted', () => {
  const owning = new Owning()
  owning.waits(() => owning.hasDropped)
  const header = headerOf({ atMostOnce: true })
  owning.stores({ ...firstSeating([owner, other]), copies: 2, header })
  owning.hears(other, { kind: 'propose', key, outcomes: pack('', [startIndex], [new Uint8Array(0)]) })
  owning.waits(() => owning.permits.length === 1)
  owning.doubt(doubters)
  owning.waits(() => owning.isDown)
  owning.accepts(owning.permits[0] as TaskMessageOf<'accept'>)
  owning.passes(2 * holderAwayMs)
  expect(owning.code).toBe(undefined)
  owning.claims()
  owning.waits(() => owning.permits.length === 2)
  owning.accepts(owning.permits[1] as TaskMessageOf<'accept'>)
  expect(owning.granted).toEqual([{ to: other, attempt: 2 }])
})
