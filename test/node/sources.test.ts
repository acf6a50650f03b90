/**
 * Live streams between a source, its readers, and the nodes in between: pace, loss and ends.
 *
 * Not here: sockets and tasks (test/integration/sources.test.ts). Two nodes' machines, with the messages carried by hand.
 */
import { expect, test } from 'vitest'
import { Streams } from '../../src/client/stream.ts'
import { encodeValue } from '../../src/client/values.ts'
import type { ClientId, PeerId } from '../../src/ids.ts'
import { Offers } from '../../src/node/offers.ts'
import { backlogMax, readersMax, type SourceEffect, Sources } from '../../src/node/sources.ts'
import { isSourceAnswer, type SourceAnswer, type SourceQuestion } from '../../src/routing/source-messages.ts'

const [near, far] = ['near', 'far'] as [PeerId, PeerId]
const ann = 'ann' as ClientId

/** A client at `near` reads what `far` offers. */
class Pair {
  readonly sources = new Map<PeerId, Sources>()
  readonly replies: SourceAnswer[] = []
  pulls = 0

  constructor() {
    const members = (): { peer: PeerId; sources: string[] }[] =>
      [...this.sources].map(([peer, { names }]) => ({ peer, sources: names }))
    for (const self of [near, far]) this.sources.set(self, new Sources({ self, members }))
  }

  at(peer: PeerId): Sources {
    return this.sources.get(peer) as Sources
  }

  do(at: PeerId, effects: readonly SourceEffect[]): void {
    this.at(at).check()
    for (const effect of effects) {
      if (effect.kind === 'pull-source') this.pulls++
      else if (effect.kind === 'send') this.do(effect.to, this.at(effect.to).peer(at, effect.message))
      else if (isSourceAnswer(effect.message)) this.replies.push(effect.message)
    }
  }

  says(message: SourceQuestion): void {
    this.do(near, this.at(near).client(ann, message))
  }

  gives(value: unknown): void {
    this.do(far, this.at(far).step({ kind: 'source-gave', name: 's', value: encodeValue(value) }))
  }

  /** Items and what was missed before them, since the last look. */
  got(): { items: number; dropped: number } {
    let [items, dropped] = [0, 0]
    for (const one of this.replies.splice(0)) {
      if (one.kind !== 'items') continue
      items += one.values.length
      dropped += one.dropped
    }
    return { items, dropped }
  }
}

test('a source that waits is pulled only while every reader has room', () => {
  const pair = new Pair()
  pair.do(far, pair.at(far).step({ kind: 'source-offered', name: 's', overflow: 'wait' }))
  expect(pair.pulls).toBe(0)
  pair.says({ kind: 'subscribe', ask: 1, name: 's', credit: 2 })
  expect(pair.pulls).toBe(1)
  pair.gives('a')
  pair.gives('b')
  expect(pair.pulls).toBe(2)
  expect(pair.got()).toEqual({ items: 2, dropped: 0 })
  pair.says({ kind: 'more', ask: 1, credit: 1 })
  expect(pair.pulls).toBe(3)
  // Another reader without room holds both back, and the one that leaves sets the other free.
  pair.says({ kind: 'subscribe', ask: 2, name: 's', credit: 0 })
  pair.gives('c')
  expect(pair.got()).toEqual({ items: 1, dropped: 0 })
  pair.says({ kind: 'more', ask: 1, credit: 5 })
  expect(pair.pulls).toBe(3)
  pair.says({ kind: 'unsubscribe', ask: 2 })
  expect(pair.pulls).toBe(4)
})

test('a source that drops is pulled always; a slow reader misses the oldest, and is told how many', () => {
  const pair = new Pair()
  pair.do(far, pair.at(far).step({ kind: 'source-offered', name: 's', overflow: 'drop' }))
  expect(pair.pulls).toBe(1)
  pair.says({ kind: 'subscribe', ask: 1, name: 's', credit: 1 })
  for (let i = 0; i < 1 + backlogMax + 10; i++) pair.gives(i)
  expect(pair.got()).toEqual({ items: 1, dropped: 0 })
  pair.says({ kind: 'more', ask: 1, credit: 1 })
  expect(pair.got()).toEqual({ items: 1, dropped: 10 })
  pair.says({ kind: 'more', ask: 1, credit: 200 })
  expect(pair.got()).toEqual({ items: backlogMax - 1, dropped: 0 })
  // Large ones: no more bytes than is said.
  pair.says({ kind: 'subscribe', ask: 2, name: 's', credit: 0 })
  for (let i = 0; i < 20; i++) pair.gives(new Uint8Array(1_000_000))
  pair.says({ kind: 'more', ask: 2, credit: 200 })
  expect(pair.replies.filter((one) => one.kind === 'items' && one.ask === 2)).toMatchObject([{ dropped: 16 }])
})

test('it ends for its readers when it ends, when its node goes, and when nobody offers it', () => {
  const pair = new Pair()
  pair.says({ kind: 'subscribe', ask: 1, name: 's', credit: 1 })
  expect(pair.replies.splice(0)).toMatchObject([{ kind: 'source-ended', ask: 1, code: 'SHOAL_NOT_FOUND' }])
  pair.do(far, pair.at(far).step({ kind: 'source-offered', name: 's', overflow: 'drop' }))
  pair.says({ kind: 'subscribe', ask: 2, name: 's', credit: 0 })
  pair.gives('last')
  pair.do(far, pair.at(far).step({ kind: 'source-over', name: 's', code: '', message: 'done' }))
  expect(pair.replies.splice(0)).toMatchObject([
    { kind: 'items', ask: 2 },
    { kind: 'source-ended', ask: 2, code: '', message: 'done' }
  ])
  pair.do(far, pair.at(far).step({ kind: 'source-offered', name: 's', overflow: 'wait' }))
  pair.says({ kind: 'subscribe', ask: 3, name: 's', credit: 4 })
  pair.do(near, pair.at(near).peerGone(far))
  expect(pair.replies.splice(0)).toMatchObject([{ kind: 'source-ended', ask: 3, code: '' }])
  pair.do(far, pair.at(far).peerGone(near))
  const before = pair.pulls
  pair.gives('nobody')
  expect(pair.pulls).toBe(before)
})

test('a client that goes takes its readings along, and there are only so many', () => {
  const pair = new Pair()
  pair.do(far, pair.at(far).step({ kind: 'source-offered', name: 's', overflow: 'wait' }))
  for (let ask = 0; ask <= readersMax; ask++) pair.says({ kind: 'subscribe', ask, name: 's', credit: 1 })
  expect(pair.replies.splice(0)).toMatchObject([
    { kind: 'source-ended', ask: readersMax, code: 'SHOAL_BUSY' }
  ])
  pair.do(near, pair.at(near).clientGone(ann))
  pair.says({ kind: 'subscribe', ask: 5_000, name: 's', credit: 1 })
  expect(pair.replies).toEqual([])
})

test('a reader asks for more by halves, gets what came before the end, and throws what the source threw', async () => {
  const said: SourceQuestion[] = []
  const streams = new Streams((message) => void said.push(message))
  const stream = streams.open<number>('s', 4, undefined)
  const first = stream.next()
  const ask = said[0]?.ask ?? 0
  expect(said.splice(0)).toEqual([{ kind: 'subscribe', ask, name: 's', credit: 4 }])
  streams.message({ kind: 'items', ask, dropped: 3, values: [1, 2, 3, 4].map((n) => encodeValue(n)) })
  expect([await first, await stream.next()]).toMatchObject([{ value: 1 }, { value: 2 }])
  expect(said.splice(0)).toEqual([{ kind: 'more', ask, credit: 2 }])
  // A new entry: what is still to be read takes room.
  streams.attached()
  expect(said.splice(0)).toEqual([{ kind: 'subscribe', ask, name: 's', credit: 2 }])
  streams.message({ kind: 'source-ended', ask, code: 'SHOAL_SOURCE_FAILED', message: 'the lamp is out' })
  expect([await stream.next(), await stream.next()]).toMatchObject([{ value: 3 }, { value: 4 }])
  await expect(stream.next()).rejects.toMatchObject({
    code: 'SHOAL_SOURCE_FAILED',
    message: 'the lamp is out'
  })
  expect(stream.dropped).toBe(3)
  const left = streams.open('s', 4, undefined)
  void left.next()
  expect(streams.size).toBe(1)
  await left.return()
  expect(said.at(-1)).toMatchObject({ kind: 'unsubscribe' })
  expect(streams.size).toBe(0)
})

test('an offered iterable is pulled one by one, and told how it ends', async () => {
  const told: string[] = []
  const offers = new Offers((news) => {
    if (news.kind === 'source-offered') told.push(`${news.name} ${news.overflow}`)
    else if (news.kind === 'source-gave') told.push(`${news.name} gave`)
    else told.push(`${news.name} over ${news.code} ${news.message}`)
  })
  let isClosed = false
  async function* items(): AsyncGenerator<unknown> {
    try {
      yield 1
      yield () => 'no value'
    } finally {
      isClosed = true
    }
  }
  const source = offers.offer('s', items())
  expect(() => offers.offer('s', items())).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
  expect(() => offers.offer('', items())).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
  offers.pull('s')
  await new Promise(setImmediate)
  offers.pull('s')
  await source.ended
  await new Promise(setImmediate)
  expect(told.slice(0, 2)).toEqual(['s wait', 's gave'])
  expect(told[2]).toMatch(/^s over SHOAL_SOURCE_FAILED the source s failed: /)
  expect(isClosed).toBe(true)
})

test('what is no source, or comes when the node has stopped, is refused', async () => {
  const offers = new Offers(() => {})
  async function* items(): AsyncGenerator<unknown> {
    yield 1
  }
  const wrong: [unknown, unknown, unknown?][] = [
    ['s', items(), { overlow: 'drop' }],
    ['s', items(), { overflow: 'most' }],
    ['s', items(), null],
    ['s', null],
    ['s', [1]],
    [1n, items()]
  ]
  for (const all of wrong) {
    const offer = (): unknown => offers.offer(...(all as unknown as Parameters<Offers['offer']>))
    expect(offer).toThrow(expect.objectContaining({ code: 'SHOAL_BAD_OPTION' }))
  }
  const { ended } = offers.offer('s', items(), {})
  await offers.close()
  await ended
  expect(() => offers.offer('late', items())).toThrow(expect.objectContaining({ code: 'SHOAL_CLOSED' }))
})
