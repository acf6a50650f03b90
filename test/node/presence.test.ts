/**
 * When a machine is free for the mesh, by what is seen of its owner.
 *
 * Not here: a real node whose owner comes back (test/integration/manners.test.ts).
 */
import { expect, test } from 'vitest'
import { defaultIdleness, isWithin, Presence, parseHours } from '../../src/node/presence.ts'
import { Standstill } from '../../src/tasks/executor/standstill.ts'

const minutes = 60_000
const noon = 12 * 60

test('free after a quarter of an hour without a key, paused at the next one, closed ten minutes later', () => {
  const presence = new Presence({ when: 'idle', hours: undefined, idle: defaultIdleness })
  const at = (now: number, idleMs: number, load = 0): string =>
    presence.step({ idleMs, load, minute: noon }, now)
  expect(at(0, 14 * minutes)).toBe('paused')
  expect(at(minutes, 15 * minutes)).toBe('open')
  expect(at(2 * minutes, 16 * minutes, 0.29)).toBe('open')
  expect(at(3 * minutes, 500)).toBe('paused')
  expect(at(12 * minutes, 9 * minutes)).toBe('paused')
  expect(at(13 * minutes, 10 * minutes)).toBe('closed')
  expect(at(18 * minutes, 15 * minutes)).toBe('open')
})

test('what others compute counts as somebody who is there, and so does being unable to see', () => {
  const presence = new Presence({ when: 'idle', hours: undefined, idle: defaultIdleness })
  const seen = { idleMs: Number.POSITIVE_INFINITY, minute: noon }
  expect(presence.step({ ...seen, load: 0 }, 0)).toBe('open')
  expect(presence.step({ ...seen, load: 0.3 }, 1)).toBe('paused')
  expect(presence.step({ ...seen, load: 0 }, 2)).toBe('open')
  expect(presence.step(undefined, 3)).toBe('paused')
  expect(presence.step(undefined, 3 + 10 * minutes)).toBe('closed')
})

test('hours go over midnight, and bind also a machine that nobody uses', () => {
  const night = parseHours('19:00-07:00')
  const hours = [18 * 60 + 59, 19 * 60, 23 * 60 + 59, 0, 6 * 60 + 59, 7 * 60]
  expect(hours.map((minute) => isWithin(night, minute))).toEqual([false, true, true, true, true, false])
  const day = parseHours('9:30-24:00')
  expect([569, 570, 1439, 0].map((minute) => isWithin(day, minute))).toEqual([false, true, true, false])
  const presence = new Presence({ when: 'always', hours: night, idle: defaultIdleness })
  expect(presence.step({ idleMs: 0, load: 9, minute: 20 * 60 }, 0)).toBe('open')
  expect(presence.step({ idleMs: 1e9, load: 0, minute: noon }, 1)).toBe('paused')
})

test.each(['', '19:00', '25:00-07:00', '19:60-07:00', '07:00-07:00', '7-19', '24:01-01:00'])(
  'no hours: %j',
  (text) => {
    expect(() => parseHours(text)).toThrow(/`hours` is .*; it is like 19:00-07:00/)
  }
)

test('standing still is counted for the task that it happened to, and for no other', () => {
  const standstill = new Standstill()
  standstill.begin(100)
  expect(standstill.isNow).toBe(true)
  standstill.end(150, 90)
  standstill.begin(200)
  standstill.end(230, 90)
  expect([standstill.of(90), standstill.of(240), standstill.isNow]).toEqual([80, 0, false])
  standstill.begin(300)
  standstill.end(310, 240)
  expect([standstill.of(90), standstill.of(240)]).toEqual([0, 10])
})
