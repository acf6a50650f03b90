/**
 * What a client says when nobody waits for a command any more, and what it still owes an answer for.
 *
 * Not here: that nothing is lost or done twice, whatever happens on the way (test/sim/cells.ts).
 */
import { expect, test } from 'vitest'
import { answers, type Command, commands, refused } from '../../src/cells/commands.ts'
import { type OrderEffect, Orders } from '../../src/client/orders.ts'

const acquire: Command = { kind: 'acquire', lease: 'l', leaseMs: 3_000, permits: 1, isPatient: true }
const take: Command = { kind: 'take', isPatient: true }
const granted = answers.encode({ kind: 'granted', token: 1 })

function attached(): Orders {
  const orders = new Orders('me')
  orders.attached(0)
  return orders
}

/** What it asks the entry to do, in order. */
const said = (effects: readonly OrderEffect[]): string[] =>
  effects.flatMap((effect) => {
    if (effect.kind !== 'send') return []
    const { message } = effect
    return [
      message.kind === 'command' ? `${message.id} ${commands.parse(message.command).kind}` : message.kind
    ]
  })

test('who stops waiting for an item is told whether it has come, under the id of what took it', () => {
  const orders = attached()
  const { ask } = orders.order('queue:q', take, 0)
  expect(said(orders.withdraw(ask, 10))).toEqual(['me-1 cancel'])
  expect(said(orders.withdraw(ask, 20))).toEqual([])
  const answer = answers.encode(refused('not now'))
  expect(orders.message({ kind: 'decided', ask, version: 3, answer }, 30)).toEqual([
    { kind: 'answered', ask, version: 3, answer: refused('not now') }
  ])
})

test('what no entry has heard of is forgotten at once', () => {
  const orders = new Orders('me')
  const { ask } = orders.order('queue:q', take, 0)
  expect(orders.withdraw(ask, 10)).toEqual([])
  expect(orders.size).toBe(0)
})

test('who stops waiting for a lock gives it back, should it come', () => {
  const orders = attached()
  const { ask } = orders.order('lock:l', acquire, 0)
  expect(said(orders.withdraw(ask, 10))).toEqual(['withdraw', 'me-2 release'])
})

test('a lock that came late is not told before a renewal shows that it is held, and is given back if nobody waits by then', () => {
  const orders = attached()
  const { ask } = orders.order('lock:l', acquire, 0)
  const effects = orders.message({ kind: 'decided', ask, version: 1, answer: granted }, 2_000)
  expect(said(effects)).toEqual(['me-2 renew'])
  expect(orders.holds('l', 2_000)).toBe(false)
  expect(said(orders.withdraw(ask, 2_100))).toEqual(['me-3 release'])
  orders.check()
})

test('a lease is believed in for its time since the last confirmed renewal was sent, and no longer', () => {
  const orders = attached()
  const { ask } = orders.order('lock:l', acquire, 0)
  orders.message({ kind: 'decided', ask, version: 1, answer: granted }, 500)
  expect(orders.holds('l', 2_999)).toBe(true)
  expect(orders.holds('l', 3_000)).toBe(false)
  expect(said(orders.wake(1_000))).toEqual(['me-2 renew'])
  orders.message({ kind: 'decided', ask: 2, version: 2, answer: answers.encode({ kind: 'done' }) }, 1_400)
  expect(orders.holds('l', 3_999)).toBe(true)
  expect(orders.wake(4_000).at(0)).toEqual({ kind: 'lapsed', cell: 'lock:l', lease: 'l' })
})
