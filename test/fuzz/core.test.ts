/**
 * A node's core, and a client's session, that are told anything that parses, in any order: they never throw, and what they say parses.
 *
 * Not here: bytes that do not parse (parsers.test.ts), and whether what comes of it is right, which the simulator judges.
 * The liar holds the mesh key, so it may spoil work; it must not end a node, or make it hold more and more.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { type ClientMessage, clientMessages, entryMessages } from '../../src/client/protocol.ts'
import { Session } from '../../src/client/session.ts'
import type { SessionEffect } from '../../src/client/shards.ts'
import type { ClientId, JobId, PeerId } from '../../src/ids.ts'
import { NodeCore } from '../../src/node/core.ts'
import type { CoreEffect, CoreInput } from '../../src/node/effects.ts'
import { gossipMessages, peerMessages } from '../../src/node/messages.ts'
import { type Random, seededRandom } from '../../src/random.ts'
import type { Member } from '../../src/routing/messages.ts'
import { encodeOutcome, pack, type Status } from '../../src/tasks/batch.ts'
import { names, Samples } from './samples.ts'

/** A case is a life of many steps. */
const runs = Math.ceil(Number(process.env.FUZZ_RUNS ?? 1_000) / 20)
const stepsMax = 150
vi.setConfig({ testTimeout: Math.max(60_000, runs * 100) })

const [self, ...others] = names as unknown as [PeerId, ...PeerId[]]
const client = 'peerC#1' as ClientId

function memberOf(peer: PeerId): Member {
  const place = {
    addresses: [],
    zone: '',
    labels: [],
    resources: [],
    sources: [],
    version: '0',
    isFull: false,
    incarnation: 0
  }
  return { peer, boot: 1, storeId: 'store', slots: 2, isKeeper: true, isLeaving: false, ...place }
}

/** A core in a world where everything happens that may. */
class Life {
  readonly core: NodeCore
  readonly #random: Random
  readonly #samples: Samples
  #now = 0
  #written = 0
  readonly #runs: number[] = []

  constructor(seed: number) {
    this.#random = seededRandom(seed)
    this.#samples = new Samples(this.#random)
    this.core = new NodeCore({ me: memberOf(self), random: this.#random.fork('core'), now: 0 })
    this.step({ kind: 'restored' })
    for (const peer of others) {
      this.step({ kind: 'peer-connected', peer, addresses: [] })
      const hello = { kind: 'hello', self: memberOf(peer), others: [], knowsYou: true } as const
      this.step({ kind: 'received', from: peer, messages: [hello] })
    }
    this.step({ kind: 'client-connected', client })
  }

  step(input: CoreInput): void {
    for (const effect of this.core.step(input, this.#now)) this.#take(effect)
  }

  /** What it says to others must be what others can read. */
  #take(effect: CoreEffect): void {
    if (effect.kind === 'send') peerMessages.parse(peerMessages.encode(effect.message))
    else if (effect.kind === 'reply') entryMessages.parse(entryMessages.encode(effect.message))
    else if (effect.kind === 'publish') gossipMessages.parse(gossipMessages.encode(effect.message))
    else if (effect.kind === 'persist') this.#written = effect.id
    else if (effect.kind === 'run') this.#runs.push(effect.run)
  }

  next(): void {
    const random = this.#random
    this.#now += random.chance(0.1) ? random.below(20_000) : random.next() * 20
    const from = random.pick(others) as PeerId
    const what = random.below(20)
    if (what < 11) {
      const messages = Array.from({ length: 1 + random.below(3) }, () =>
        peerMessages.parse(this.#samples.message(peerMessages))
      )
      // Its own record of keeping comes back to a node only from itself.
      this.step({ kind: 'received', from, messages })
    } else if (what < 13) this.step({ kind: 'client-said', client, messages: [this.#said()] })
    else if (what === 13) {
      const message = gossipMessages.parse(this.#samples.message(gossipMessages))
      this.step({ kind: 'gossiped', from, message })
    } else if (what === 14) this.step({ kind: 'persisted', upTo: this.#written })
    else if (what === 15) this.#engine()
    else if (what === 16 && random.chance(0.2)) this.step({ kind: 'peer-disconnected', peer: from })
    else if (what === 17)
      this.step({ kind: 'peer-connected', peer: from, addresses: ['/ip4/127.0.0.1/tcp/1'] })
    else if (what === 18) this.step({ kind: 'slowed', delayMs: random.below(3_000) })
    else this.step({ kind: 'wake' })
  }

  #said(): ClientMessage {
    return clientMessages.parse(this.#samples.message(clientMessages))
  }

  #engine(): void {
    const run = this.#random.pick(this.#runs)
    if (run === undefined) return
    const index = this.#random.below(4)
    const status = this.#random.below(5) as Status
    const header = { status, slot: 0, attempt: this.#random.below(3), elapsedMs: 1, startedAt: 0 }
    const outcomes = pack('', [index], [encodeOutcome(header, this.#samples.bytes(20))])
    const news: CoreInput[] = [
      { kind: 'ended', run, outcomes, done: this.#random.chance(0.5) },
      { kind: 'engine-lost', run, index },
      { kind: 'recalled', run, indexes: Uint32Array.of(index), done: this.#random.chance(0.5) }
    ]
    this.step(this.#random.pick(news) as CoreInput)
  }
}

test('a core takes anything that parses from admitted peers and clients', () => {
  const lives = fc.property(fc.nat(), fc.integer({ min: 1, max: stepsMax }), (seed, steps) => {
    const life = new Life(seed)
    for (let i = 0; i < steps; i++) life.next()
  })
  fc.assert(lives, { numRuns: runs })
})

test('what admitted peers say again and again is held once', () => {
  const life = new Life(7)
  const random = seededRandom(8)
  const samples = new Samples(random)
  const kinds = ['store', 'prepare', 'accept', 'claim', 'grant', 'watch', 'propose', 'outcomes', 'leading']
  const said = Array.from({ length: 200 }, () =>
    peerMessages.parse(samples.message(peerMessages, random.pick(kinds)))
  )
  const sizeOf = (): number =>
    life.core.keeper.keys().length + life.core.owner.leads.size + life.core.runner.queued
  for (const message of said) life.step({ kind: 'received', from: others[0] as PeerId, messages: [message] })
  const before = sizeOf()
  for (let round = 0; round < 20; round++)
    for (const message of said)
      life.step({ kind: 'received', from: others[0] as PeerId, messages: [message] })
  expect(before).toBeGreaterThan(0)
  expect(sizeOf()).toBeLessThanOrEqual(before + 2)
})

test('a session takes anything that parses from its entry', () => {
  const lives = fc.property(fc.nat(), fc.integer({ min: 1, max: stepsMax }), (seed, steps) => {
    const random = seededRandom(seed)
    const samples = new Samples(random)
    const session = new Session()
    let now = 0
    const take = (effects: readonly SessionEffect[]): void => {
      for (const effect of effects)
        if (effect.kind === 'send') clientMessages.parse(clientMessages.encode(effect.message))
    }
    const submit = clientMessages.parse(samples.message(clientMessages, 'submit'))
    if (submit.kind !== 'submit') return
    take(session.attached(now))
    take(session.begin({ ...submit.header, job: 'aaaaaaaa' as JobId }, { wanted: 0, least: 0 }))
    take(
      session.add(
        'aaaaaaaa' as JobId,
        pack('', [0, 1], [new Uint8Array(1), new Uint8Array(1)]),
        random.chance(0.5)
      )
    )
    take(session.follow('bbbbbbbb' as JobId))
    take(session.query('jobs').effects)
    for (let i = 0; i < steps; i++) {
      now += random.next() * 500
      const what = random.below(12)
      if (what === 0) session.detached()
      else if (what === 1) take(session.attached(now))
      else if (what === 2) take(session.wake(now))
      else take(session.message(entryMessages.parse(samples.message(entryMessages)), now))
    }
  })
  fc.assert(lives, { numRuns: runs * 5 })
})
