/**
 * Bootstrap addresses: dialed until somebody is there and again after a loss, but not because a stream was let go as idle.
 *
 * Not here: real sockets (transport.test.ts). Timers are stepped by hand.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { PeerId } from '../../src/ids.ts'
import { Seeds } from '../../src/node/seeds.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const peer = 'seed' as PeerId
const long = 60_000

function begin(): { seeds: Seeds; dials: () => number; connected: Set<PeerId> } {
  let dials = 0
  const connected = new Set<PeerId>()
  const seeds = new Seeds({
    addresses: ['/ip4/192.0.2.1/tcp/1'],
    dial: async () => {
      dials++
      connected.add(peer)
      return peer
    },
    isConnected: (one) => connected.has(one)
  })
  seeds.start()
  return { seeds, dials: () => dials, connected }
}

test('a seed that is lost is dialed again', async () => {
  const { seeds, dials, connected } = begin()
  await vi.advanceTimersByTimeAsync(long)
  expect(dials()).toBe(1)
  connected.delete(peer)
  seeds.lost(peer)
  await vi.advanceTimersByTimeAsync(long)
  expect(dials()).toBe(2)
  seeds.stop()
})

test('a seed whose stream was let go is not, until it cannot be reached', async () => {
  const { seeds, dials, connected } = begin()
  await vi.advanceTimersByTimeAsync(long)
  connected.delete(peer)
  seeds.lost(peer)
  seeds.rest(peer)
  await vi.advanceTimersByTimeAsync(long)
  expect(dials()).toBe(1)
  // The membership wanted it and had no answer.
  seeds.woke(peer)
  await vi.advanceTimersByTimeAsync(long)
  expect(dials()).toBe(2)
  seeds.stop()
})
